"""Compares imported checkpoints with BITorch, the authors' own PyTorch library, on random weights.

The logits must agree in float64 to ``TOLERANCE`` times their standard deviation. In float32 the comparison would mean
little: rounding flips signs, and one flipped sign moves the logits by as much as a wrong epsilon does.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

import larq_melius
from larq_melius.converters.importers import bitorch
from larq_melius.converters.importers.bitorch import bitorch_to_keras, convert_bitorch
from larq_melius.converters.importers.formats import import_weights, recognize_format
from larq_melius.layers import ChannelShuffle
from larq_melius.models import blocks
from larq_melius.reference_implementations import AUTHORS, ReferenceImplementation

TOLERANCE = 1e-6
#: What a mistake must cost at least to be told from rounding without doubt.
VISIBLE = 1e-3
#: Relative rms difference in float32 that rounding alone stays below, and that a flipped sign exceeds.
ROUNDING, FLIPPED = 1e-5, 1e-4

PYTHON = os.environ.get("INTEROP_PYTHON")
HERE = Path(__file__).parent
READER = HERE.parents[1] / "converters" / "importers" / "torch_files.py"

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="INTEROP_PYTHON does not name the Python of an environment with BITorch (make interop)"
)

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Reference:
    """A BITorch model as recorded by ``bitorch_reference.py``."""

    state: State
    image: np.ndarray
    logits: np.ndarray
    logits32: np.ndarray


def run_script(name: str, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a script of this folder in the other environment."""
    # -I keeps what the tests' own Python has on its path out of it.
    command = [str(PYTHON), "-I", str(HERE / name), *map(str, arguments)]
    return subprocess.run(command, check=check, stderr=None if check else subprocess.PIPE, text=True)


def read_with_torch(path: Path) -> State:
    """What our reader reads in the other environment: this one has no PyTorch."""
    output = path.with_name(f"{path.name}.npz")
    result = run_script("torch_checkpoints.py", "read", READER, path, output, check=False)
    if result.returncode:
        raise ValueError(result.stderr.strip())
    with np.load(output) as arrays:
        state = dict(arrays)
    output.unlink()
    return state


def run_bitorch(folder: Path, model: str, stem: str, size: int, *options: str) -> Reference:
    """Runs a BITorch model with random weights on random images."""
    checkpoint, path = folder / "checkpoint.pth", folder / "reference.npz"
    run_script("bitorch_reference.py", model, checkpoint, path, "--stem", stem, "--size", str(size), *options)
    with np.load(path) as arrays:
        reference = Reference(read_with_torch(checkpoint), arrays["input"], arrays["logits"], arrays["logits32"])
    for file in (checkpoint, path):
        file.unlink()  # up to 200 MB, and pytest keeps the folders of three runs
    # Two networks that ignore their input would agree all too easily.
    assert np.std(reference.logits[0] - reference.logits[1]) > 0.01 * reference.logits.std()
    return reference


def deviation(reference: Reference, network: tf.keras.Model) -> float:
    """The largest difference between our logits and BITorch's, in standard deviations of BITorch's."""
    logits = network(reference.image.astype(np.float64), training=False).numpy()
    assert logits.dtype == np.float64
    result = float(np.abs(logits - reference.logits).max() / reference.logits.std())
    print(f"largest difference: {result:.1e} standard deviations")
    return result


def imported(monkeypatch: pytest.MonkeyPatch, reference: Reference, model: str) -> tf.keras.Model:
    """The network that users get from the checkpoint, but that PyTorch has read it in the other environment."""
    monkeypatch.setattr(bitorch, "read_state", lambda source: reference.state)
    shape = reference.image.shape[1:]
    return bitorch_to_keras("checkpoint.pth", model, input_shape=shape, classifier_activation=None)


