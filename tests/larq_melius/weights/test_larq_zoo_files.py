"""Weight files of the Larq Zoo, of tiny networks that this module builds as the Larq Zoo builds its own.

``tests/interop/test_larq_zoo.py`` compares with the Larq Zoo itself.
"""

import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import larq as lq
import numpy as np
import pytest
import tensorflow as tf

import larq_melius
from larq_melius.converters.importers.larq_zoo import larq_zoo_to_keras
from larq_melius.models.meliusnet import MeliusNet
from larq_melius.models.resnet_e import ResNetE
from larq_melius.reference_implementations import AUTHORS
from larq_melius.weights import larq_zoo_files
from larq_melius.weights.larq_zoo_files import is_larq_zoo_file, load_larq_zoo

Layers = dict[str, dict[str, np.ndarray]]
Change = Callable[[Layers], Layers]

CLASSES = 3


class ZooNetwork:
    """Builds networks of the Larq Zoo's structure: slices for grouped convolutions, and its names of layers or none."""

    def __init__(self, *, named: bool, clip_value: float = 1.3) -> None:
        self.named = named
        self.quantizer = lq.quantizers.SteSign(clip_value=clip_value)

    def name(self, name: str) -> dict[str, str]:
        return {"name": name} if self.named else {}

    def norm(self, x: tf.Tensor, name: str) -> tf.Tensor:
        return tf.keras.layers.BatchNormalization(epsilon=1e-5, **self.name(name))(x)

    def convolution(self, x: tf.Tensor, filters: int, size: int, name: str, strides: int = 1) -> tf.Tensor:
        return tf.keras.layers.Conv2D(
            filters, size, strides=strides, padding="same", use_bias=False, **self.name(name)
        )(x)

    def sliced(self, x: tf.Tensor, filters: int, groups: int, name: str) -> tf.Tensor:
        slices = [
            self.convolution(part, filters // groups, 3, f"{name}_conv{number}")
            for number, part in enumerate(tf.split(x, groups, axis=-1))
        ]
        return tf.keras.layers.Concatenate()(slices)

    def binary(self, x: tf.Tensor, filters: int, name: str, strides: int = 1) -> tf.Tensor:
        return lq.layers.QuantConv2D(
            filters,
            3,
            strides=strides,
            padding="same",
            use_bias=False,
            input_quantizer=self.quantizer,
            kernel_quantizer=self.quantizer,
            **self.name(name),
        )(x)

    def head(self, image: tf.Tensor, x: tf.Tensor) -> tf.keras.Model:
        x = tf.keras.layers.GlobalAveragePooling2D()(x)
        return tf.keras.Model(image, tf.keras.layers.Dense(CLASSES, **self.name("head_dense"))(x))

    def melius(
        self, shape: tuple[int, int, int], *, grouped: bool, blocks: tuple[int, ...], transition: int, growth: int
    ) -> tf.keras.Model:
        image = tf.keras.Input(shape)
        if grouped:
            x = tf.nn.relu(self.norm(self.convolution(image, 32, 3, "stem_s0_conv", strides=2), "stem_s0_bn"))
            x = tf.nn.relu(self.norm(self.sliced(x, 32, 4, "stem_s1_groupconv"), "stem_s1_bn"))
            x = tf.nn.relu(self.norm(self.sliced(x, 64, 8, "stem_s2_groupconv"), "stem_s2_bn"))
            x = tf.keras.layers.MaxPooling2D(2, padding="same")(x)
        else:
            x = self.convolution(image, 64, 3, "stem_conv")
        for section, count in enumerate(blocks):
            if section:
                x = self.norm(x, f"section_{section - 1}_transition_bn")
                x = tf.nn.relu(tf.keras.layers.MaxPooling2D(2, padding="same")(x))
                x = self.convolution(x, transition, 1, f"section_{section - 1}_transition_pw")
            for block in range(count):
                name = f"section_{section}_block_{block}"
                new = self.binary(self.norm(x, f"{name}_dense_bn"), growth, f"{name}_dense_binconv")
                x = tf.concat([x, new], axis=-1)
                better = self.binary(self.norm(x, f"{name}_improve_bn"), growth, f"{name}_improve_binconv")
                x += tf.pad(better, [(0, 0), (0, 0), (0, 0), (x.shape[-1] - growth, 0)])
        return self.head(image, tf.nn.relu(self.norm(x, "head_bn")))

    def residual(self, shape: tuple[int, int, int]) -> tf.keras.Model:
        image = tf.keras.Input(shape)
        x = tf.nn.relu(self.norm(self.convolution(image, 64, 7, "", strides=2), ""))
        x = self.norm(tf.keras.layers.MaxPooling2D(3, strides=2, padding="same")(x), "")
        for filters, strides in [(64, 1), (64, 1), (96, 2), (96, 1)]:
            shortcut = x
            if strides == 2:
                pooled = tf.keras.layers.AveragePooling2D(2)(x)
                shortcut = self.norm(self.convolution(pooled, filters, 1, ""), "")
            x = tf.keras.layers.add([self.norm(self.binary(x, filters, "", strides), ""), shortcut])
        return self.head(image, tf.nn.relu(x))


def grouped_melius(**kwargs: Any) -> tf.keras.Model:
    """Our side of the network with the grouped stem."""
    options = {"input_shape": (36, 40, 3), "classes": CLASSES, "classifier_activation": None}
    return MeliusNet([2, 1], [24], growth_rate=8, **{"convention": "larq_zoo", **options, **kwargs})


def small_melius(**kwargs: Any) -> tf.keras.Model:
    """Our side of a network with few weights."""
    options = {"input_shape": (8, 8, 1), "classes": CLASSES, "stem": "thumbnail", "classifier_activation": None}
    return MeliusNet([1, 1], [4], growth_rate=2, **{"convention": "larq_zoo", **options, **kwargs})


def small_residual(**kwargs: Any) -> tf.keras.Model:
    options = {"input_shape": (32, 48, 3), "classes": CLASSES, "stem": "conv7x7", "classifier_activation": None}
    return ResNetE([1, 1], [64, 96], convention="larq_zoo", **{**options, **kwargs})


def zoo_grouped(*, named: bool) -> tf.keras.Model:
    network = ZooNetwork(named=named)
    return network.melius((36, 40, 3), grouped=True, blocks=(2, 1), transition=24, growth=8)


def zoo_small() -> tf.keras.Model:
    return ZooNetwork(named=True).melius((8, 8, 1), grouped=False, blocks=(1, 1), transition=4, growth=2)


def zoo_tiny() -> tf.keras.Model:
    """MeliusNetTiny, as far as the Larq Zoo could build it."""
    return ZooNetwork(named=True).melius((8, 8, 1), grouped=False, blocks=(2, 2), transition=96, growth=64)


def images(model: tf.keras.Model) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(4, *model.input_shape[1:])).astype(tf.keras.backend.floatx())


