"""The networks against an implementation of their own in NumPy, written from the paper and the authors' code."""

from collections.abc import Callable, Sequence
from math import ceil, sqrt
from typing import Any

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view

from larq_melius import MeliusNet, ResNetE

Array = np.ndarray
Padding = tuple[tuple[int, int], tuple[int, int]]


class Reference:
    """Forward passes in NumPy, with the weights of a Keras model by the names of its layers."""

    def __init__(self, model: tf.keras.Model, convention: str) -> None:
        self.model = model
        self.authors = convention == "authors"

    def weights(self, name: str) -> list[Array]:
        return self.model.get_layer(name).get_weights()

    def padding(self, x: Array, window: int, stride: int) -> Padding:
        """The authors pad both sides alike; Keras ("same") just enough, and the smaller part at the start."""
        if self.authors:
            return (window // 2, window // 2), (window // 2, window // 2)
        missing = [max((ceil(size / stride) - 1) * stride + window - size, 0) for size in x.shape[1:3]]
        height, width = ((total // 2, total - total // 2) for total in missing)
        return height, width

    def windows(self, x: Array, window: int, stride: int, padding: Padding, value: float) -> Array:
        x = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)
        return sliding_window_view(x, (window, window), axis=(1, 2))[:, ::stride, ::stride]

    def convolve(self, x: Array, kernel: Array, stride: int = 1, groups: int = 1, value: float = 0) -> Array:
        windows = self.windows(x, len(kernel), stride, self.padding(x, len(kernel), stride), value)
        parts = zip(np.split(windows, groups, axis=3), np.split(kernel, groups, axis=3), strict=True)
        return np.concatenate([np.tensordot(part, k, ([3, 4, 5], [2, 0, 1])) for part, k in parts], axis=3)

    def float_conv(self, x: Array, name: str, stride: int = 1, groups: int = 1) -> Array:
        return self.convolve(x, *self.weights(name), stride, groups)

    def binary_conv(self, x: Array, name: str, stride: int = 1) -> Array:
        (kernel,) = self.weights(name)
        signs = np.where(x >= 0, 1.0, -1.0)
        return self.convolve(signs, np.where(kernel >= 0, 1.0, -1.0), stride, value=1.0 if self.authors else 0.0)

    def batchnorm(self, x: Array, name: str) -> Array:
        gamma, beta, mean, variance = self.weights(name)
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    def batchnorm_relu(self, x: Array, name: str) -> Array:
        return np.maximum(self.batchnorm(x, name), 0)

    def max_pool(self, x: Array, window: int) -> Array:
        return self.windows(x, window, 2, self.padding(x, window, 2), -np.inf).max((4, 5))

    def stem(self, x: Array, kind: str) -> Array:
        if kind == "thumbnail":
            return self.float_conv(x, "stem_conv")
        if kind == "conv7x7":
            return self.max_pool(self.batchnorm_relu(self.float_conv(x, "stem_conv", 2), "stem_bn"), 3)
        x = self.batchnorm_relu(self.float_conv(x, "stem_conv1", 2), "stem1_bn")
        x = self.batchnorm_relu(self.float_conv(x, "stem_conv2", groups=4), "stem2_bn")
        x = self.batchnorm_relu(self.float_conv(x, "stem_conv3", groups=8), "stem3_bn")
        return self.max_pool(x, 3 if self.authors else 2)

    def transition(self, x: Array, name: str, groups: int, shuffle: int, *, keeps_edges: bool) -> Array:
        x = self.batchnorm(x, f"{name}_bn")
        height, width = ((0, size % 2) if keeps_edges else (0, 0) for size in x.shape[1:3])
        x = self.windows(x, 2, 2, (height, width), -np.inf).max((4, 5))
        x = np.maximum(x, 0)
        if groups > 1:
            channels = x.shape[3]
            x = x[
                ..., [part * (channels // shuffle) + i for i in range(channels // shuffle) for part in range(shuffle)]
            ]
        return self.float_conv(x, f"{name}_conv", groups=groups)

    def classify(self, x: Array) -> Array:
        kernel, bias = self.weights("predictions")
        return x.mean((1, 2)) @ kernel + bias

    def meliusnet(
        self, x: Array, num_blocks: Sequence[int], groups: int, stem: str, improvement: str | None, shuffle: int = 16
    ) -> Array:
        x = self.stem(x, stem)
        for stage, count in enumerate(num_blocks, start=1):
            if stage > 1:
                # The Larq Zoo's MeliusNet, unlike its Binary DenseNet, pools the last row and column of odd sizes, too.
                keeps_edges = not self.authors and improvement == "newest"
                x = self.transition(x, f"transition{stage - 1}", groups, shuffle, keeps_edges=keeps_edges)
            for block in range(1, count + 1):
                name = f"stage{stage}_block{block}"
                new = self.binary_conv(self.batchnorm(x, f"{name}_dense_bn"), f"{name}_dense_conv")
                x = np.concatenate([x, new], axis=3)
                if improvement is not None:
                    better = self.binary_conv(self.batchnorm(x, f"{name}_improve_bn"), f"{name}_improve_conv")
                    newest = 64 if improvement == "newest" else x.shape[3]
                    x = np.concatenate([x[..., : x.shape[3] - newest], x[..., x.shape[3] - newest :] + better], axis=3)
        return self.classify(self.batchnorm_relu(x, "final_bn"))

    def resnet_e(self, x: Array, num_blocks: Sequence[int], stem: str) -> Array:
        if self.authors:
            _, beta, mean, variance = self.weights("image_bn")
            x = (x - mean) / np.sqrt(variance + 2e-5) + beta
        x = self.batchnorm(self.stem(x, stem), "stem_output_bn")
        for stage, count in enumerate(num_blocks, start=1):
            for block in range(1, 2 * count + 1):
                name = f"stage{stage}_block{block}"
                stride = 2 if stage > 1 and block == 1 else 1
                shortcut = x
                if stride == 2:
                    pooled = self.windows(x, 2, 2, ((0, 0), (0, 0)), 0).mean((4, 5))
                    shortcut = self.batchnorm(self.float_conv(pooled, f"{name}_shortcut_conv"), f"{name}_shortcut_bn")
                x = self.batchnorm(self.binary_conv(x, f"{name}_conv", stride), f"{name}_bn") + shortcut
        return self.classify(np.maximum(x, 0))


def images(*shape: int) -> Array:
    return np.random.default_rng(7).normal(size=shape)


def assert_same(model: tf.keras.Model, x: Array, expected: Array) -> None:
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


CONVENTIONS = pytest.mark.parametrize("convention", ["authors", "larq_zoo"])
STEMS = pytest.mark.parametrize("stem", ["grouped", "conv7x7", "thumbnail"])


@pytest.mark.usefixtures("float64")
@CONVENTIONS
@STEMS
@pytest.mark.parametrize(("size", "groups"), [((32, 32), 4), ((33, 46), 1)])
def test_meliusnet(
    randomize: Callable[..., None], stem: str, convention: str, size: tuple[int, int], groups: int
) -> None:
    model = MeliusNet(
        [2, 1],
        [96],
        transition_groups=groups,
        input_shape=(*size, 3),
        classes=5,
        classifier_activation=None,
        stem=stem,
        convention=convention,
    )
    randomize(model)
    x = images(2, *size, 3)
    assert_same(model, x, Reference(model, convention).meliusnet(x, [2, 1], groups, stem, "newest"))


@pytest.mark.usefixtures("float64")
@CONVENTIONS
@pytest.mark.parametrize("improvement", [None, "all"], ids=["dense", "naive"])
def test_dense_and_naive_networks(randomize: Callable[..., None], improvement: Any, convention: str) -> None:
    model = MeliusNet(
        [1, 2],
        [64],
        improvement=improvement,
        input_shape=(32, 40, 3),
        classes=5,
        classifier_activation=None,
        stem="conv7x7",
        convention=convention,
    )
    randomize(model)
    x = images(2, 32, 40, 3)
    assert_same(model, x, Reference(model, convention).meliusnet(x, [1, 2], 1, "conv7x7", improvement))


@pytest.mark.usefixtures("float64")
@CONVENTIONS
@STEMS
def test_resnet_e(randomize: Callable[..., None], stem: str, convention: str) -> None:
    model = ResNetE(
        [1, 1],
        [64, 96],
        input_shape=(32, 48, 3),
        classes=5,
        classifier_activation=None,
        stem=stem,
        convention=convention,
    )
    randomize(model)
    x = images(2, 32, 48, 3)
    assert_same(model, x, Reference(model, convention).resnet_e(x, [1, 1], stem))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("groups", "shuffle"), [(2, 2), (4, 8), (1, 16)])
def test_other_channel_shuffles(randomize: Callable[..., None], groups: int, shuffle: int) -> None:
    model = MeliusNet(
        [1, 1],
        [64],
        transition_groups=groups,
        shuffle_groups=shuffle,
        input_shape=(8, 8, 3),
        classes=5,
        classifier_activation=None,
        stem="thumbnail",
    )
    randomize(model)
    x = images(2, 8, 8, 3)
    assert_same(model, x, Reference(model, "authors").meliusnet(x, [1, 1], groups, "thumbnail", "newest", shuffle))


@pytest.mark.usefixtures("float64")
def test_the_sign_of_zero_is_positive(randomize: Callable[..., None]) -> None:
    model = MeliusNet([1], [], input_shape=(8, 8, 3), classes=5, classifier_activation=None, stem="thumbnail")
    randomize(model)
    for name in ("stage1_block1_dense", "stage1_block1_improve"):
        gamma, beta, mean, variance = model.get_layer(f"{name}_bn").get_weights()
        gamma[::2] = beta[::2] = mean[::2] = 0
        model.get_layer(f"{name}_bn").set_weights([gamma, beta, mean, variance])
        (kernel,) = model.get_layer(f"{name}_conv").get_weights()
        kernel[:, :, ::3] = 0
        model.get_layer(f"{name}_conv").set_weights([kernel])
    x = images(2, 8, 8, 3)
    assert_same(model, x, Reference(model, "authors").meliusnet(x, [1], 1, "thumbnail", "newest"))


@pytest.mark.usefixtures("float64")
def test_the_32_bit_network_has_relu_for_sign(randomize: Callable[..., None]) -> None:
    class FloatReference(Reference):
        def binary_conv(self, x: Array, name: str, stride: int = 1) -> Array:
            return self.float_conv(np.maximum(x, 0), name, stride)

    model = MeliusNet(
        [1, 1],
        [64],
        binary=False,
        input_shape=(8, 8, 3),
        classes=5,
        classifier_activation=None,
        stem="thumbnail",
    )
    randomize(model)
    x = images(2, 8, 8, 3)
    assert_same(model, x, FloatReference(model, "authors").meliusnet(x, [1, 1], 1, "thumbnail", "newest"))


class AuthorsAtFirst(Reference):
    """Training mode of the authors' NaiveNet: sums ``(h + k) / 2``, and the usual scale of stem and transitions."""

    def binary_conv(self, x: Array, name: str, stride: int = 1) -> Array:
        (kernel,) = self.weights(name)
        return (super().binary_conv(x, name, stride) + kernel[..., 0].size) / 2

    def float_conv(self, x: Array, name: str, stride: int = 1, groups: int = 1) -> Array:
        y = super().float_conv(x, name, stride, groups)
        return y / 2 if name.startswith("transition") or (name == "stem_conv" and y.shape[1:] == (8, 8, 64)) else y

    def batchnorm(self, x: Array, name: str) -> Array:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - mean) / np.sqrt(variance + 1e-5)  # gamma is 1 and beta 0


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("stem", "size"), [("grouped", 32), ("conv7x7", 32), ("thumbnail", 8)])
def test_a_fresh_naive_network_computes_what_the_authors_does(stem: str, size: int) -> None:
    tf.keras.utils.set_random_seed(1)
    model = MeliusNet(
        [2, 1],
        [64],
        improvement="all",
        input_shape=(size, size, 3),
        classes=5,
        classifier_activation=None,
        stem=stem,
    )
    x = images(3, size, size, 3)
    expected = AuthorsAtFirst(model, "authors").meliusnet(x, [2, 1], 1, stem, "all")
    # The two epsilons of the batch norms differ in relation to what is normalized.
    np.testing.assert_allclose(model(x, training=True), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    transition = model.get_layer("transition1_conv").kernel.numpy()
    assert transition.std() == pytest.approx(2 * sqrt(2 / transition.shape[2]), rel=0.05)
    usual = MeliusNet([1, 1], [64], input_shape=(size, size, 3), stem=stem)
    assert usual.get_layer("transition1_conv").kernel.numpy().std() == pytest.approx(sqrt(2 / 128), rel=0.05)
    for layer in usual.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            np.testing.assert_array_equal(layer.gamma, 1)


def binary_convolutions(model: tf.keras.Model) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)]


