"""Fixtures that several test modules share."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from filelock import FileLock

import larq_melius  # noqa: F401 - selects legacy Keras before a test module imports Larq
from larq_melius.runtime import find_library

TESTS = Path(__file__).parent
ROOT = TESTS.parent

pytest.register_assert_rewrite("data_batches", "training_runs")

#: The modules that take longest, longest first: begun last, one of them would keep a single core busy at the end.
LONGEST = (
    "zoo/training/test_workers.py",
    "zoo/training/test_resuming.py",
    "zoo/training/test_trainer.py",
    "zoo/test_ablations.py",
    "larq_melius/models/test_applications.py",
    "converters/export/test_export.py",
    "converters/export/test_everybodys_models.py",
    "larq_melius/analysis/test_operations.py",
    "zoo/data/test_pipeline.py",
    "larq_melius/cli/test_weights_commands.py",
    "larq_melius/models/test_safe_loading.py",
    "larq_melius/cli/test_cli.py",
    "zoo/test_publishing.py",
    "zoo/test_evaluation.py",
    "converters/quantization/test_weight_only.py",
    "converters/importers/test_bmxnet.py",
    "larq_melius/weights/test_store.py",
    "converters/importers/test_bitorch.py",
    "zoo/training/test_training.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest modules first; ``--dist loadfile --no-loadscope-reorder`` hands them out in this order."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.relative_to(TESTS).as_posix(), len(LONGEST)))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """A function that makes a folder once a session, whichever of xdist's processes asks for it first.

    It takes the folder's name and what fills it, and gives the folder, which tests leave as it is.
    """
    base = tmp_path_factory.getbasetemp()
    # The processes of xdist have neighboring folders.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        shared.mkdir(exist_ok=True)
        with FileLock(shared / f"{name}.lock"):
            if not (shared / name).exists():
                unfinished = Path(tempfile.mkdtemp(dir=shared))
                fill(unfinished)
                unfinished.rename(shared / name)
        return shared / name

    return folder


def _randomize(model: tf.keras.Model, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            channels = layer.moving_mean.shape[0]
            if layer.gamma_constraint is None:
                layer.gamma.assign(rng.uniform(0.5, 1.5, channels) * rng.choice([-1, 1], channels))
            layer.beta.assign(rng.normal(0, 0.5, channels))
            layer.moving_mean.assign(rng.normal(0, 1, channels))
            layer.moving_variance.assign(rng.uniform(0.5, 2, channels))
        elif hasattr(layer, "kernel"):
            layer.kernel.assign(rng.normal(0, 0.2, layer.kernel.shape))
            if getattr(layer, "bias", None) is not None:
                layer.bias.assign(rng.normal(0, 0.5, layer.bias.shape))


@pytest.fixture(scope="session")
def randomize() -> Callable[..., None]:
    """A function that gives a model random kernels and batch norms, with gammas of either sign.

    Fresh batch norms do nothing, and hide what goes wrong with them.
    """
    return _randomize


@pytest.fixture(scope="session")
def delegate_library() -> Path:
    """The delegate: that of the environment or the installation, or else what CMake builds from the sources."""
    given = find_library()
    if given is not None:
        return given
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        pytest.skip("There is no C++ compiler, and so no delegate.")
    (ROOT / "build").mkdir(exist_ok=True)
    with FileLock(ROOT / "build/runtime.lock"):
        target = ["--target", "larq_melius_delegate"]
        for command in (["--preset", "release"], ["--build", "--preset", "release", *target]):
            subprocess.run(["cmake", *command], cwd=ROOT / "runtime", check=True, stdout=subprocess.DEVNULL)
    return ROOT / "build/runtime/release/liblarq_melius_delegate.so"


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs code in a fresh interpreter, away from the sources, which would shadow the package."""

    def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment.pop("TF_USE_LEGACY_KERAS", None)
        command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def tiny_imagenet(once: Callable[..., Path]) -> Path:
    """The ``data_dir`` of a tiny ImageNet, as tensorflow-datasets keeps the real one."""
    from tiny_imagenet import prepare

    return once("tfds", prepare)


@pytest.fixture(scope="session")
def digits() -> Any:
    """scikit-learn's digits, as trainings get them."""
    from larq_melius.zoo.data import load_data

    return load_data("digits")


@pytest.fixture(scope="session")
def uninterrupted(once: Callable[..., Path]) -> Path:
    """The folder of a run of three epochs, made by the command line."""
    from training_runs import command

    def train(folder: Path) -> None:
        result = subprocess.run(command(folder / "run"), capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr

    return once("uninterrupted", train) / "run"


@pytest.fixture
def float64() -> Iterator[None]:
    """Lets Keras compute in double precision during the test."""
    floatx, policy = tf.keras.backend.floatx(), tf.keras.mixed_precision.global_policy()
    tf.keras.backend.set_floatx("float64")
    tf.keras.mixed_precision.set_global_policy("float64")
    yield
    tf.keras.backend.set_floatx(floatx)
    tf.keras.mixed_precision.set_global_policy(policy)
