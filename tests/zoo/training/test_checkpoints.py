"""Checkpoints that are damaged: the one before is gone on from, and it is said so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from larq_melius.zoo.training.checkpoints import Checkpoints


def made(folder: Path) -> tuple[Checkpoints, tf.Variable]:
    variable = tf.Variable([0.0, 0.0])
    return Checkpoints(folder, {"variable": variable}), variable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two checkpoints, of the steps 10 and 20."""
    checkpoints, variable = made(tmp_path)
    for step in (10, 20):
        variable.assign([step, step])
        checkpoints.save(step, {"step": step})
    return tmp_path


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "null": lambda newest: (newest / "progress.json").write_text("null"),
    "nothing in it": lambda newest: (newest / "progress.json").write_text("{}"),
    "no JSON": lambda newest: (newest / "progress.json").write_text('{"step": 2'),
    "no progress": lambda newest: (newest / "progress.json").unlink(),
    "a flipped bit": lambda newest: flip(newest / "state.data-00000-of-00001"),
    "a cut index": lambda newest: (newest / "state.index").write_bytes(b"cut"),
    "no variables": lambda newest: (newest / "state.data-00000-of-00001").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_one_before_a_damaged_one_is_read(folder: Path, damage: str) -> None:
    DAMAGE[damage](folder / "step-0000000020")
    checkpoints, variable = made(folder)
    said: list[str] = []
    assert checkpoints.restore(lambda progress: progress["step"], said.append) == 10
    assert variable.numpy().tolist() == [10, 10]
    assert len(said) == 1
    assert "step-0000000020 is damaged: going on from step-0000000010" in said[0]
    # It is out of the way: what follows keeps two whole ones.
    checkpoints.save(15, {"step": 15})
    assert sorted(path.name for path in folder.iterdir()) == [
        "damaged-step-0000000020",
        "step-0000000010",
        "step-0000000015",
    ]
    said.clear()
    assert made(folder)[0].restore(lambda progress: progress["step"], said.append) == 15
    assert not said


@pytest.mark.parametrize("damage", DAMAGE)
def test_without_a_whole_one_nothing_is_begun_anew(folder: Path, damage: str) -> None:
    shutil.rmtree(folder / "step-0000000010")
    DAMAGE[damage](folder / "step-0000000020")
    with pytest.raises(ValueError, match=r"step-0000000020 is damaged, or of another network or optimizer, and"):
        made(folder)[0].restore(lambda progress: progress["step"])
    assert [path.name for path in folder.iterdir()] == ["step-0000000020"]


def test_other_names_are_no_checkpoints(folder: Path) -> None:
    for name in ("step-²", "step-٣", "step-00000000200", "step-", "step--000000001"):
        (folder / name).mkdir()
        (folder / name / "progress.json").write_text(json.dumps({"step": 99}))
    assert made(folder)[0].restore(lambda progress: progress["step"]) == 20
