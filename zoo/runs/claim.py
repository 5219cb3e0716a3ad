"""Reserves a folder for a run, so that no two runs write to it."""

import contextlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from larq_melius.files import write_atomically
from larq_melius.zoo.recipes.recipe import Recipe
from larq_melius.zoo.runs import files

# Changes neither the network nor the order of the images, so a run may resume with another value.
_FREE = ("xla",)


@contextlib.contextmanager
def claimed_folder(folder: Path, recipe: Recipe, *, resume: bool) -> Iterator[None]:
    """Creates the folder of a run and writes its recipe, or checks the recipe that is there.

    The folder is locked during the run. The operating system unlocks it when the process ends, however it ends. If the
    run fails before there is anything to resume from, the folder is free for the next one.

    Args:
        folder: The run's folder.
        recipe: The run's recipe.
        resume: Whether to resume the run in the folder.

    Raises:
        BlockingIOError: If another process is training in the folder.
        FileExistsError: If the folder has a run and ``resume`` is off.
        OSError: If the folder cannot be written.
        ValueError: If the folder's run has another recipe.
    """
    path = folder / files.RECIPE
    if path.exists() and not resume:
        raise FileExistsError(f"{folder} has a run in it: pass --resume to continue it, or name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder), _recipe_in(folder, recipe, resume=resume):
        yield


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / files.LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise BlockingIOError(
            f"Another process is training in {folder}: wait until it ends, or name another folder."
        ) from error
    except NotImplementedError:
        warnings.warn(
            f"The file system of {folder} does not support locks: make sure that no other process trains there.",
            stacklevel=2,
        )
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _recipe_in(folder: Path, recipe: Recipe, *, resume: bool) -> Iterator[None]:
    """Writes the recipe to a locked folder, and removes it if the run fails before its first checkpoint."""
    path = folder / files.RECIPE
    claimed_before = path.exists()
    if claimed_before:
        # Another process may have written it since the first check.
        if not resume:
            raise FileExistsError(f"{folder} has a run in it: pass --resume to continue it, or name another folder.")
        _check_same(folder, Recipe.from_json(path.read_text("utf-8")), recipe)
    write_atomically(path, recipe.to_json().encode())
    try:
        yield
    except BaseException:
        if not claimed_before and not _has_begun(folder):
            path.unlink(missing_ok=True)
        raise


def _has_begun(folder: Path) -> bool:
    """Whether there are checkpoints (also of a first stage) or a network."""
    return any(folder.glob(f"**/{files.CHECKPOINTS}/*")) or (folder / files.LAST).exists()


def _check_same(folder: Path, earlier: Recipe, recipe: Recipe) -> None:
    old, new = (json.loads(each.to_json()) for each in (earlier, recipe))
    differing = [name for name in old if name not in _FREE and old[name] != new[name]]
    if differing:
        changes = ", ".join(f"{name} ({old[name]}, not {new[name]})" for name in differing)
        raise ValueError(f"The run in {folder} was started with another recipe: {changes}.")