def assert_same(model: tf.keras.Model, expected: tf.keras.Model, **tolerance: float) -> None:
    x = images(expected)
    logits = expected(x, training=False).numpy()
    assert np.std(logits[0] - logits[1]) > 0.01 * logits.std()
    np.testing.assert_allclose(model(x, training=False), logits, **{"rtol": 1e-9, "atol": 1e-9, **tolerance})


def read(path: Path) -> Layers:
    with h5py.File(path) as file:
        return {
            layer: {weight: file[layer][weight][()] for weight in file[layer].attrs["weight_names"]}
            for layer in file.attrs["layer_names"]
        }


def write(path: Path, layers: Layers) -> Path:
    """Writes a file as Keras does, and texts of any length where Keras has fixed ones."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = list(layers)
        for name, weights in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = list(weights)
            for weight, array in weights.items():
                group[weight] = array
    return path


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory, randomize: Callable[..., None]) -> Path:
    """The weights of the small network, as Keras writes them."""
    path = tmp_path_factory.mktemp("larq_zoo") / "small.h5"
    network = zoo_small()
    randomize(network)
    network.save_weights(path)
    return path


@pytest.fixture(scope="module")
def target() -> tf.keras.Model:
    """Our side of the small network, to load into."""
    return small_melius()


def assert_refused(path: Path, model: tf.keras.Model, message: str) -> None:
    before = model.get_weights()
    with pytest.raises(ValueError, match=message) as caught:
        load_larq_zoo(path, model)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("named", [True, False], ids=["names", "numbers"])
@pytest.mark.usefixtures("float64")
def test_grouped_stem(named: bool, randomize: Callable[..., None], tmp_path: Path) -> None:
    expected = zoo_grouped(named=named)
    randomize(expected)
    expected.save_weights(tmp_path / "zoo.h5")
    model = grouped_melius()
    load_larq_zoo(tmp_path / "zoo.h5", model)
    assert_same(model, expected)


@pytest.mark.usefixtures("float64")
def test_residual_network(randomize: Callable[..., None], tmp_path: Path) -> None:
    expected = ZooNetwork(named=False, clip_value=1.25).residual((32, 48, 3))
    randomize(expected)
    expected.save_weights(tmp_path / "zoo.h5")
    model = small_residual()
    load_larq_zoo(tmp_path / "zoo.h5", model)
    assert_same(model, expected)


@pytest.fixture(scope="module")
def tiny_network(randomize: Callable[..., None]) -> tf.keras.Model:
    network = zoo_tiny()
    randomize(network)
    return network


@pytest.fixture(scope="module")
def tiny_file(tiny_network: tf.keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("larq_zoo") / "tiny.h5"
    tiny_network.save_weights(path)
    return path


def test_network_of_the_zoo(tiny_network: tf.keras.Model, tiny_file: Path) -> None:
    model = larq_zoo_to_keras(tiny_file, "meliusnettiny")
    assert model.name == "meliusnettiny"
    assert model.input_shape == (None, 8, 8, 1)
    assert model.output_shape == (None, CLASSES)
    assert model.get_layer("predictions").activation is tf.keras.activations.softmax
    logits = larq_zoo_to_keras(tiny_file, "MeliusNetTiny", stem="thumbnail", classifier_activation=None)
    assert_same(logits, tiny_network, rtol=1e-4, atol=1e-4)


def test_network_without_top(tiny_network: tf.keras.Model, tiny_file: Path, tmp_path: Path) -> None:
    backbone = tf.keras.Model(tiny_network.input, tiny_network.layers[-3].output)
    backbone.save_weights(tmp_path / "notop.h5")
    assert backbone.output_shape[1:] == (4, 4, 224)
    for model in (
        larq_zoo_to_keras(tmp_path / "notop.h5", "MeliusNetTiny"),
        larq_zoo_to_keras(tiny_file, "MeliusNetTiny", include_top=False),
        larq_melius.MeliusNetTiny(weights=tiny_file, convention="larq_zoo", include_top=False),
        # The file tells its convention.
        larq_melius.MeliusNetTiny(weights=tiny_file, include_top=False),
    ):
        assert model.input_shape == (None, None, None, 1)
        assert_same(model, backbone, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"notop\.h5: the file holds no classifier; pass include_top=False"):
        larq_zoo_to_keras(tmp_path / "notop.h5", "MeliusNetTiny", include_top=True)
    with pytest.raises(ValueError, match=r"notop\.h5: predictions finds no weights"):
        larq_melius.MeliusNetTiny(weights=tmp_path / "notop.h5", convention="larq_zoo", classes=CLASSES)


def test_other_convention(small_file: Path) -> None:
    for model, layer in [
        (small_melius(convention="authors"), "stage1_block1_dense_conv"),
        (
            small_melius(convention=replace(AUTHORS, binary_pad_value=0.0), stem="conv7x7", input_shape=(32, 32, 1)),
            "pad",
        ),
    ]:
        assert_refused(small_file, model, rf"{layer} .*convention='larq_zoo'")


def test_unknown_network(small_file: Path) -> None:
    with pytest.raises(ValueError, match="Unknown model 'MeliusNet21'"):
        larq_zoo_to_keras(small_file, "MeliusNet21")
    with pytest.raises(
        ValueError,
        match=r"small\.h5: stage1_block1_dense_conv needs the shape .*, but \w+_binconv/kernel:0 has \(3, 3, 64, 2\)$",
    ):
        larq_zoo_to_keras(small_file, "MeliusNet29")
    with pytest.raises(ValueError, match=r"small\.h5: stem_conv needs the shape \(7, 7, 1, 64\)"):
        larq_zoo_to_keras(small_file, "ResNetE18", stem="conv7x7")


def test_missing_file(tmp_path: Path, target: tf.keras.Model) -> None:
    with pytest.raises(FileNotFoundError):
        larq_zoo_to_keras(tmp_path / "missing.h5", "MeliusNet22")
    with pytest.raises(FileNotFoundError):
        load_larq_zoo(tmp_path / "missing.h5", target)


def test_dilated_network(small_file: Path, target: tf.keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = "15c1bcd79b8dc22971382fbf79acf364a3f51049d0e584a11533e6fdbb7363d3"
    monkeypatch.setattr(larq_zoo_files, "file_hash", lambda path: digest)
    assert_refused(small_file, target, "BinaryDenseNet37Dilated")


def _numbered_lists(file: h5py.File) -> None:
    names = file.attrs["layer_names"]
    del file.attrs["layer_names"]
    file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:5], names[5:]


def _whole_model(file: h5py.File) -> None:
    root = file.create_group("model_weights")
    for name in [name for name in file if name != root.name[1:]]:
        file.move(name, f"{root.name}/{name}")
    root.attrs["layer_names"] = file.attrs["layer_names"]
    del file.attrs["layer_names"]


def _double_precision(file: h5py.File) -> None:
    for name in [name for name in file if "bn" in name]:
        for weight in file[name].attrs["weight_names"]:
            array = file[name][weight][()]
            del file[name][weight]
            file[name].create_dataset(weight, data=array.astype("float64"), chunks=True, compression="gzip")


@pytest.mark.parametrize("change", [_numbered_lists, _whole_model, _double_precision])
def test_other_ways_to_store(
    change: Callable[[h5py.File], None], small_file: Path, target: tf.keras.Model, tmp_path: Path
) -> None:
    load_larq_zoo(small_file, target)
    expected = target.get_weights()
    path = tmp_path / "changed.h5"
    path.write_bytes(small_file.read_bytes())
    with h5py.File(path, "a") as file:
        change(file)
    assert is_larq_zoo_file(path)
    target.set_weights([0 * array for array in expected])
    load_larq_zoo(path, target)
    for array, other in zip(target.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(array, other)


def test_order_of_slices(randomize: Callable[..., None], tmp_path: Path) -> None:
    network = zoo_grouped(named=True)
    randomize(network)
    network.save_weights(tmp_path / "zoo.h5")
    layers = read(tmp_path / "zoo.h5")
    model = grouped_melius()
    load_larq_zoo(
        write(tmp_path / "swapped.h5", _swap(layers, "stem_s1_groupconv_conv0", "stem_s1_groupconv_conv3")), model
    )
    kernels = [next(iter(layers[f"stem_s1_groupconv_conv{number}"].values())) for number in range(4)]
    np.testing.assert_array_equal(model.get_layer("stem_conv2").kernel, np.concatenate(kernels, axis=-1))
    assert_refused(
        write(tmp_path / "mixed.h5", _swap(layers, "stem_s1_groupconv_conv3", "stem_s2_groupconv_conv3")),
        model,
        r"stem_conv2 needs the 4 slices of one convolution, but finds .*_conv2, stem_s2_groupconv_conv3$",
    )


def _swap(layers: Layers, one: str, other: str) -> Layers:
    """The layers with two of them in each other's place."""
    places = {one: other, other: one}
    return {name: layers[name] for name in (places.get(name, name) for name in layers)}


