"""Compares converted BMXNet-v2 checkpoints with the authors' networks on MXNet, on random weights.

``bmxnet_reference.py`` builds the networks and writes the checkpoints. The logits must agree in float64 to
``TOLERANCE`` times their standard deviation. In float32 a few signs fall on the other side of zero, and one of them
moves the logits by as much as an error would: there only images in which none does can be compared.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from larq_melius.converters import import_weights
from larq_melius.converters.export.verify import logits_model
from larq_melius.converters.importers.bmxnet import bmxnet_to_keras

TOLERANCE = 1e-6

PYTHON = os.environ.get("MXNET_PYTHON")
SCRIPT = Path(__file__).with_name("bmxnet_reference.py")

pytestmark = pytest.mark.skipif(
    not PYTHON,
    reason="MXNET_PYTHON does not name the Python of an environment with MXNet (requirements-mxnet.txt)",
)


@dataclass(frozen=True)
class Reference:
    """What ``bmxnet_reference.py`` recorded, with both files written out."""

    image: np.ndarray
    logits: np.ndarray
    logits32: np.ndarray
    parameters: Path
    exported: Path


def run_mxnet(folder: Path, network: str, stem: str, size: int) -> Reference:
    """Runs a network of the authors' with random weights on random images."""
    path = folder / "reference.npz"
    # -I keeps what the tests' own Python has on its path out of the other environment.
    command = [str(PYTHON), "-I", str(SCRIPT), "network", network, str(path), "--stem", stem, "--size", str(size)]
    subprocess.run(command, check=True)
    with np.load(path) as archive:
        arrays = dict(archive)
    path.unlink()  # tens of megabytes, and pytest keeps the folders of three runs
    files = {style: folder / f"{style}.params" for style in ("parameters", "exported")}
    for style, file in files.items():
        file.write_bytes(arrays[style].tobytes())
    logits = arrays["logits"]
    # Two networks that ignore their input would agree all too easily.
    assert np.std(logits[0] - logits[1]) > 0.01 * logits.std()
    return Reference(arrays["input"], logits, arrays["logits32"], **files)


def relative_difference(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """For each image, the root mean square difference over the standard deviation of all expected logits."""
    return np.sqrt(np.mean((actual - expected) ** 2, axis=1)) / expected.std()


@pytest.mark.parametrize(
    ("model", "network", "stem", "size", "pad_value"),
    [
        ("MeliusNet22", "MeliusNet22", "grouped", 224, 1.0),
        ("MeliusNet22", "MeliusNet22", "thumbnail", 32, 1.0),
        ("MeliusNetC", "MeliusNetC", "grouped", 224, 1.0),
        ("MeliusNetC", "MeliusNetC", "conv7x7", 224, -1.0),
        ("BinaryDenseNet28", "DenseNet28", "conv7x7", 224, 1.0),
        ("NaiveNet17", "NaiveNet17", "conv7x7", 224, 1.0),
        ("ResNetE18", "ResNetE18", "grouped", 224, -1.0),
        ("ResNetE18", "ResNetE18", "conv7x7", 64, -1.0),
        ("ResNetE18", "ResNetE18", "thumbnail", 32, -1.0),
    ],
)
@pytest.mark.usefixtures("float64")
def test_same_function(model: str, network: str, stem: str, size: int, pad_value: float, tmp_path: Path) -> None:
    reference = run_mxnet(tmp_path, network, stem, size)
    results = []
    for path in (reference.parameters, reference.exported):
        converted = bmxnet_to_keras(
            path, model, input_shape=(size, size, 3), classifier_activation=None, binary_pad_value=pad_value
        )
        results.append(converted(reference.image.astype(np.float64), training=False).numpy())
        tf.keras.backend.clear_session()
        path.unlink()
    for logits in results:
        assert logits.dtype == np.float64
        deviation = np.abs(logits - reference.logits).max() / reference.logits.std()
        print(f"{model}, {stem}: largest difference {deviation:.1e} standard deviations")
        assert deviation < TOLERANCE


def test_residual_network_cannot_pad_with_one(tmp_path: Path) -> None:
    reference = run_mxnet(tmp_path, "ResNetE18", "conv7x7", 64)
    with pytest.raises(ValueError, match=r"stage1_block1_conv has no batch norm of its own in front"):
        bmxnet_to_keras(reference.parameters, "ResNetE18", input_shape=(64, 64, 3), binary_pad_value=1.0)


@pytest.mark.usefixtures("float64")
def test_imported_residual_network_keeps_the_padding_with_minus_one(tmp_path: Path) -> None:
    reference = run_mxnet(tmp_path, "ResNetE18", "thumbnail", 32)
    model = logits_model(import_weights(reference.parameters, "ResNetE18", input_shape=(32, 32, 3)))
    logits = model(reference.image.astype(np.float64), training=False).numpy()
    assert np.abs(logits - reference.logits).max() < TOLERANCE * reference.logits.std()


@pytest.mark.parametrize("model", ["MeliusNet29", "MeliusNetA", "BinaryDenseNet28", "NaiveNet17"])
def test_wrong_network(model: str, tmp_path: Path) -> None:
    reference = run_mxnet(tmp_path, "MeliusNet22", "thumbnail", 32)
    for path in (reference.parameters, reference.exported):
        with pytest.raises(ValueError, match=rf"{path.name}: (there is no|\w+ needs) [\w.:]+.* "):
            bmxnet_to_keras(path, model, input_shape=(32, 32, 3))