def tiny(builder: str, convention: str) -> tf.keras.Model:
    arguments: dict[str, Any] = {
        "input_shape": (8, 8, 3),
        "classes": 3,
        "stem": "thumbnail",
        "convention": convention,
    }
    return MeliusNet([1, 1], [64], **arguments) if builder == "meliusnet" else ResNetE([1, 1], [64, 64], **arguments)


@pytest.mark.parametrize(
    ("builder", "convention", "clip"),
    [
        ("meliusnet", "authors", 1.3),
        ("meliusnet", "larq_zoo", 1.3),
        ("resnet_e", "authors", 1.3),
        ("resnet_e", "larq_zoo", 1.25),
    ],
)
def test_gradients_pass_up_to_the_clip_value(builder: str, convention: str, clip: float) -> None:
    for layer in binary_convolutions(tiny(builder, convention)):
        channels = layer.kernel.shape[2]
        edge = np.float32(clip)
        beyond = np.nextafter(edge, np.float32(2))
        steps = np.array([-3, -beyond, -edge, -0.5, 0, 0.5, edge, beyond, 3], "float32")
        rng = np.random.default_rng(0)
        x = tf.constant(rng.choice(steps, (2, 6, 6, channels)))
        kernel = rng.choice(steps, layer.kernel.shape)
        upstream = rng.normal(size=layer(x).shape).astype("float32")

        layer.kernel.assign(kernel)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) * upstream)
        by_x, by_kernel = tape.gradient(loss, [x, layer.kernel])

        # The same convolution of plain numbers: its gradients are what arrives at the two signs.
        signs = tf.constant(np.where(x >= 0, 1, -1), tf.float32)
        kernel_signs = tf.constant(np.where(kernel >= 0, 1, -1), tf.float32)
        stride = layer.strides[0]
        with tf.GradientTape() as tape:
            tape.watch([signs, kernel_signs])
            padded, padding = signs, "VALID"
            if stride == 1:
                value = 1.0 if convention == "authors" else 0.0
                padded = tf.pad(signs, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=value)
            elif convention == "larq_zoo":
                padding = "SAME"
            loss = tf.reduce_sum(tf.nn.conv2d(padded, kernel_signs, stride, padding) * upstream)
        arriving, arriving_kernel = tape.gradient(loss, [signs, kernel_signs])

        np.testing.assert_allclose(by_x, np.where(np.abs(x) <= edge, arriving, 0), rtol=1e-4, atol=1e-4)
        # The authors pass the gradient of latent weights unchanged, and do not clip them.
        passes = (np.abs(kernel) <= edge) | (convention == "authors")
        np.testing.assert_allclose(by_kernel, np.where(passes, arriving_kernel, 0), rtol=1e-4, atol=1e-4)
        assert np.count_nonzero(by_x) > by_x.shape.num_elements() / 3
        if convention == "authors":
            assert layer.kernel.constraint is None
            continue
        np.testing.assert_array_equal(
            layer.kernel.constraint(tf.constant([-5, -edge, 0.1, edge, beyond])),
            np.array([-edge, -edge, 0.1, edge, edge], "float32"),
        )


