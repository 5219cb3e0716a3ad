"""Checkpoints of BITorch in networks of this zoo, on tiny networks that BITorch ran.

``data/bitorch_*.npz`` come from ``python tests/interop/bitorch_reference.py <network> <checkpoint> <file> --stem
thumbnail --size 8 --channels 1 --classes 3 --with-state``, run on BITorch 0.3.0; some of their binary kernels and batch
norms end in a sign of zero. ``tests/interop/test_bitorch.py`` compares the networks of the paper, and reads checkpoints
with PyTorch, which is not needed here.
"""

import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
from reference_data import DATA

import larq_melius
from larq_melius import models
from larq_melius.converters.importers import bitorch, formats
from larq_melius.converters.importers.bitorch import bitorch_to_keras, convert_bitorch
from larq_melius.converters.importers.formats import import_weights, recognize_format
from larq_melius.models.meliusnet import MeliusNet
from larq_melius.models.resnet_e import ResNetE
from larq_melius.reference_implementations import AUTHORS

State = dict[str, np.ndarray]


def _melius(**kwargs: Any) -> tf.keras.Model:
    return MeliusNet([1, 1], [32], growth_rate=16, transition_groups=2, **kwargs)


def _residual(**kwargs: Any) -> tf.keras.Model:
    return ResNetE([1, 1], [64, 8], **kwargs)


BUILDERS: dict[str, Callable[..., tf.keras.Model]] = {"melius": _melius, "residual": _residual}


def build(name: str, pad_value: float = 1.0, **kwargs: Any) -> tf.keras.Model:
    options = {"stem": "thumbnail", "input_shape": (8, 8, 1), "classes": 3, "classifier_activation": None}
    return BUILDERS[name](convention=replace(AUTHORS, binary_pad_value=pad_value), **{**options, **kwargs})


def load(name: str) -> tuple[State, dict[str, np.ndarray]]:
    """The state dict of a fixture, and its images and logits."""
    with np.load(DATA / f"bitorch_{name}.npz") as archive:
        arrays = dict(archive)
    state = {key.removeprefix("state/"): arrays.pop(key) for key in list(arrays) if key.startswith("state/")}
    return state, arrays


def logits(state: State, image: np.ndarray, name: str = "melius", **kwargs: Any) -> np.ndarray:
    model = build(name, **kwargs)
    convert_bitorch(state, model)
    return model(image.astype(tf.keras.backend.floatx()), training=False).numpy()


@pytest.mark.parametrize(("name", "pad_value"), [("melius", 1.0), ("melius", -1.0), ("residual", -1.0)])
@pytest.mark.usefixtures("float64")
def test_same_function(name: str, pad_value: float) -> None:
    state, expected = load(name)
    actual = logits(state, expected["input"], name, pad_value=pad_value)
    assert actual.dtype == np.float64
    assert np.abs(actual - expected["logits"]).max() < 1e-12 * expected["logits"].std()


@pytest.mark.parametrize(("name", "pad_value"), [("melius", 1.0), ("residual", -1.0)])
def test_same_function_in_32_bits(name: str, pad_value: float) -> None:
    state, expected = load(name)
    actual = logits(state, expected["input"], name, pad_value=pad_value)
    assert np.abs(actual - expected["logits32"]).max() < 1e-5 * expected["logits32"].std()


def test_zeros_are_in_the_fixtures() -> None:
    state, _ = load("melius")
    layer = "_model.features.DenseBlock_1.DenseLayer_1.features"
    assert state[f"{layer}.0.weight"][0] == state[f"{layer}.0.bias"][0] == 0
    assert (state[f"{layer}.1.weight"] == 0).any()


def test_numbers_below_the_normal_range_keep_their_signs() -> None:
    state, expected = load("melius")
    binary = re.compile(r".*(DenseLayer|ImprovementBlock).*\.1\.weight")
    shrunk = {name: tensor * np.float32(1e-40) if binary.fullmatch(name) else tensor for name, tensor in state.items()}
    np.testing.assert_array_equal(logits(shrunk, expected["input"]), logits(state, expected["input"]))


@pytest.mark.parametrize("prefix", ["", "_model.", "model._model.", "module._model."])
def test_names_may_have_any_prefix(prefix: str) -> None:
    state, expected = load("melius")
    renamed = {name.replace("_model.", prefix, 1): tensor for name, tensor in reversed(state.items())}
    np.testing.assert_array_equal(logits(renamed, expected["input"]), logits(state, expected["input"]))


def test_teachers_are_left_out() -> None:
    state, expected = load("melius")
    wrapped = {f"model.{name}": tensor for name, tensor in state.items()} | {"teacher.features.0.weight": np.ones(1)}
    np.testing.assert_array_equal(logits(wrapped, expected["input"]), logits(state, expected["input"]))


