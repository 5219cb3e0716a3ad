"""Importing the package in fresh processes: which Keras it selects, and what it leaves alone."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

BUILD = """
import tensorflow as tf
model = larq_melius.MeliusNet([1], [], stem="thumbnail", input_shape=(8, 8, 1), classes=3)
assert isinstance(model, tf.keras.Model)
assert tf.keras.Model.__module__.startswith("tf_keras"), tf.keras.Model.__module__
from tensorflow.keras.layers import Conv2D
assert any(isinstance(layer, Conv2D) for layer in model.layers)
print("built")
"""
MODULES = """
import sys
heavy = ("larq_melius.zoo", "larq_melius.converters", "larq_melius.cli", "larq_compute_engine", "sklearn", "matplotlib")
print(*[name for name in sys.modules if name.startswith(heavy)])
"""

pytestmark = pytest.mark.process

#: What a process runs, and its TF_USE_LEGACY_KERAS.
PROGRAMS: dict[str, tuple[str, str | None]] = {
    "alone": ("import larq_melius" + MODULES + BUILD, None),
    "legacy off": ("import larq_melius" + BUILD, "0"),
    "legacy on": ("from tensorflow.keras import layers\nimport larq_melius" + BUILD, "1"),
    "after tensorflow": ("import tensorflow as tf\nimport larq_melius" + BUILD, None),
    "after keras from tensorflow": ("from tensorflow import keras\nimport larq_melius" + BUILD, "0"),
    "tf.keras used": ("import tensorflow as tf\ntf.keras.layers\nimport larq_melius", None),
    "tf.keras imported from": ("from tensorflow.keras import layers\nimport larq_melius", None),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """All programs, run two at a time and away from the sources, which would shadow the package."""
    folder: Path = tmp_path_factory.mktemp("import")

    def run(program: tuple[str, str | None]) -> subprocess.CompletedProcess[str]:
        code, legacy = program
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment.pop("TF_USE_LEGACY_KERAS", None)
        if legacy is not None:
            environment["TF_USE_LEGACY_KERAS"] = legacy
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(PROGRAMS, pool.map(run, PROGRAMS.values()), strict=True))


@pytest.mark.parametrize(
    "program", ["alone", "legacy off", "legacy on", "after tensorflow", "after keras from tensorflow"]
)
def test_the_package_selects_legacy_keras(finished: dict[str, subprocess.CompletedProcess[str]], program: str) -> None:
    process = finished[program]
    assert process.returncode == 0, process.stderr
    assert process.stdout.endswith("built\n")


@pytest.mark.parametrize("program", ["tf.keras used", "tf.keras imported from"])
def test_keras_3_in_use_is_one_clear_error(finished: dict[str, subprocess.CompletedProcess[str]], program: str) -> None:
    process = finished[program]
    assert process.returncode == 1
    *traceback, last = process.stderr.strip().splitlines()
    assert last.startswith("ImportError: larq_melius needs legacy Keras")
    assert "TF_USE_LEGACY_KERAS=1" in last
    assert not any("During handling" in line or "direct cause" in line for line in traceback)


def test_the_package_imports_nothing_that_models_do_not_need(
    finished: dict[str, subprocess.CompletedProcess[str]],
) -> None:
    process = finished["alone"]
    assert process.stdout == "\nbuilt\n", process.stderr