@pytest.mark.parametrize("convention", ["authors", "larq_zoo"])
def test_latent_weights_beyond_the_clip_value_train_by_the_convention(convention: str) -> None:
    layer = tiny("meliusnet", convention).get_layer("stage1_block1_dense_conv")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 5, 5, 64)).astype("float32")
    upstream = rng.normal(size=(2, 5, 5, 64)).astype("float32")
    kernel = rng.choice(np.float32([-4, -1.31, -1.29, -0.01, 0.01, 1.29, 1.31, 4]), layer.kernel.shape)
    layer.kernel.assign(kernel)
    image = tf.keras.Input(x.shape[1:])
    model = tf.keras.Model(image, layer(image))
    model.compile(tf.keras.optimizers.SGD(0.01), lambda weight, y: tf.reduce_sum(weight * y, axis=(1, 2, 3)))
    model.train_on_batch(x, upstream)

    signs = np.pad(
        np.where(x >= 0, 1.0, -1.0), [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=convention == "authors"
    )
    windows = sliding_window_view(signs, (3, 3), axis=(1, 2))
    gradient = np.einsum("nyxcij,nyxf->ijcf", windows, upstream) / len(x)
    expected = kernel - 0.01 * gradient
    if convention == "larq_zoo":
        expected = np.clip(np.where(np.abs(kernel) <= 1.3, expected, kernel), -1.3, 1.3)
    np.testing.assert_allclose(layer.kernel, expected, rtol=1e-5, atol=1e-5)
    # Both ways into the range and out of it occur.
    assert ((np.abs(kernel) < 1.3) & (np.abs(kernel - 0.01 * gradient) > 1.3)).any()
    assert ((np.abs(kernel) > 1.3) & (np.abs(kernel - 0.01 * gradient) < 1.3)).any()


@pytest.mark.parametrize(("convention", "padded"), [("authors", 1), ("larq_zoo", 0)])
def test_binary_convolutions_see_the_conventions_number_outside(convention: str, padded: int) -> None:
    for layer in binary_convolutions(tiny("meliusnet", convention)):
        layer.kernel.assign(tf.ones_like(layer.kernel))
        channels = layer.kernel.shape[2]
        corner = layer(-tf.ones((1, 4, 4, channels))).numpy()[0, 0, 0]
        np.testing.assert_array_equal(corner, channels * (5 * padded - 4))


@pytest.mark.parametrize("build", [lambda: MeliusNet([1, 1], [64], 4), lambda: ResNetE([1, 1], [64, 128])])
def test_kernels_start_normal_with_the_fan_in_of_he(build: Callable[[], tf.keras.Model]) -> None:
    tf.keras.utils.set_random_seed(0)
    checked = 0
    for layer in build().layers:
        if not hasattr(layer, "kernel"):
            continue
        kernel = layer.kernel.numpy()
        if kernel.size < 4000:
            continue
        std = sqrt(2 / np.prod(kernel.shape[:-1]))
        assert kernel.std() == pytest.approx(std, rel=0.05), layer.name
        assert abs(kernel.mean()) < 0.05 * std, layer.name
        # A truncated normal, which Keras' own He initializer draws, ends before 2.3 standard deviations.
        assert np.abs(kernel).max() > 2.8 * std, layer.name
        checked += 1
    assert checked >= 5


def test_batch_norm_averages_with_the_authors_momentum_and_epsilon() -> None:
    model = tiny("resnet_e", "authors")
    norms = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.9}
    assert [layer.epsilon for layer in norms] == [2e-5] + [1e-5] * (len(norms) - 1)
    x = images(4, 8, 8, 3).astype("float32") + 5
    model(x, training=True)
    np.testing.assert_allclose(norms[0].moving_mean, 0.1 * x.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(norms[0].moving_variance, 0.9 + 0.1 * x.var((0, 1, 2)), rtol=2e-3)


def test_nothing_but_the_classifier_has_a_bias() -> None:
    for model in (MeliusNet([1, 1], [64], classes=3), ResNetE([1, 1], [64, 128], classes=3)):
        with_bias = [layer.name for layer in model.layers if getattr(layer, "use_bias", False)]
        assert with_bias == ["predictions"]
