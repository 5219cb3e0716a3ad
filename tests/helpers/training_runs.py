"""What tests of training share: short runs on digits."""

import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from command_line import COMMAND

import larq_melius
from larq_melius.zoo.recipes import Recipe, load_recipe
from larq_melius.zoo.runs.log import EpochLog, read_rows

#: What is timed cannot be the same twice.
TIMED = ("seconds",)
#: A network that TensorFlow traces in a second.
SMALL = ("model=MeliusNet", 'architecture={"num_blocks": [1, 1], "transition_filters": [64]}', "stem=thumbnail")


def recipe(*settings: str) -> Recipe:
    return load_recipe("MeliusNetTiny", settings=["epochs=2", "warmup_epochs=0", "flips=all", *SMALL, *settings])


def small_network(**options: Any) -> tf.keras.Model:
    return larq_melius.MeliusNet([1, 1], [64], stem="thumbnail", input_shape=(8, 8, 1), classes=10, **options)


def arguments(folder: Path, *more: object) -> list[str]:
    """The command line of a run of three epochs, without the command."""
    run = ["train", "meliusnettiny", "--epochs", 3, "--set", "flips=all", "--checkpoint-steps", 5, "-o", folder, *more]
    return list(map(str, run))


def command(folder: Path, *more: object) -> list[str]:
    return [str(COMMAND), *arguments(folder, *more)]


def set_options(settings: Iterable[str]) -> list[str]:
    """The command line's words for settings of a recipe."""
    return [word for setting in settings for word in ("--set", setting)]


def assert_close(
    ours: list[dict[str, Any]], others: list[dict[str, Any]], tolerance: float, *, share_tolerance: float = 0.0
) -> None:
    """Numbers agree relative to their size, shares of right answers also within ``share_tolerance``."""
    for mine, other in zip(ours, others, strict=True):
        assert mine.keys() == other.keys()
        for key, value in mine.items():
            if isinstance(value, str):
                assert value == other[key], key
            else:
                absolute = share_tolerance if "top" in key else 0.0
                assert value == pytest.approx(other[key], rel=tolerance, abs=absolute), key


def numbers(folder: Path) -> list[dict[str, Any]]:
    rows = [asdict(row) for row in read_rows(folder / "log.csv", EpochLog)]
    return [{key: value for key, value in row.items() if key not in TIMED} for row in rows]


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
