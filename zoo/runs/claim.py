"""Takes a folder for a run, unless another run has it."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from larq_melius.files import write_atomically
from larq_melius.zoo.recipes.recipe import Recipe
from larq_melius.zoo.runs import files

# It changes neither the network nor the order of the images, so a run may go on with another.
_FREE = ("xla",)


@contextlib.contextmanager
def claimed_folder(folder: Path, recipe: Recipe, *, resume: bool) -> Iterator[None]:
    """Makes the folder of a run and writes its recipe, or checks that they are there.

    If the run fails before it has anything to go on from, the folder is free for the next one.

    Args:
        folder: The run's folder.
        recipe: The run's recipe.
        resume: Whether to go on with the run that the folder has.

    Raises:
        FileExistsError: If there is a run in the folder and ``resume`` is off.
        OSError: If the folder cannot be written.
        ValueError: If the folder's run has another recipe.
    """
    path = folder / files.RECIPE
    claimed_before = path.exists()
    if claimed_before:
        if not resume:
            raise FileExistsError(f"{folder} has a run in it: pass --resume to go on with it, or name another folder.")
        _check_same(folder, Recipe.from_json(path.read_text("utf-8")), recipe)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, recipe.to_json().encode())
    try:
        yield
    except BaseException:
        if not claimed_before and not _has_begun(folder):
            path.unlink(missing_ok=True)
        raise


def _has_begun(folder: Path) -> bool:
    """Whether there are checkpoints, perhaps of a first stage, or a network."""
    return any(folder.glob(f"**/{files.CHECKPOINTS}/*")) or (folder / files.LAST).exists()


def _check_same(folder: Path, earlier: Recipe, recipe: Recipe) -> None:
    old, new = (json.loads(json.dumps(asdict(each))) for each in (earlier, recipe))
    differing = [f"{name} ({old[name]}, not {new[name]})" for name in old if old[name] != new[name]]
    if differing := [text for text in differing if not text.startswith(_FREE)]:
        raise ValueError(f"The run in {folder} was started with another recipe: {', '.join(differing)}.")