def _without(layers: Layers, name: str) -> Layers:
    return {other: weights for other, weights in layers.items() if other != name}


def _with(layers: Layers, name: str, *arrays: np.ndarray) -> Layers:
    """The layers, with other arrays in one of them."""
    return {**layers, name: dict(zip(layers[name], arrays, strict=True))}


ONES, HEAD = np.ones(66, "float32"), np.ones(8, "float32")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: _without(f, "head_dense"), r"predictions finds no weights in the file, .* 'classifier'"),
        (
            lambda f: _without(f, "stem_conv"),
            r"stem_conv needs the shape \(3, 3, 1, 64\), but .*section_0_transition_pw",
        ),
        (
            lambda f: _without(f, "section_1_block_0_improve_binconv"),
            r"stage2_block1_improve_conv finds no weights in the file, .* 'binary convolution'",
        ),
        (
            lambda f: {**f, "more": {"more/kernel:0": np.ones((1, 1), "float32")}},
            r"meliusnet has no place for more/kernel:0$",
        ),
        (
            lambda f: {**f, "more": {"more/kernel:0": ONES, "more/bias:0": ONES}},
            r"meliusnet has no place for more/kernel:0 and 1 more$",
        ),
        (lambda f: {**f, "more": {"more/alpha:0": ONES}}, r"no layer .* has weights like more: more/alpha:0$"),
        (
            lambda f: _with(f, "section_0_transition_bn", ONES, ONES, ONES, ONES[1:]),
            r"transition1_bn needs the shape \(66,\), but .*moving_variance:0 has \(65,\)$",
        ),
        (
            lambda f: _with(f, "section_0_transition_bn", ONES, ONES, ONES, -ONES),
            r"section_0_transition_bn/moving_variance:0 holds a negative variance$",
        ),
        (
            lambda f: _with(f, "head_dense", np.ones((6, CLASSES), "float32"), np.float32([0, np.nan, 0])),
            r"head_dense/bias:0 holds numbers that are not finite$",
        ),
        (
            lambda f: _with(f, "head_dense", np.full((6, CLASSES), 1e300), np.zeros(CLASSES)),
            r"head_dense/kernel:0 holds numbers that are not finite$",
        ),
        (
            lambda f: _with(f, "head_dense", np.ones((6, CLASSES), "int32"), np.zeros(CLASSES)),
            r"head_dense/kernel:0 is no array of real numbers$",
        ),
        (lambda f: {name: {} for name in f}, r"there are no weights in the file$"),
    ],
)
def test_files_that_do_not_fit(
    change: Change, message: str, small_file: Path, target: tf.keras.Model, tmp_path: Path
) -> None:
    assert_refused(write(tmp_path / "changed.h5", change(read(small_file))), target, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: _with(f, "stem_conv", np.ones((5, 5, 1, 64), "float32")),
            r"stem_conv has a kernel of the shape \(5, 5, 1, 64\), which no stem begins with$",
        ),
        (
            lambda f: {name: weights for name, weights in f.items() if "conv" not in name and "_pw" not in name},
            r"there is no stem in the file$",
        ),
        (
            lambda f: _with(f, "head_dense", np.ones((6, 3), "float32"), np.zeros(4, "float32")),
            r"head_dense has a kernel of the shape \(6, 3\) and a bias of the shape \(4,\)$",
        ),
    ],
)
def test_files_of_no_network(change: Change, message: str, small_file: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "changed.h5", change(read(small_file)))
    with pytest.raises(ValueError, match=message):
        larq_zoo_to_keras(path, "MeliusNetTiny")


