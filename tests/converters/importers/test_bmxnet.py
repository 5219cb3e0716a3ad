"""Checkpoints of BMXNet-v2 in networks of this zoo, on tiny networks that MXNet ran.

``data/bmxnet_*.npz`` come from ``python tests/interop/bmxnet_reference.py network <name> <file> --stem thumbnail
--size 8 --channels 1``, run on MXNet 1.9.1; ``tests/interop/test_bmxnet.py`` compares the networks of the paper.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from reference_data import DATA

from larq_melius import models
from larq_melius.cli import cli
from larq_melius.converters import import_weights
from larq_melius.converters.export.verify import logits_model
from larq_melius.converters.importers.bmxnet import bmxnet_to_keras, convert_bmxnet
from larq_melius.converters.importers.mxnet_params import read_params
from larq_melius.models.meliusnet import MeliusNet
from larq_melius.models.resnet_e import ResNetE
from larq_melius.reference_implementations import AUTHORS

Params = dict[str, np.ndarray]


def _melius(**kwargs: Any) -> tf.keras.Model:
    return MeliusNet([1, 1], [4], growth_rate=2, transition_groups=2, shuffle_groups=3, **kwargs)


def _naive(**kwargs: Any) -> tf.keras.Model:
    return MeliusNet([1, 1], [4], growth_rate=2, improvement="all", **kwargs)


def _residual(**kwargs: Any) -> tf.keras.Model:
    return ResNetE([1, 1], [64, 8], **kwargs)


BUILDERS: dict[str, Callable[..., tf.keras.Model]] = {"melius": _melius, "naive": _naive, "residual": _residual}


def build(name: str, pad_value: float = 1.0, **kwargs: Any) -> tf.keras.Model:
    options = {"stem": "thumbnail", "input_shape": (8, 8, 1), "classes": 3, "classifier_activation": None}
    return BUILDERS[name](convention=replace(AUTHORS, binary_pad_value=pad_value), **{**options, **kwargs})


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., tuple[Params, Mapping[str, np.ndarray]]]:
    """A function that returns the arrays of a fixture's ``.params`` file, and its images and logits."""

    def _load(name: str, style: str = "parameters") -> tuple[Params, Mapping[str, np.ndarray]]:
        with np.load(DATA / f"bmxnet_{name}.npz") as archive:
            arrays = dict(archive)
        path = tmp_path / f"{name}.params"
        path.write_bytes(arrays[style].tobytes())
        return read_params(path), arrays

    return _load


def logits(params: Params, image: np.ndarray, name: str = "melius", **kwargs: Any) -> np.ndarray:
    model = build(name, **kwargs)
    convert_bmxnet(params, model)
    return model(image.astype(tf.keras.backend.floatx()), training=False).numpy()


@pytest.mark.parametrize("style", ["parameters", "exported"])
@pytest.mark.parametrize(
    ("name", "pad_value"), [("melius", 1.0), ("melius", -1.0), ("naive", 1.0), ("naive", -1.0), ("residual", -1.0)]
)
@pytest.mark.usefixtures("float64")
def test_same_function(name: str, pad_value: float, style: str, load: Callable[..., Any]) -> None:
    params, expected = load(name, style)
    actual = logits(params, expected["input"], name, pad_value=pad_value)
    assert actual.dtype == np.float64
    assert np.abs(actual - expected["logits"]).max() < 1e-12 * expected["logits"].std()


@pytest.mark.parametrize(("name", "pad_value"), [("melius", 1.0), ("naive", 1.0), ("residual", -1.0)])
def test_same_function_in_32_bits(name: str, pad_value: float, load: Callable[..., Any]) -> None:
    params, expected = load(name)
    actual = logits(params, expected["input"], name, pad_value=pad_value)
    assert np.abs(actual - expected["logits32"]).max() < 1e-5 * expected["logits32"].std()


@pytest.mark.usefixtures("float64")
def test_zeros_count_as_positive(load: Callable[..., Any]) -> None:
    params, expected = load("melius")
    zero, positive, negative = dict(params), dict(params), dict(params)
    for path, kernel in [("layer0.0.0.1.0", "layer0.0.0.1.1"), ("layer0.0.1.body.0", "layer0.0.1.body.1")]:
        for changed, value in [(zero, 0.0), (positive, 0.25), (negative, -0.25)]:
            for leaf, constant in [(f"{path}.gamma", 0.0), (f"{path}.beta", value), (f"{kernel}.qconv.weight", value)]:
                changed[leaf] = params[leaf].copy()
                changed[leaf][: len(params[leaf]) // 2] = constant
    results = [logits(changed, expected["input"]) for changed in (zero, positive, negative)]
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12)
    assert np.abs(results[0] - results[2]).max() > 1e-3