def converted(reference: Reference, model: str, stem: str, convention: str | ReferenceImplementation) -> tf.keras.Model:
    """A network under a convention, with the weights of the reference."""
    network = larq_melius.get_model(
        model,
        weights=None,
        stem=stem,
        classifier_activation=None,
        input_shape=reference.image.shape[1:],
        convention=convention,
    )
    convert_bitorch(reference.state, network)
    return network


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
        # They become networks that pad with -1, as BITorch does.
        ("ResNetE18", "ResnetE18", "conv7x7", 224),
        ("ResNetE18", "ResnetE18", "grouped", 64),
        ("ResNetE18", "ResnetE18", "thumbnail", 32),
        ("BiRealNet34", "ResnetE34", "conv7x7", 64),
    ],
)
def test_imported_networks_agree(
    model: str, bitorch_model: str, stem: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = run_bitorch(tmp_path, bitorch_model, stem, size)
    assert deviation(reference, imported(monkeypatch, reference, model)) < TOLERANCE


# To check residual networks as the zoo has them, with a padding of +1, BITorch has to take that: then nothing is to be
# mirrored.
@pytest.mark.parametrize(
    ("model", "bitorch_model", "stem", "size"),
    [("ResNetE18", "ResnetE18", "grouped", 64), ("BiRealNet34", "ResnetE34", "conv7x7", 64)],
)
def test_residual_networks_of_the_zoo_agree(
    model: str, bitorch_model: str, stem: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = run_bitorch(tmp_path, bitorch_model, stem, size, "--padding-value", "1")
    monkeypatch.setattr(bitorch, "mirrored_layers", lambda model: set())
    assert deviation(reference, converted(reference, model, stem, AUTHORS)) < TOLERANCE


def test_differences_in_32_bits_are_flipped_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = run_bitorch(tmp_path, "MeliusNet22", "conv7x7", 224, "--batch", "16")
    # The same weights agree in all samples with the same arithmetic, so that nothing but rounding is left ...
    assert deviation(reference, imported(monkeypatch, reference, "MeliusNet22")) < TOLERANCE
    tf.keras.backend.set_floatx("float32")
    network = imported(monkeypatch, reference, "MeliusNet22")
    results = {"ours": network(reference.image, training=False).numpy(), "BITorch's own": reference.logits32}
    for whose, logits in results.items():
        difference = np.sqrt(np.mean((logits - reference.logits) ** 2, axis=1)) / reference.logits.std(axis=1)
        flipped = difference > FLIPPED
        print(f"{whose}: {flipped.mean():.0%} of the samples with flipped signs, the others at {difference[~flipped]}")
        # ... which no sample shows, but by a sign that it flips, in our network as in BITorch's.
        assert difference[~flipped].max() < ROUNDING
        assert flipped.mean() < 0.75


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
    assert deviation(meliusnet_c, imported(monkeypatch, meliusnet_c, "MeliusNetC")) > VISIBLE


def _mirrored_whatever_they_pad(model: tf.keras.Model) -> set[str]:
    convolutions = {layer.name for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)}
    return convolutions | {name.removesuffix("_conv") + "_bn" for name in convolutions}


@pytest.mark.parametrize(
    ("convention", "mirrored_layers"),
    [
        ("larq_zoo", _mirrored_whatever_they_pad),
        (replace(AUTHORS, symmetric_padding=False), _mirrored_whatever_they_pad),
        (AUTHORS, lambda model: set()),
    ],
    ids=["larq_zoo", "asymmetric", "signs-not-flipped"],
)
def test_wrong_convention_shows(
    convention: str | ReferenceImplementation,
    mirrored_layers: Any,
    meliusnet_c: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bitorch, "mirrored_layers", mirrored_layers)
    assert deviation(meliusnet_c, converted(meliusnet_c, "MeliusNetC", "conv7x7", convention)) > VISIBLE


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with PyTorch files of all kinds, which hold the state of one small network, ``checkpoint.pth``."""
    folder = tmp_path_factory.mktemp("files")
    options = ["--stem", "thumbnail", "--size", "8", "--channels", "1", "--classes", "3"]
    run_script("bitorch_reference.py", "TinyMeliusNet", folder / "checkpoint.pth", folder / "reference.npz", *options)
    run_script("torch_checkpoints.py", "write", folder / "checkpoint.pth", folder)
    return folder


def test_reads_state_dicts_exactly(files: Path) -> None:
    expected = read_with_torch(files / "checkpoint.pth")
    assert expected["_model.features.0.weight"].dtype == np.float32
    with np.load(HERE.parent / "data" / "bitorch_melius.npz") as arrays:
        for name in arrays.files:
            if name.startswith("state/"):
                np.testing.assert_array_equal(expected[name.removeprefix("state/")], arrays[name])
    for name in ("legacy.pth", "example.pth", "parameters.pth"):
        state = read_with_torch(files / name)
        assert list(state) == list(expected)
        assert all(np.array_equal(state[key], expected[key]) for key in expected)


def test_reads_checkpoints_of_lightning(files: Path) -> None:
    expected = read_with_torch(files / "checkpoint.pth")
    state = read_with_torch(files / "lightning.ckpt")
    state.pop("teacher.features.0.weight")
    assert list(state) == [f"model.{name}" for name in expected]
    assert all(np.array_equal(state[f"model.{name}"], expected[name]) for name in expected)


def test_reads_bfloat16(files: Path) -> None:
    expected = read_with_torch(files / "checkpoint.pth")["_model.output.weight"]
    actual = read_with_torch(files / "bfloat16.pth")["_model.output.weight"]
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=2**-8)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("malicious.pth", r"malicious\.pth is refused: .* \(posix\.system\), .*torch\.save\(model\.state_dict"),
        ("malicious.ckpt", r"malicious\.ckpt is refused: .* \(posix\.system\)"),
        ("malicious_legacy.pth", r"malicious_legacy\.pth is refused: .* \(posix\.system\)"),
        ("malicious.pkl", r"malicious\.pkl is refused: .* \(posix\.system\)"),
        ("malicious4.pkl", r"malicious4\.pkl is not a PyTorch file, or it is damaged"),
        ("namespace.ckpt", r"namespace\.ckpt is refused: .* \(argparse\.Namespace\)"),
        ("module.pth", r"module\.pth is refused: .* \(torch\.nn\.modules\.conv\.Conv2d\)"),
        ("numbers.pth", r"numbers\.pth holds no state dict"),
        ("list.pth", r"list\.pth holds no state dict"),
        ("truncated.pth", r"truncated\.pth is not a PyTorch file, or it is damaged"),
        ("text.pth", r"text\.pth is not a PyTorch file, or it is damaged"),
        ("empty.pth", r"empty\.pth is not a PyTorch file, or it is damaged"),
    ],
)
def test_refuses_other_files(name: str, message: str, files: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_with_torch(files / name)
    assert "\n" not in str(caught.value)
    assert not (files / "proof").exists()


@pytest.mark.parametrize("name", ["checkpoint.pth", "legacy.pth", "lightning.ckpt", "truncated.pth"])
def test_recognizes_files_of_pytorch(name: str, files: Path) -> None:
    assert recognize_format(files / name) == "bitorch"
    with pytest.raises(ImportError, match=r"pip install 'larq-melius\[torch\]'"):
        import_weights(files / name, "MeliusNet22")