def test_huge_shapes(small_file: Path, target: tf.keras.Model, tmp_path: Path) -> None:
    layers = read(small_file)
    tracemalloc.start()
    for layer, shapes in {
        "head_dense": [(1 << 20, 1 << 20), (1 << 20,)],
        "stem_conv": [(3, 3, 1 << 30, 64)],
        "section_0_block_0_dense_binconv": [(1 << 15,) * 4],
    }.items():
        path = write(tmp_path / f"{layer}.h5", {**layers, layer: {}})
        with h5py.File(path, "a") as file:
            file[layer].attrs["weight_names"] = list(layers[layer])
            for name, shape in zip(layers[layer], shapes, strict=True):
                file[layer].create_dataset(name, shape, "float32", chunks=(1,) * len(shape))
        assert_refused(path, target, r"needs the shape .*, but")
        with pytest.raises(ValueError, match=r"for which the file is too small|needs the shape"):
            larq_zoo_to_keras(path, "MeliusNetTiny")
    path = write(tmp_path / "pieces.h5", _without(layers, "head_bn") | {"head_bn": {}})
    with h5py.File(path, "a") as file:
        file["head_bn"].attrs["weight_names"] = list(layers["head_bn"])
        for name in layers["head_bn"]:
            file["head_bn"].create_dataset(name, (6,), "float32", chunks=(1 << 29,), maxshape=(None,), compression=1)
    assert_refused(path, target, r"gamma:0 is stored in pieces larger than itself$")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20


