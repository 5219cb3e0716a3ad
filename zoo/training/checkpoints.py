"""Checkpoints that a kill at any moment leaves whole: written to a folder of their own, which is then renamed."""

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
    """The checkpoints of one run, of which the newest two are kept.

    A checkpoint is a folder ``step-<number>`` with TensorFlow's checkpoint of the variables and ``progress.json``. It
    gets its name once all of it is on the disk, so a folder of that name is a whole checkpoint.

    Args:
        folder: Where they are kept; made when the first is written.
        variables: What is saved, by name: anything that ``tf.train.Checkpoint`` tracks.
        chief: Whether this process writes the files; the other workers take part in reading the variables only.
    """

    def __init__(self, folder: str | os.PathLike[str], variables: dict[str, Any], *, chief: bool = True) -> None:
        self._folder = Path(folder)
        self._checkpoint = tf.train.Checkpoint(**variables)
        self._chief = chief

    def save(self, step: int, progress: dict[str, Any]) -> None:
        """Writes a checkpoint and removes those before the last one.

        Args:
            step: Number of training steps so far.
            progress: What JSON can hold of the run's progress.

        Raises:
            OSError: If it cannot be written (a full disk); earlier checkpoints are still whole.
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
        """Reads the newest whole checkpoint into the variables.

        A damaged one is renamed, so that it is out of the way, and the one before it is read.

        Args:
            parse: Turns what ``save`` was given as progress into what the caller needs; any error means damage.
            say: Called with a line about each damaged checkpoint.

        Returns:
            What ``parse`` made of the progress, or ``None`` if there is no checkpoint.

        Raises:
            ValueError: If all checkpoints are damaged or of another network or optimizer.
        """
        damaged: list[Path] = []
        for step in reversed(self._steps()):
            folder = self._folder / f"{_PREFIX}{step:010d}"
            try:
                progress = parse(json.loads((folder / _PROGRESS).read_text("utf-8")))
                self._checkpoint.read(str(folder / _STATE)).assert_existing_objects_matched().assert_consumed()
            except Exception as error:  # what TensorFlow raises for a damaged file is of many kinds
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
        """Removes what a killed process has left half-written."""
        for leftover in self._folder.glob(f".{_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _steps(self) -> list[int]:
        matches = (_NAME.fullmatch(path.name) for path in self._folder.glob(f"{_PREFIX}*"))
        return sorted(int(match[1]) for match in matches if match)


def _flush(folder: Path) -> None:
    """Has everything in a folder on the disk before the folder gets its name."""
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