def test_numbers_below_the_normal_range_keep_their_signs(load: Callable[..., Any]) -> None:
    params, expected = load("melius")
    shrunk = {name: array * 1e-40 if "qconv" in name else array for name, array in params.items()}
    np.testing.assert_array_equal(logits(shrunk, expected["input"]), logits(params, expected["input"]))


def test_training_goes_on_from_the_authors_latent_weights(load: Callable[..., Any]) -> None:
    params, expected = load("melius")
    grown = {name: array * np.float32(50) if "qconv" in name else array for name, array in params.items()}
    model = build("melius")
    convert_bmxnet(grown, model)
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel_quantizer")]
    before = [kernel.numpy() for kernel in kernels]
    image, weight = tf.constant(expected["input"], tf.float32), tf.constant([[1.0, -2.0, 3.0]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(weight * model(image, training=True))
    gradients = tape.gradient(loss, kernels)
    model.compile(tf.keras.optimizers.SGD(0.25), lambda weight, logits: tf.reduce_mean(weight * logits))
    model.train_on_batch(image, tf.repeat(weight, len(image), axis=0))
    for kernel, old, gradient in zip(kernels, before, gradients, strict=True):
        beyond = np.abs(old) > 1.3
        assert beyond.mean() > 0.5
        assert np.count_nonzero(gradient[beyond]) > 0
        np.testing.assert_allclose(kernel, old - 0.25 * gradient, rtol=1e-5, atol=1e-6)


def test_stored_scale_of_the_image_does_not_matter(load: Callable[..., Any]) -> None:
    params, _ = load("residual")
    np.testing.assert_array_equal(params["features.0.gamma"], np.float32([1.7]))
    model = build("residual", pad_value=-1.0)
    convert_bmxnet(params, model)
    np.testing.assert_array_equal(model.get_layer("image_bn").gamma, [1.0])


def test_residual_networks_cannot_turn_the_padding(load: Callable[..., Any]) -> None:
    params, _ = load("residual")
    with pytest.raises(
        ValueError, match=r"stage1_block1_conv has no batch norm of its own in front.*binary_pad_value=-1"
    ):
        convert_bmxnet(params, build("residual"))


def test_residual_networks_of_the_zoo_keep_the_padding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ResNetE18 is large: one as small as the fixture takes its place."""
    with np.load(DATA / "bmxnet_residual.npz") as archive:
        arrays = dict(archive)
    path = tmp_path / "residual.params"
    path.write_bytes(arrays["parameters"].tobytes())

    monkeypatch.setattr(models, "ResNetE18", _residual)
    model = import_weights(path, "ResNetE18", input_shape=(8, 8, 1))
    assert {layer.pad_values for layer in model.layers if hasattr(layer, "pad_values")} <= {-1.0, 0.0}
    expected = build("residual", pad_value=-1.0)
    convert_bmxnet(read_params(path), expected)
    for ours, others in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, others)


@pytest.mark.parametrize("kwargs", [{"binary": False}, {"convention": "larq_zoo"}, {"stem": "conv7x7"}])
def test_networks_without_such_checkpoints(kwargs: dict[str, Any], load: Callable[..., Any]) -> None:
    params, _ = load("melius")
    options: dict[str, Any] = {"stem": "thumbnail", "input_shape": (32, 32, 1), "classes": 3, **kwargs}
    with pytest.raises(ValueError, match=r"no binary convolutions|pads with 0|stem_conv needs features\.0\.weight"):
        convert_bmxnet(params, _melius(**options))


def _without(params: Params, *names: str) -> Params:
    return {name: array for name, array in params.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: _without(p, "layer1.0.0.running_var"), r"there is no layer1\.0\.0\.running_var for transition1_bn"),
        (lambda p: {**p, "layer1.0.5.weight": np.ones(1)}, r"meliusnet has no place for layer1\.0\.5\.weight"),
        (lambda p: {**p, "fc.weight": np.ones(1), "fc.bias": np.ones(1)}, r"no place for fc\.weight and 1 more"),
        (
            lambda p: {**p, "output.bias": np.ones(4)},
            r"predictions needs output\.bias with the shape \(3,\), .* \(4,\)",
        ),
        (
            lambda p: {**p, "layer1.0.4.weight": np.ones((33, 4, 1, 1))},
            r"needs layer1\.0\.4\.weight .* \(4, 33, 1, 1\)",
        ),
        (
            lambda p: {**p, "finalize.0.beta": np.full(6, np.nan)},
            r"finalize\.0\.beta holds numbers that are not finite",
        ),
        (lambda p: {**p, "finalize.0.running_var": -np.ones(6)}, r"finalize\.0\.running_var holds a negative variance"),
        (
            lambda p: {**p, "current_stage.1.body.0.beta": np.ones(6)},
            r"current_stage\.1\.body\.0\.beta does not repeat layer1\.1\.1\.body\.0\.beta",
        ),
        (lambda p: {}, r"there is no .*weight for stem_conv"),
    ],
)
def test_arrays_that_do_not_fit(change: Callable[[Params], Params], message: str, load: Callable[..., Any]) -> None:
    params, _ = load("melius")
    model = build("melius")
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        convert_bmxnet(change(params), model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p: _without(p, "aux:meliusnet0_batchnorm1_running_mean"),
            r"there is no batchnorm1_running_mean for final",
        ),
        (lambda p: {**p, "arg:meliusnet0_conv2_weight": np.ones(1)}, r"no place for arg:meliusnet0_conv2_weight"),
        (lambda p: {**p, "arg:embedding0_weight": np.ones(1)}, r"arg:embedding0_weight is no array of the authors'"),
        (lambda p: {**p, "arg:net_conv0_weight": np.ones(1)}, r"conv0_weight and .*conv0_weight are the same array"),
    ],
)
def test_exported_arrays_that_do_not_fit(
    change: Callable[[Params], Params], message: str, load: Callable[..., Any]
) -> None:
    params, _ = load("melius", "exported")
    with pytest.raises(ValueError, match=message):
        convert_bmxnet(change(params), build("melius"))


def test_counters_of_exported_names_need_not_start_at_zero(load: Callable[..., Any]) -> None:
    params, expected = load("residual", "exported")
    renamed = {
        name.replace("resnete0", "resnete12").replace("dense0", "dense12"): array
        for name, array in reversed(params.items())
    }
    actual = logits(renamed, expected["input"], "residual", pad_value=-1.0)
    np.testing.assert_array_equal(actual, logits(params, expected["input"], "residual", pad_value=-1.0))


def _write(path: Path, params: Params) -> None:
    def array_bytes(array: np.ndarray) -> bytes:
        header = struct.pack(f"<Iii{array.ndim}qiii", 0xF993FAC9, 0, array.ndim, *array.shape, 1, 0, 0)
        return header + array.astype("<f4").tobytes()

    arrays = b"".join(array_bytes(array) for array in params.values())
    names = b"".join(struct.pack("<Q", len(name)) + name.encode() for name in params)
    count = struct.pack("<Q", len(params))
    path.write_bytes(struct.pack("<QQ", 0x112, 0) + count + arrays + count + names)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of a MeliusNetTiny with seven classes."""
    rng = np.random.default_rng(0)
    params: Params = {"features.0.weight": rng.normal(size=(64, 1, 3, 3))}

    def batchnorm(path: str, channels: int) -> None:
        for leaf in ("gamma", "beta", "running_mean", "running_var"):
            params[f"{path}.{leaf}"] = rng.uniform(0.5, 1.5, channels)

    def stage(path: str, channels: int) -> None:
        for index in range(2):
            batchnorm(f"{path}.{2 * index}.1.0", channels)
            params[f"{path}.{2 * index}.1.1.qconv.weight"] = rng.normal(size=(64, channels, 3, 3))
            channels += 64
            batchnorm(f"{path}.{2 * index + 1}.body.0", channels)
            params[f"{path}.{2 * index + 1}.body.1.qconv.weight"] = rng.normal(size=(64, channels, 3, 3))

    stage("layer0.0", 64)
    batchnorm("layer1.0.0", 192)
    params["layer1.0.3.weight"] = rng.normal(size=(96, 192, 1, 1))
    stage("layer1.1", 96)
    batchnorm("finalize.0", 224)
    params["output.weight"], params["output.bias"] = rng.normal(size=(7, 224)), rng.normal(size=7)
    path = tmp_path / "net.params"
    _write(path, params)
    return path


def test_network_of_the_zoo(checkpoint: Path) -> None:
    model = bmxnet_to_keras(checkpoint, "meliusnettiny")
    assert model.name == "meliusnettiny"
    assert model.input_shape == (None, 8, 8, 1)
    assert model.output_shape == (None, 7)
    assert model.get_layer("predictions").activation is tf.keras.activations.softmax
    stored = read_params(checkpoint)
    np.testing.assert_array_equal(model.get_layer("predictions").bias, stored["output.bias"])
    # The authors' mean is that of half the sum of a Dense Block's 9 * 64 signs and their number.
    stored_mean = stored["layer0.0.1.body.0.running_mean"]
    mean = np.append(stored_mean[:64], 2 * stored_mean[64:] - 9 * 64)
    np.testing.assert_allclose(model.get_layer("stage1_block1_improve_bn").moving_mean, mean, rtol=1e-6)
    logits = bmxnet_to_keras(checkpoint, "MeliusNetTiny", input_shape=(16, 12, 1), classifier_activation=None)
    assert logits.input_shape == (None, 16, 12, 1)


@pytest.fixture
def residual_checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of a ResNetE18 with the thumbnail stem and ten classes."""
    rng = np.random.default_rng(0)
    params: Params = {"features.1.weight": rng.normal(size=(64, 3, 3, 3))}

    def batchnorm(path: str, channels: int) -> None:
        for leaf in ("gamma", "beta", "running_mean", "running_var"):
            params[f"{path}.{leaf}"] = rng.uniform(0.5, 1.5, channels)

    batchnorm("features.0", 3)
    before = 64
    for stage, channels in enumerate((64, 128, 256, 512)):
        for block in range(4):
            path = f"features.{2 + stage}.{block}"
            params[f"{path}.body.0.qconv.weight"] = rng.normal(size=(channels, before, 3, 3))
            batchnorm(f"{path}.body.1", channels)
            # The authors' sums of signs are halved, and not negative.
            params[f"{path}.body.1.running_mean"] += 9 * before / 2
            params[f"{path}.body.1.running_var"] *= 9 * before / 4
            if before != channels:
                params[f"{path}.downsample.1.weight"] = rng.normal(size=(channels, before, 1, 1))
                batchnorm(f"{path}.downsample.2", channels)
            before = channels
    params["output.weight"], params["output.bias"] = rng.normal(size=(10, 512)), rng.normal(size=10)
    path = tmp_path / "residual.params"
    _write(path, params)
    return path


@pytest.mark.long
def test_residual_checkpoint_on_the_command_line(
    residual_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Else the command line would set it for the tests that come after.
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    whole, packed, flatbuffer = tmp_path / "residual.keras", tmp_path / "residual.npz", tmp_path / "residual.tflite"

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli(list(map(str, arguments)), prog_name="larq-melius")
        return end.value.code, *capsys.readouterr()

    command = ("weights", "import", residual_checkpoint, "--model", "resnete18", "--input-size", 32, "-o")
    code, out, err = run(*command, packed)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "pads with -1" in err
    code, out, err = run(*command, whole)
    assert (code, err) == (0, "")
    assert "cannot be exported" in out
    assert len(out.splitlines()) == 2  # no command to register it
    code, out, err = run("export", whole, "-o", flatbuffer)
    assert code == 1
    assert "pads with -1" in err.splitlines()[-1]
    assert not packed.exists()
    assert not flatbuffer.exists()

    loaded = logits_model(tf.keras.models.load_model(whole))
    expected = logits_model(bmxnet_to_keras(residual_checkpoint, "ResNetE18", input_shape=(32, 32, 3)))
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(loaded(images), expected(images))
    first, second = expected(images).numpy()
    assert np.abs(first - second).max() > 0.01 * first.std()  # the network sees its image


def test_wrong_networks(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Unknown model 'MeliusNet21'"):
        bmxnet_to_keras(checkpoint, "MeliusNet21")
    fitting = "by the shapes of its kernels, it is of MeliusNetTiny with the thumbnail stem; import it as that$"
    for stem, tried in (("grouped", "grouped"), (None, "thumbnail")):
        message = rf"net\.params: the checkpoint is not of MeliusNet22 with the {tried} stem: {fitting}"
        with pytest.raises(ValueError, match=message):
            bmxnet_to_keras(checkpoint, "meliusnet22", stem=stem)
    with pytest.raises(ValueError, match=rf"not of MeliusNetTiny with the conv7x7 stem: {fitting}"):
        bmxnet_to_keras(checkpoint, "MeliusNetTiny", stem="conv7x7")
    with pytest.raises(
        ValueError, match=r"net\.params: stem_conv needs features\.0\.weight with the shape \(64, 3, 3, 3\)"
    ):
        bmxnet_to_keras(checkpoint, "MeliusNetTiny", input_shape=(8, 8, 3))
    incomplete = tmp_path / "incomplete.params"
    arrays = read_params(checkpoint)
    _write(incomplete, _without(arrays, "layer0.0.0.1.1.qconv.weight"))
    with pytest.raises(ValueError, match=r"there is no layer0\.0\.0\.1\.1\.qconv\.weight for stage1_block1_dense_"):
        bmxnet_to_keras(incomplete, "MeliusNetTiny")
    other = tmp_path / "other.params"
    _write(other, {"fc.weight": np.ones((2, 2))})
    with pytest.raises(ValueError, match=r"other\.params: the file holds no stem of the authors' networks$"):
        bmxnet_to_keras(other, "MeliusNet22")
    with pytest.raises(ValueError, match=r"other\.params: the file holds no classifier of the authors' networks$"):
        bmxnet_to_keras(other, "MeliusNet22", stem="grouped")