def test_second_names_of_the_last_stage_are_not_needed() -> None:
    state, expected = load("melius")
    alone = {name: tensor for name, tensor in state.items() if "current_dense_block" not in name}
    assert len(alone) < len(state)
    np.testing.assert_array_equal(logits(alone, expected["input"]), logits(state, expected["input"]))


def test_residual_networks_cannot_turn_the_padding() -> None:
    state, _ = load("residual")
    with pytest.raises(ValueError, match=r"stage1_block1_conv has no batch norm of its own in front of it"):
        convert_bitorch(state, build("residual"))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"binary": False}, "no binary convolutions"),
        ({"convention": "larq_zoo"}, r"pads with 0\.0, the authors with -1"),
        ({"stem": "conv7x7"}, r"stem_conv needs features\.0\.weight with the shape \(64, 1, 7, 7\)"),
        ({"include_top": False}, r"no place for output\.weight and 1 more"),
    ],
)
def test_networks_without_such_checkpoints(kwargs: dict[str, Any], message: str) -> None:
    state, _ = load("melius")
    options: dict[str, Any] = {"stem": "thumbnail", "input_shape": (32, 32, 1), "classes": 3, **kwargs}
    with pytest.raises(ValueError, match=message):
        convert_bitorch(state, _melius(**options))


