"""Checkpoints that stay intact when the process is killed: each is written to a temporary folder, then renamed."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf

_PREFIX = "step-"
_NAME = re.compile(_PREFIX + "([0-9]{10})")
_PROGRESS = "progress.json"
_STATE = "state"

T = TypeVar("T")


class Checkpoints:
    """The checkpoints of a run, of which the newest two are kept.

    A checkpoint is a folder ``step-<number>`` with TensorFlow's checkpoint of the variables and ``progress.json``. It
    gets that name once it is completely on the disk, so every folder with such a name is complete.

    Args:
        folder: Folder of the checkpoints; created with the first one.
        variables: Objects to save, by name: anything that ``tf.train.Checkpoint`` tracks.
        chief: Whether this process writes the files; other workers only take part in reading the variables.
    """

    def __init__(self, folder: str | os.PathLike[str], variables: dict[str, Any], *, chief: bool = True) -> None:
        self._folder = Path(folder)
        self._checkpoint = tf.train.Checkpoint(**variables)
        self._chief = chief

    def save(self, step: int, progress: dict[str, Any]) -> None:
        """Writes a checkpoint and removes all but the newest two.

        Args:
            step: Training steps done so far.
            progress: Progress of the run, serializable as JSON.

        Raises:
            OSError: If it cannot be written, such as to a full disk; earlier checkpoints stay intact.
        """
        final = self._folder / f"{_PREFIX}{step:010d}"
        temporary = self._folder / f".{final.name}.{'chief' if self._chief else os.getpid()}"
        earlier = self._steps()
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            self._checkpoint.write(str(temporary / _STATE))
            if self._chief:
                (temporary / _PROGRESS).write_text(json.dumps(progress), "utf-8")
                _flush(temporary)
                shutil.rmtree(final, ignore_errors=True)
                os.replace(temporary, final)
        except tf.errors.OpError as error:
            raise OSError(f"Cannot write the checkpoint {final}: {error.message}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        if self._chief:
            for old in [number for number in earlier if number != step][:-1]:
                shutil.rmtree(self._folder / f"{_PREFIX}{old:010d}", ignore_errors=True)

    def restore(self, parse: Callable[[Any], T], say: Callable[[str], None] = print) -> T | None:
        """Restores the variables from the newest intact checkpoint.

        Damaged ones are renamed to ``damaged-step-<number>``.

        Args:
            parse: Converts the progress that ``save`` was given; any error it raises means damage.
            say: Called with a message about each damaged checkpoint.

        Returns:
            The result of ``parse``, or ``None`` if there is no checkpoint.

        Raises:
            ValueError: If all checkpoints are damaged, or belong to another network or optimizer.
        """
        damaged: list[Path] = []
        for step in reversed(self._steps()):
            folder = self._folder / f"{_PREFIX}{step:010d}"
            try:
                progress = parse(json.loads((folder / _PROGRESS).read_text("utf-8")))
                self._checkpoint.read(str(folder / _STATE)).assert_existing_objects_matched().assert_consumed()
            except Exception as error:  # TensorFlow raises many types for damaged files
                damaged.append(folder)
                reason = error
                continue
            for each in damaged:
                say(f"The checkpoint {each} is damaged: going on from {folder.name}, the one before.")
                if self._chief:
                    aside = each.with_name(f"damaged-{each.name}")
                    shutil.rmtree(aside, ignore_errors=True)
                    os.replace(each, aside)
            return progress
        if damaged:
            raise ValueError(
                f"The checkpoint {damaged[0]} is damaged, or of another network or optimizer, and there is no other "
                "one to go on from. Remove it to start anew."
            ) from reason
        return None

    def clean(self) -> None:
        """Removes incomplete checkpoints of a killed process."""
        for leftover in self._folder.glob(f".{_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _steps(self) -> list[int]:
        matches = (_NAME.fullmatch(path.name) for path in self._folder.glob(f"{_PREFIX}*"))
        return sorted(int(match[1]) for match in matches if match)


def _flush(folder: Path) -> None:
    """Flushes a folder and its files to the disk, so that a rename cannot overtake them."""
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
