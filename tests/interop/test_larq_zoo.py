"""Compares the networks with the Larq Zoo's own, by the weight files that it writes.

The outputs must agree in float64 to ``TOLERANCE`` times their standard deviation; the other environment's are from
networks into which the Larq Zoo has loaded its files.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from larq_melius.converters.larq_zoo import larq_zoo_to_keras

TOLERANCE = 1e-6
#: Relative rms difference in float32 that rounding alone stays below, and that a flipped sign exceeds.
ROUNDING, FLIPPED = 1e-5, 1e-4

PYTHON = os.environ.get("LARQ_ZOO_PYTHON")
SCRIPT = Path(__file__).with_name("larq_zoo_reference.py")

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="LARQ_ZOO_PYTHON does not name the Python of an environment with the Larq Zoo (make interop)"
)


@pytest.mark.parametrize(
    ("theirs", "ours", "size"),
    [
        ("MeliusNet22", "MeliusNet22", 224),
        ("MeliusNet22", "MeliusNet22", 97),
        ("BinaryDenseNet28", "BinaryDenseNet28", 224),
        ("BinaryDenseNet28", "BinaryDenseNet28", 97),
        ("BinaryResNetE18", "ResNetE18", 224),
    ],
)
def test_the_larq_zoo_s_networks(theirs: str, ours: str, size: int, tmp_path: Path, float64: None) -> None:
    subprocess.run([str(PYTHON), "-I", str(SCRIPT), theirs, str(tmp_path), "--size", str(size)], check=True)
    reference = np.load(tmp_path / "reference.npz")
    shape = (size, size, 3)
    model = larq_zoo_to_keras(tmp_path / "weights.h5", ours, input_shape=shape, classifier_activation=None)
    assert_close(model(reference["input"]).numpy(), reference["logits"])
    for file in ("notop.h5", "weights.h5"):
        backbone = larq_zoo_to_keras(tmp_path / file, ours, include_top=False, input_shape=shape)
        assert_close(backbone(reference["input"]).numpy(), reference["features"])


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    assert expected.std() > 0
    # The same logits for both images would mean that the network saw nothing.
    assert np.abs(expected[0] - expected[1]).max() > 1e-3 * expected.std()
    difference = np.abs(actual - expected).max() / expected.std()
    print(f"largest difference: {difference:.1e} standard deviations")
    assert difference < TOLERANCE


def test_differences_in_32_bits_are_flipped_signs(tmp_path: Path) -> None:
    """The same files agree in float64, above: what differs in float32 is rounding, theirs as ours."""
    command = [str(PYTHON), "-I", str(SCRIPT), "MeliusNet22", str(tmp_path), "--size", "224", "--batch", "16"]
    subprocess.run(command, check=True)
    reference = np.load(tmp_path / "reference.npz")
    network = larq_zoo_to_keras(
        tmp_path / "weights.h5", "MeliusNet22", input_shape=(224, 224, 3), classifier_activation=None
    )
    results = {"ours": network(reference["input"]).numpy(), "the Larq Zoo's own": reference["logits32"]}
    for whose, logits in results.items():
        errors = np.sqrt(np.mean((logits - reference["logits"]) ** 2, axis=1))
        difference = errors / reference["logits"].std(axis=1)
        flipped = difference > FLIPPED
        print(f"{whose}: {flipped.mean():.0%} of the samples with flipped signs, the others at {difference[~flipped]}")
        assert difference[~flipped].max() < ROUNDING
        assert flipped.mean() < 0.75
