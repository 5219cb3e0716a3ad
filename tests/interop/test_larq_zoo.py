"""Compares the networks with the Larq Zoo's own, by the weight files that it writes.

The outputs must agree in float64 to ``TOLERANCE`` times their standard deviation; the other environment's are from
networks into which the Larq Zoo has loaded its files. In float32 an activation within rounding of zero can come out on
its other side, and one such sign moves the logits by as much as an error would: there the signs are compared first.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from larq_melius.converters.importers.larq_zoo import larq_zoo_to_keras

TOLERANCE = 1e-6
#: Root mean square difference of an image's logits in float32, over their standard deviation, that rounding makes
#: where no sign differs. Seen: up to 4e-7; one sign that differs makes 1e-2 and more.
ROUNDING = 1e-5
#: How far from zero, over the standard deviation of its map, an activation may be whose sign rounding flips. Seen:
#: 2e-6.
WITHIN_ROUNDING_OF_ZERO = 1e-5
#: Images of the comparison in float32.
SAMPLES = 24

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
        pytest.param("MeliusNet22", "MeliusNet22", 64, marks=pytest.mark.smoke),
        ("BinaryDenseNet28", "BinaryDenseNet28", 224),
        ("BinaryDenseNet28", "BinaryDenseNet28", 97),
        ("BinaryResNetE18", "ResNetE18", 224),
    ],
)
def test_the_larq_zoo_s_networks(theirs: str, ours: str, size: int, tmp_path: Path, float64: None) -> None:
    reference = run_larq_zoo(tmp_path, theirs, size)
    shape = (size, size, 3)
    model = larq_zoo_to_keras(tmp_path / "weights.h5", ours, input_shape=shape, classifier_activation=None)
    assert_close(model(reference["input"]).numpy(), reference["logits"])
    for file in ("notop.h5", "weights.h5"):
        backbone = larq_zoo_to_keras(tmp_path / file, ours, include_top=False, input_shape=shape)
        assert_close(backbone(reference["input"]).numpy(), reference["features"])


@pytest.mark.parametrize(
    ("theirs", "ours", "size"),
    [
        ("MeliusNet22", "MeliusNet22", 224),
        ("BinaryDenseNet28", "BinaryDenseNet28", 97),
        ("BinaryResNetE18", "ResNetE18", 128),
    ],
)
def test_differences_in_32_bits_are_flipped_signs(
    theirs: str, ours: str, size: int, tmp_path: Path, float64: None
) -> None:
    reference = run_larq_zoo(tmp_path, theirs, size, "--batch", str(SAMPLES), "--signs")
    exact = with_maps(tmp_path, ours, size)
    tf.keras.backend.set_floatx("float32")
    tf.keras.mixed_precision.set_global_policy("float32")
    rounded = with_maps(tmp_path, ours, size)
    comparisons: dict[str, list[Comparison]] = {"ours": [], "the Larq Zoo's own": [], "the two": []}
    for index, image in enumerate(reference["input"]):
        logits, maps = run(exact, image.astype("float64"))
        # The same function, if nothing is rounded ...
        assert np.abs(logits - reference["logits"][index]).max() < TOLERANCE * logits.std()
        ours32, maps32 = run(rounded, image)
        assert (logits.dtype, ours32.dtype) == (np.float64, np.float32)
        right, our_signs = [one >= 0 for one in maps], [one >= 0 for one in maps32]
        theirs32, their_signs = reference["logits32"][index], unpack(reference["signs32"][index], maps)
        comparisons["ours"].append(compare(ours32, logits, our_signs, right, maps))
        comparisons["the Larq Zoo's own"].append(compare(theirs32, logits, their_signs, right, maps))
        comparisons["the two"].append(compare(ours32, theirs32, our_signs, their_signs, maps32))
    for whose, samples in comparisons.items():
        flipped = [sample for sample in samples if sample.flipped]
        others = [sample.difference for sample in samples if not sample.flipped]
        # ... and rounding shows in no image but by a sign that it flips, in our network as in theirs,
        assert others
        assert max(others) < ROUNDING
        # of an activation that could as well have come out on the other side of zero.
        distance = max((sample.distance for sample in flipped), default=0.0)
        assert distance < WITHIN_ROUNDING_OF_ZERO
        print(f"{theirs}, {whose}: {len(flipped)} of {len(samples)} images with flipped signs, at most ", end="")
        print(f"{distance:.1e} from zero; those images at {[f'{s.difference:.1e}' for s in flipped]}, ", end="")
        print(f"the others at {max(others):.1e} or less")


@dataclass(frozen=True)
class Comparison:
    """An image in two networks.

    Attributes:
        difference: Root mean square difference of the logits over their standard deviation.
        flipped: Whether the sign of a binary activation differs.
        distance: How far from zero those of the first layer with such a sign are, over the layer's standard deviation.
    """

    difference: float
    flipped: bool
    distance: float


def compare(
    actual: np.ndarray,
    expected: np.ndarray,
    actual_signs: list[np.ndarray],
    expected_signs: list[np.ndarray],
    maps: list[np.ndarray],
) -> Comparison:
    """Compares an image's logits, signs layer by layer, and the maps that one of the two had the signs of."""
    difference = float(np.sqrt(np.mean((actual.astype("float64") - expected) ** 2)) / expected.std())
    # Behind the first layer with a flipped sign the inputs are others, and signs far from zero flip, too.
    for one, other, exact in zip(actual_signs, expected_signs, maps, strict=True):
        if (one != other).any():
            return Comparison(difference, True, float(np.abs(exact[one != other]).max() / exact.std()))
    return Comparison(difference, False, 0.0)


def with_maps(folder: Path, name: str, size: int) -> tf.keras.Model:
    """Our network, which also gives what its binary convolutions take the signs of."""
    options = {"input_shape": (size, size, 3), "classifier_activation": None}
    model = larq_zoo_to_keras(folder / "weights.h5", name, **options)
    maps = [layer.input for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)]
    return tf.keras.Model(model.input, [model.output, *maps])


def run(model: tf.keras.Model, image: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    logits, *maps = [output.numpy()[0] for output in model(image[None], training=False)]
    return logits, maps


def unpack(bits: np.ndarray, maps: list[np.ndarray]) -> list[np.ndarray]:
    """The signs of one image, an array for each map and of its shape."""
    ends = np.cumsum([one.size for one in maps])
    assert len(bits) == -(-ends[-1] // 8)
    signs = np.unpackbits(bits, count=ends[-1]).astype(bool)
    return [part.reshape(one.shape) for part, one in zip(np.split(signs, ends[:-1]), maps, strict=True)]


def run_larq_zoo(folder: Path, name: str, size: int, *options: str) -> dict[str, np.ndarray]:
    """What ``larq_zoo_reference.py`` records of a network; its weight files are in the folder."""
    subprocess.run([str(PYTHON), "-I", str(SCRIPT), name, str(folder), "--size", str(size), *options], check=True)
    with np.load(folder / "reference.npz") as arrays:
        return dict(arrays)


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    assert expected.std() > 0
    # The same logits for both images would mean that the network saw nothing.
    assert np.abs(expected[0] - expected[1]).max() > 1e-3 * expected.std()
    difference = np.abs(actual - expected).max() / expected.std()
    print(f"largest difference: {difference:.1e} standard deviations")
    assert difference < TOLERANCE