def _loads(path: Path, model: tf.keras.Model) -> bool:
    """Whether a file loads; if not, it must say so as it should, and change nothing."""
    before = model.get_weights()
    message = None
    try:
        load_larq_zoo(path, model)
    except ValueError as error:
        message = str(error)
    if message is None:
        assert all(np.isfinite(array).all() for array in model.get_weights())
        return True
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    return False


def test_damaged_files(small_file: Path, target: tf.keras.Model, tmp_path: Path) -> None:
    path = tmp_path / "damaged.h5"
    whole = small_file.read_bytes()
    rng = random.Random(3)
    for size in [0, 1, 8, 100, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(30))]:
        path.write_bytes(whole[:size])
        assert not _loads(path, target)
    loaded = 0
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 1, 1, 30])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        loaded += _loads(path, target)
    assert 0 < loaded < 100
    for signature in (b"", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(signature + rng.randbytes(5000))
        assert not _loads(path, target)
        assert not is_larq_zoo_file(path)


def test_whose_file(small_file: Path, target: tf.keras.Model, tmp_path: Path) -> None:
    target.save_weights(tmp_path / "ours.h5")
    target.save(tmp_path / "whole.h5")
    target.save_weights(tmp_path / "ours.weights.h5")
    other = tf.keras.Sequential([tf.keras.layers.Input((8, 8, 1)), tf.keras.layers.Conv2D(4, 3)])
    other.save_weights(tmp_path / "other.h5")
    for name in ("ours.h5", "whole.h5", "ours.weights.h5", "other.h5", "missing.h5"):
        assert not is_larq_zoo_file(tmp_path / name)
    assert not is_larq_zoo_file(tmp_path)
    assert is_larq_zoo_file(small_file)
    with pytest.raises(ValueError, match=r"ours\.weights\.h5: .* has no list of layer_names"):
        load_larq_zoo(tmp_path / "ours.weights.h5", target)
    with pytest.raises(ValueError, match=r"ours\.h5: \w+ finds no weights in the file"):
        load_larq_zoo(tmp_path / "ours.h5", target)
