"""What a training says of itself, and the memory that it says a step takes."""

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from training_runs import recipe, small_network

from larq_melius.zoo.runs.log import EpochLog
from larq_melius.zoo.training import memory, monitoring
from larq_melius.zoo.training.memory import check_memory, image_memory, step_memory
from larq_melius.zoo.training.monitoring import Progress
from larq_melius.zoo.training.trainer import train

ROW = EpochLog("Net", "thumbnail", 1, 0.1, 0.5, 0.9, 0.5, 0.9, 12.0, 1.0, 1.0)


def test_a_log_file_gets_a_line_a_minute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter(range(0, 1000, 25))
    monkeypatch.setattr(monitoring.time, "monotonic", lambda: next(clock))
    with Progress(epochs=3, steps=1000, batch_size=4) as progress:
        progress.start(1, done=400)
        for _ in range(6):
            progress.update(50, loss=1.5, top1=0.25)
        progress.finish(ROW, seconds_left=24.0)
    out, err = capsys.readouterr()
    first, second, *_, last = err.splitlines()
    # 50 steps take 25 seconds.
    assert first == "Epoch 1/3: 450 of 1,000 steps, loss 1.5000, top-1 25.00%; 0:04:35 left of the epoch"
    assert second.startswith("Epoch 1/3: 600 of 1,000 steps")
    assert last.startswith("Epoch 1/3: loss 1.0000")
    assert (out, len(err.splitlines())) == ("", 3)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(monitoring, "_SECONDS_BETWEEN_LINES", 0.0)
    with Progress(epochs=3, steps=10, batch_size=4) as progress:
        progress.start(1, done=0)
        progress.update(5, loss=1.5, top1=0.25)
    assert " of 10 steps" not in terminal.getvalue()
    assert "Epoch 1/3:" in terminal.getvalue()


def test_batches_that_cannot_fit_are_refused_with_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_network()
    monkeypatch.setattr(memory, "machine_memory", lambda: step_memory(network, 1000))
    check_memory(network, 1000)
    with pytest.raises(ValueError, match=r"^A step of 1001 images of 8x8 pixels takes about .* GiB .* at most 1000, "):
        check_memory(network, 1001)
    monkeypatch.setattr(memory, "machine_memory", lambda: 1 << 10)
    with pytest.raises(ValueError, match=r"this machine has .* GiB: set a smaller image_size\.$"):
        check_memory(network, 1)
    monkeypatch.setattr(memory, "machine_memory", lambda: None)
    check_memory(network, 1 << 40)


def test_a_run_that_cannot_fit_does_not_begin(
    digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 1 << 25)
    with pytest.raises(
        ValueError, match=r"images of 8x8 pixels takes about 0\.\d+ GiB .* set batch_size to at most \d+"
    ):
        train(recipe("batch_size=1024"), digits, tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_memory_of_a_network_by_hand() -> None:
    """The maps of ``small_network``, of 8x8 pixels and from the transition on of 4x4."""
    # Image; stem; then a dense and an improvement block: two batch norms, their signs, and three times 64 new channels.
    first = 1 + 64 + 2 * 64 + 64 + 2 * 128 + 128 + 64 + 128
    # Batch norm before the pool; pool, ReLU and convolution behind it, the blocks, and the final batch norm and ReLU.
    second = 128 + 128 + 64 + 2 * 64 + 64 + 2 * 128 + 128 + 64 + 128 + 2 * 128
    assert image_memory(small_network()) == 4 * (64 * (first + 128) + 16 * second + 128 + 10)


MEASURE = """
import numpy as np
import tensorflow as tf
from larq_melius.preprocessing import IMAGENET
from larq_melius.zoo.data.image_dataset import ImageDataset
from larq_melius.zoo.recipes import load_recipe
from larq_melius.zoo.training import memory, network, steps
from larq_melius.zoo.training.optimization import learning_rate, optimizer_for

def status(key):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(key))

recipe = load_recipe("MeliusNetTiny", settings=["batch_size=64"])
data = ImageDataset("x", tuple("abc"), (64, 64, 3), IMAGENET, {"train": 1000}, None)
model = network.training_network(recipe, data)
optimizer = optimizer_for(recipe, learning_rate(recipe, 100))
optimizer.build(model.trainable_variables)
train = steps.Steps(model, optimizer, recipe, steps.FlipCounter(model, "none"))
batch = np.random.rand(64, 64, 64, 3).astype("float32"), np.zeros(64, "int64")
before = status("VmRSS")
train.train(iter(tf.data.Dataset.from_tensors(batch).repeat()), 3)
print(memory.step_memory(model, 64) / (status("VmHWM") - before))
"""


@pytest.mark.slow
def test_memory_is_what_a_process_takes(run_python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    result = run_python(MEASURE)
    assert result.returncode == 0, result.stderr
    assert 0.7 < float(result.stdout) < 1.4


@pytest.mark.long
def test_the_start_says_what_is_trained(
    digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(monitoring, "_SECONDS_BETWEEN_LINES", 0.0)
    train(recipe("epochs=1", "batch_size=256"), digits, tmp_path)
    first, *steps, last = capsys.readouterr().err.splitlines()
    images = digits.sizes["train"]
    assert re.fullmatch(
        rf"Training MeliusNet with the thumbnail stem on {images:,} images at 8x8 pixels: {images // 256} steps of 256 "
        r"an epoch, each of which takes about 0\.\d+ GiB of memory\.",
        first,
    )
    assert steps[0].startswith(f"Epoch 1/1: 1 of {images // 256} steps, loss ")
    assert re.fullmatch(r"Epoch 1/1: loss .*; [\d.]+ s", last)
