"""A run that ends before its time goes on to the very numbers of one that did not."""

import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from training_runs import command, numbers, recipe, wait_for

from larq_melius.zoo.runs.claim import claimed_folder
from larq_melius.zoo.training.trainer import train


@pytest.mark.parametrize("moment", ["in an epoch", "while a checkpoint is written"])
def test_killed_run_goes_on_to_the_same_numbers(moment, uninterrupted, tmp_path) -> None:
    folder = tmp_path / "run"
    checkpoints = folder / "checkpoints"
    process = subprocess.Popen(command(folder), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True)
    if moment == "in an epoch":
        wait_for(lambda: list(checkpoints.glob("step-0000000043")), process)
    else:
        # A half-written checkpoint has a hidden name.
        wait_for(lambda: list(checkpoints.glob("step-0000000033")), process)
        wait_for(lambda: list(checkpoints.glob(".step-*/state*")), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(numbers(folder)) < 3
    result = subprocess.run(command(folder, "--resume"), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Going on after 1 epochs and" in result.stderr
    assert numbers(folder) == numbers(uninterrupted)
    assert (folder / "flips.csv").read_text() == (uninterrupted / "flips.csv").read_text()
    assert not list(checkpoints.glob(".*"))
    ours, others = (tf.keras.models.load_model(path / "last.keras") for path in (folder, uninterrupted))
    for mine, other in zip(ours.get_weights(), others.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_terminated_run_saves_and_says_how_to_go_on(uninterrupted, tmp_path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(command(folder), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    wait_for(lambda: list((folder / "checkpoints").glob("step-*")), process)
    process.terminate()
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.splitlines()[-1].endswith("Run the command again with --resume to go on.")
    subprocess.run(command(folder, "--resume"), capture_output=True, check=True)
    assert numbers(folder) == numbers(uninterrupted)


def test_finished_run_has_nothing_left_to_do(uninterrupted) -> None:
    before = (uninterrupted / "log.csv").read_text()
    result = subprocess.run(command(uninterrupted, "--resume"), capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert result.stdout.startswith("Best: ")
    assert (uninterrupted / "log.csv").read_text() == before


def test_damaged_checkpoint_is_named(uninterrupted, tmp_path, digits) -> None:
    train(recipe("epochs=1"), digits, tmp_path / "run")
    (data,) = (tmp_path / "run/checkpoints/step-0000000033").glob("state.data*")
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ValueError, match="step-0000000033 is damaged"):
        train(recipe("epochs=1"), digits, tmp_path / "run", resume=True)


def test_folder_of_another_run_is_left_alone(tmp_path, digits) -> None:
    folder = tmp_path / "run"
    train(recipe("epochs=1"), digits, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match="pass --resume"):
        train(recipe("epochs=1"), digits, folder)
    with pytest.raises(ValueError, match=r"another recipe: epochs \(1, not 2\), seed \(1, not 2\)\."):
        train(recipe("seed=2"), digits, folder, resume=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_folder_of_a_run_that_came_to_nothing_is_free(tmp_path, digits) -> None:
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match="too small for the grouped stem"):
        train(recipe("stem=grouped"), digits, folder)
    with pytest.raises(RuntimeError, match="diverged"):
        train(recipe("optimizer=sgd", "learning_rate=3e38", "quantization=float"), digits, folder)
    assert train(recipe("epochs=1"), digits, folder)


def test_folder_with_a_checkpoint_of_the_first_stage_is_not_free(tmp_path) -> None:
    (tmp_path / "first_stage/checkpoints/step-0000000001").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), claimed_folder(tmp_path, recipe(), resume=False):
        raise KeyboardInterrupt
    with pytest.raises(FileExistsError, match="pass --resume"), claimed_folder(tmp_path, recipe(), resume=False):
        pass


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, digits, monkeypatch) -> None:
    from larq_melius.zoo.training import checkpoints

    def full(folder: Path) -> None:
        if folder.name.startswith(".step-0000000010"):
            raise OSError(28, "No space left on device", str(folder))

    monkeypatch.setattr(checkpoints, "_flush", full)
    with pytest.raises(OSError, match="No space left"):
        train(recipe(), digits, tmp_path / "run", checkpoint_steps=5)
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-0000000005"]
    with pytest.raises(FileExistsError, match="pass --resume"):
        train(recipe(), digits, tmp_path / "run")