def _without(state: State, name: str) -> State:
    return {key: tensor for key, tensor in state.items() if not re.fullmatch(name, key)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: _without(s, r"_model\.features\.Transition_1\.0\.running_var"),
            r"there is no features\.Transition_1\.0\.running_var for transition1_bn",
        ),
        (lambda s: {**s, "_model.features.more.weight": np.ones(1)}, r"no place for features\.more\.weight"),
        (lambda s: {**s, "fc.weight": np.ones(1), "fc.bias": np.ones(1)}, r"no place for fc\.weight and 1 more beside"),
        (lambda s: {**s, "_model.output.bias": np.ones(4)}, r"predictions needs output\.bias .* \(3,\), .* \(4,\)"),
        (
            lambda s: {**s, "_model.features.Transition_1.4.weight": np.ones((32, 80, 1, 1))},
            r"transition1_conv needs features\.Transition_1\.4\.weight with the shape \(32, 40, 1, 1\), .* \(32, 80, 1",
        ),
        (lambda s: {**s, "_model.finalize.0.bias": np.full(48, np.inf)}, r"finalize\.0\.bias holds .* not finite"),
        (lambda s: {**s, "_model.finalize.0.running_var": -np.ones(48)}, r"finalize\.0\.running_var .* negative"),
        (
            lambda s: {**s, "_model.current_dense_block.DenseLayer_1.features.0.bias": np.ones(32)},
            r"current_dense_block\.DenseLayer_1\.features\.0\.bias does not repeat features\.DenseBlock_2\.DenseLayer",
        ),
        (lambda s: _without(s, r".*ImprovementBlock.*"), r"no Improvement Blocks for meliusnet: .*BITorch 0\.4\.0"),
        (lambda s: load("residual")[0], r"there is no features\.DenseBlock_1\.DenseLayer_1\.features\.0\.weight"),
        (lambda s: {"conv1.weight": np.ones(1)}, r"there is no MeliusNet, .* of BITorch's"),
        (lambda s: {}, r"there is no MeliusNet, .* of BITorch's"),
    ],
)
def test_tensors_that_do_not_fit(change: Callable[[State], State], message: str) -> None:
    state, _ = load("melius")
    model = build("melius")
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        convert_bitorch(change(state), model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def _as_bitorch(model: tf.keras.Model, stem: str) -> State:
    """A state dict whose shapes are those of a network, and whose tensors are all ones."""
    state = {}
    for layer in model.layers:
        for variable in layer.weights:
            leaf = bitorch._LEAVES[variable.name.split("/")[-1].split(":")[0]]
            shape = tuple(variable.shape)
            shape = (*shape[:1:-1], *shape[:2]) if len(shape) == 4 else shape[::-1]
            state[f"_model.{bitorch._path(layer, stem)}.{leaf}"] = np.ones(shape, np.float32)
    return state


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "stem"),
    [("MeliusNet22", "grouped"), ("MeliusNet22", "thumbnail"), ("ResNetE18", "conv7x7"), ("ResNetE18", "thumbnail")],
)
def test_stem_classes_and_channels_are_read_off_the_file(name: str, stem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    padding = replace(AUTHORS, binary_pad_value=-1.0, input_batchnorm=False)
    model = larq_melius.get_model(
        name, weights=None, stem=stem, classes=7, input_shape=(224, 224, 4), convention=padding
    )
    monkeypatch.setattr(bitorch, "read_state", lambda source: _as_bitorch(model, stem))
    result = bitorch_to_keras("some.pth", name.lower())
    assert result.input_shape == (None, 224, 224, 4)
    assert result.output_shape == (None, 7)
    assert [layer.name for layer in result.layers] == [layer.name for layer in model.layers]
    assert result.layers[-1].activation is tf.keras.activations.softmax
    pads = {layer.pad_values for layer in result.layers if hasattr(layer, "pad_values") and layer.padding == "same"}
    assert pads == {-1.0 if name == "ResNetE18" else 1.0}


def test_errors_name_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    state, _ = load("melius")
    monkeypatch.setattr(bitorch, "read_state", lambda source: state)
    with pytest.raises(ValueError, match=r"^some\.pth: stage1_block1_dense_conv needs .* \(64, 64, 3, 3\), .* \(16"):
        bitorch_to_keras("some.pth", "MeliusNet22")
    with pytest.raises(ValueError, match=r"^some\.pth: stem_conv needs features\.0\.weight"):
        bitorch_to_keras("some.pth", "MeliusNet22", stem="conv7x7")
    with pytest.raises(ValueError, match="Unknown model"):
        bitorch_to_keras("some.pth", "MeliusNet99")


@pytest.mark.parametrize(("model", "stem"), [("MeliusNet22", None), ("MeliusNetTiny", "grouped")])
def test_checkpoints_of_other_networks(model: str, stem: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    other = larq_melius.get_model("MeliusNetTiny", weights=None, input_shape=(8, 8, 3))
    monkeypatch.setattr(bitorch, "read_state", lambda source: _as_bitorch(other, "thumbnail"))
    message = rf"^some\.pth: .* not of {model} with the .* stem: .* is of MeliusNetTiny with the thumbnail stem"
    with pytest.raises(ValueError, match=message):
        bitorch_to_keras("some.pth", model, stem=stem)


@pytest.mark.parametrize("state", [{"features.0.weight": np.ones((64, 3, 5, 5))}, {"features.0.weight": np.ones(3)}])
def test_stems_that_nobody_has(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bitorch, "read_state", lambda source: state)
    with pytest.raises(ValueError, match=r"^some\.pth: features\.0\.weight has the shape \(.*\), which no stem has"):
        bitorch_to_keras("some.pth", "MeliusNet22")


def _zip(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"")


def _hdf5(path: Path) -> None:
    with h5py.File(path, "w"):
        pass


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda path: _zip(path, "archive/data.pkl", "archive/version"), "bitorch"),
        (lambda path: path.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."), "bitorch"),
        (lambda path: path.write_bytes((DATA / "mxnet_types.params").read_bytes()), "bmxnet"),
        (_hdf5, "larq_zoo"),
    ],
)
def test_formats_are_recognized(
    write: Callable[[Path], Any], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    write(path)
    assert recognize_format(path) == expected
    calls = []

    class Converter:
        def __getattr__(self, name: str) -> Any:
            def convert(*args: Any, **kwargs: Any) -> Any:
                calls.append((name, args, kwargs))
                return SimpleNamespace(weights=[])

            return convert

    other = {name: f"larq_melius.converters.importers.{name}" for name in formats.FORMATS}
    for module in other.values():
        monkeypatch.setitem(sys.modules, module, Converter())
    import_weights(path, "MeliusNet22")
    import_weights(tmp_path / "missing", "MeliusNet22", stem="grouped", format=expected)
    assert calls == [
        (f"{expected}_to_keras", (path, "MeliusNet22"), {"stem": None}),
        (f"{expected}_to_keras", (tmp_path / "missing", "MeliusNet22"), {"stem": "grouped"}),
    ]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: _zip(path, "input.npy"),
        lambda path: _zip(path, "metadata.json", "config.json"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\x03\x04"),
        lambda path: path.write_text("weights"),
    ],
)
def test_other_files_are_not(write: Callable[[Path], Any], tmp_path: Path) -> None:
    write(tmp_path / "weights")
    with pytest.raises(ValueError, match=r"weights is not a weight file of BMXNet-v2 .*pass them as weights="):
        import_weights(tmp_path / "weights", "MeliusNet22")


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Unknown format 'onnx'; choose one of \['bmxnet', 'bitorch', 'larq_zoo'\]"):
        import_weights(tmp_path / "weights", "MeliusNet22", format="onnx")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        import_weights(tmp_path / "weights", "MeliusNet22")


def test_pytorch_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _zip(tmp_path / "weights.pth", "weights/data.pkl")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"^Reading a PyTorch file needs PyTorch: pip install 'larq-melius\[torch\]'"):
        import_weights(tmp_path / "weights.pth", "MeliusNet22")


def test_numbers_beyond_the_range_of_float32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state, _ = load("residual")
    state = {**state, "_model.output.bias": np.full(3, 1e300)}
    monkeypatch.setattr(models, "ResNetE18", lambda **_: build("residual", pad_value=-1.0))
    monkeypatch.setattr(bitorch, "read_state", lambda source: state)
    with pytest.raises(ValueError, match=r"^some\.pth: predictions/bias:0 holds numbers that are not finite"):
        import_weights("some.pth", "ResNetE18", format="bitorch")
