"""A run that ends before its time goes on to the very numbers of one that did not."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from training_runs import arguments, command, numbers, recipe, wait_for

from larq_melius.zoo.runs.claim import claimed_folder
from larq_melius.zoo.training.trainer import train

#: Trains, and is killed when TensorFlow has written the variables of the step, but not all of the checkpoint.
KILLED_WHILE_WRITING = """
import os, signal, sys
import larq_melius
import tensorflow as tf
from larq_melius.cli import cli

step, *arguments = sys.argv[1:]
write = tf.train.Checkpoint.write

def write_and_die(self, path, *more, **options):
    written = write(self, path, *more, **options)
    if step in path:
        os.kill(os.getpid(), signal.SIGKILL)
    return written

tf.train.Checkpoint.write = write_and_die
cli(arguments)
"""


@pytest.mark.process
@pytest.mark.parametrize("moment", ["in an epoch", "while a checkpoint is written"])
def test_killed_run_goes_on_to_the_same_numbers(moment, uninterrupted, tmp_path) -> None:
    folder = tmp_path / "run"
    checkpoints = folder / "checkpoints"
    if moment == "in an epoch":
        process = subprocess.Popen(command(folder), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True)
        wait_for(lambda: list(checkpoints.glob("step-0000000043")), process)
        process.send_signal(signal.SIGKILL)
    else:
        script = [sys.executable, "-c", KILLED_WHILE_WRITING, "step-0000000043", *arguments(folder)]
        process = subprocess.Popen(
            script, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True
        )
    assert process.wait() == -signal.SIGKILL
    if moment == "while a checkpoint is written":
        # What was begun is no checkpoint, and is there to be cleaned up.
        assert sorted(path.name for path in checkpoints.glob("step-*")) == ["step-0000000033", "step-0000000038"]
        assert list(checkpoints.glob(".*"))
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


@pytest.mark.process
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


@pytest.mark.process
def test_finished_run_has_nothing_left_to_do(uninterrupted, tmp_path) -> None:
    folder = shutil.copytree(uninterrupted, tmp_path / "run")
    result = subprocess.run(command(folder, "--resume"), capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert result.stdout.startswith("Best: ")
    assert (folder / "log.csv").read_text() == (uninterrupted / "log.csv").read_text()


@pytest.mark.long
def test_damaged_checkpoint_is_named(tmp_path, digits) -> None:
    train(recipe("epochs=1"), digits, tmp_path / "run")
    (data,) = (tmp_path / "run/checkpoints/step-0000000033").glob("state.data*")
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ValueError, match="step-0000000033 is damaged"):
        train(recipe("epochs=1"), digits, tmp_path / "run", resume=True)


@pytest.mark.long
def test_folder_of_another_run_is_left_alone(tmp_path, digits) -> None:
    folder = tmp_path / "run"
    train(recipe("epochs=1"), digits, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match="pass --resume"):
        train(recipe("epochs=1"), digits, folder)
    with pytest.raises(ValueError, match=r"another recipe: epochs \(1, not 2\), seed \(1, not 2\)\."):
        train(recipe("seed=2"), digits, folder, resume=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.long
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


@pytest.mark.long
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
