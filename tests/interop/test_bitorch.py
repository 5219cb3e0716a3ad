"""Compares the networks with BITorch, the authors' own PyTorch library, on random weights.

The logits must agree in float64 to ``TOLERANCE`` times their standard deviation. In float32 the comparison would mean
little: rounding flips signs, and one flipped sign moves the logits by as much as a wrong epsilon does.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import larq_melius
from larq_melius.conventions import AUTHORS, Convention
from larq_melius.layers import ChannelShuffle
from larq_melius.models import blocks

from .bitorch_weights import load_state

TOLERANCE = 1e-6
#: What a mistake must cost at least to be told from rounding without doubt.
VISIBLE = 1e-3

PYTHON = os.environ.get("INTEROP_PYTHON")
SCRIPT = Path(__file__).with_name("bitorch_reference.py")

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="INTEROP_PYTHON does not name the Python of an environment with BITorch (make interop)"
)


@dataclass(frozen=True)
class Reference:
    """A BITorch model as recorded by ``bitorch_reference.py``."""

    state: dict[str, np.ndarray]
    image: np.ndarray
    logits: np.ndarray


def run_bitorch(folder: Path, model: str, stem: str, size: int, *, padding_value: float = -1.0) -> Reference:
    """Runs a BITorch model with random weights on random images."""
    path = folder / "reference.npz"
    options = ["--stem", stem, "--size", str(size), "--padding-value", str(padding_value)]
    # -I keeps what the tests' own Python has on its path out of the other environment.
    subprocess.run([str(PYTHON), "-I", str(SCRIPT), model, str(path), *options], check=True)
    with np.load(path) as arrays:
        state = {name.removeprefix("state/"): arrays[name] for name in arrays.files if name.startswith("state/")}
        reference = Reference(state, arrays["input"], arrays["logits"])
    path.unlink()  # up to 400 MB, and pytest keeps the folders of three runs
    # Two networks that ignore their input would agree all too easily.
    assert np.std(reference.logits[0] - reference.logits[1]) > 0.01 * reference.logits.std()
    return reference


def deviation(
    reference: Reference, model: str, stem: str, *, convention: str | Convention = "authors", flip_signs: bool = True
) -> float:
    """The largest difference between our logits and BITorch's, in standard deviations of BITorch's."""
    network = larq_melius.get_model(
        model,
        weights=None,
        stem=stem,
        classifier_activation=None,
        input_shape=reference.image.shape[1:],
        convention=convention,
    )
    load_state(network, reference.state, stem, flip_signs=flip_signs)
    logits = network(reference.image, training=False).numpy()
    assert logits.dtype == np.float64
    result = float(np.abs(logits - reference.logits).max() / reference.logits.std())
    print(f"largest difference: {result:.1e} standard deviations")
    return result


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    before = tf.keras.backend.floatx()
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx(before)
    tf.keras.backend.clear_session()


@pytest.mark.parametrize(
    ("model", "bitorch_model", "stem", "size"),
    [
        ("MeliusNet22", "MeliusNet22", "conv7x7", 224),
        ("MeliusNet22", "MeliusNet22", "grouped", 97),
        ("MeliusNet23", "MeliusNet23", "thumbnail", 32),
        ("MeliusNet29", "MeliusNet29", "conv7x7", 64),
        ("MeliusNet42", "MeliusNet42", "conv7x7", 64),
        ("MeliusNet59", "MeliusNet59", "conv7x7", 64),
        ("MeliusNetA", "MeliusNetA", "grouped", 64),
        ("MeliusNetB", "MeliusNetB", "grouped", 64),
        ("MeliusNetC", "MeliusNetC", "conv7x7", 225),
        ("MeliusNetC", "MeliusNetC", "grouped", 224),
        ("BinaryDenseNet28", "DenseNet28", "conv7x7", 97),
        ("BinaryDenseNet37", "DenseNet37", "conv7x7", 64),
        ("BinaryDenseNet45", "DenseNet45", "conv7x7", 64),
    ],
)
def test_dense_networks_agree(model: str, bitorch_model: str, stem: str, size: int, tmp_path: Path) -> None:
    reference = run_bitorch(tmp_path, bitorch_model, stem, size)
    assert deviation(reference, model, stem) < TOLERANCE


# ResNetE's weights cannot be carried over from a padding of -1 to our +1 (see load_state), so one side has to take the
# other's padding: once BITorch takes ours, which leaves the network as it ships, and once we take BITorch's.
@pytest.mark.parametrize(
    ("padding_value", "convention"),
    [(1.0, AUTHORS), (-1.0, replace(AUTHORS, binary_pad_value=-1.0))],
    ids=["bitorch-pads-ours", "we-pad-bitorchs"],
)
@pytest.mark.parametrize(
    ("model", "bitorch_model", "stem", "size"),
    [
        ("ResNetE18", "ResnetE18", "conv7x7", 224),
        ("ResNetE18", "ResnetE18", "grouped", 64),
        ("BiRealNet34", "ResnetE34", "conv7x7", 64),
    ],
)
def test_residual_networks_agree(
    model: str, bitorch_model: str, stem: str, size: int, padding_value: float, convention: Convention, tmp_path: Path
) -> None:
    reference = run_bitorch(tmp_path, bitorch_model, stem, size, padding_value=padding_value)
    assert deviation(reference, model, stem, convention=convention, flip_signs=False) < TOLERANCE


@pytest.fixture(scope="module")
def meliusnet_c(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return run_bitorch(tmp_path_factory.mktemp("meliusnet_c"), "MeliusNetC", "conv7x7", 64)


def _no_shuffle(groups: int, name: str) -> tf.keras.layers.Layer:
    return tf.keras.layers.Activation("linear", name=name)


def _shuffle_by_four(groups: int, name: str) -> tf.keras.layers.Layer:
    return ChannelShuffle(4, name=name)


@pytest.mark.parametrize(
    ("attribute", "mistake"),
    [("BATCHNORM_EPSILON", 1e-3), ("ChannelShuffle", _no_shuffle), ("ChannelShuffle", _shuffle_by_four)],
    ids=["epsilon", "no-shuffle", "shuffle-by-the-groups-of-the-convolution"],
)
def test_wrong_architecture_shows(
    attribute: str, mistake: Any, meliusnet_c: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, attribute, mistake)
    assert deviation(meliusnet_c, "MeliusNetC", "conv7x7") > VISIBLE


@pytest.mark.parametrize(
    ("convention", "flip_signs"),
    [("larq_zoo", True), (replace(AUTHORS, symmetric_padding=False), True), ("authors", False)],
    ids=["larq_zoo", "asymmetric", "signs-not-flipped"],
)
def test_wrong_convention_shows(convention: str | Convention, flip_signs: bool, meliusnet_c: Reference) -> None:
    assert deviation(meliusnet_c, "MeliusNetC", "conv7x7", convention=convention, flip_signs=flip_signs) > VISIBLE


def test_every_tensor_counts(meliusnet_c: Reference) -> None:
    network = larq_melius.get_model("MeliusNetC", weights=None, stem="conv7x7")
    name = "_model.features.Transition_2.0.running_var"
    extra = {**meliusnet_c.state, "_model.features.more.weight": np.ones(1)}
    with pytest.raises(ValueError, match=r"no place for .*features\.more\.weight"):
        load_state(network, extra, "conv7x7", flip_signs=True)
    lacking = {key: tensor for key, tensor in meliusnet_c.state.items() if key != name}
    with pytest.raises(ValueError, match=r"no features\.Transition_2\.0\.running_var for transition2_bn"):
        load_state(network, lacking, "conv7x7", flip_signs=True)
