"""Networks with substituted layers compute what the plain ones do."""

from itertools import product
from typing import Any, get_args

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from training_runs import recipe

from larq_melius import MeliusNet
from larq_melius.zoo.data import load_data
from larq_melius.zoo.recipes.recipe import Precision, Quantization
from larq_melius.zoo.training.network import build_network, precision, training_network
from larq_melius.zoo.training.substitutions import pad_with_zeros, split_groups, substitute

GROUPED = 'architecture={"num_blocks": [1, 1], "transition_filters": [64], "transition_groups": 4}'
STE = {"input_quantizer": lq.quantizers.SteSign(), "kernel_quantizer": lq.quantizers.SteSign()}


def randomize(model: tf.keras.Model) -> None:
    """Random statistics and gammas of either sign: fresh batch norms would hide mistakes."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            size = layer.gamma.shape[0]
            signs = generator.choice([-1.0, 1.0], size)
            layer.set_weights(
                [
                    signs * generator.uniform(0.5, 2, size),
                    *generator.normal(size=(2, size)),
                    generator.uniform(1, 2, size),
                ]
            )


def outputs_and_gradients(model: tf.keras.Model, x: np.ndarray) -> list[np.ndarray]:
    """The outputs, and the gradients of the sum of their squares by inputs and weights."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x)
        loss = tf.reduce_sum(tf.square(tf.cast(y, tf.float32)))
    return [np.asarray(value, "float32") for value in (y, *tape.gradient(loss, [x, *model.trainable_variables]))]


def assert_same(plain: tf.keras.Model, fast: tf.keras.Model, x: np.ndarray, *, tolerance: float) -> None:
    fast.set_weights(plain.get_weights())
    for ours, theirs in zip(outputs_and_gradients(fast, x), outputs_and_gradients(plain, x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(np.abs(theirs).max(), 1e-6))


@pytest.mark.long
@pytest.mark.parametrize(("quantization", "policy"), product(get_args(Quantization), get_args(Precision)))
def test_training_network_computes_what_the_network_does(quantization, policy, digits) -> None:
    """Every quantization and precision of a recipe; the network is the one that is exported, but for its softmax."""
    # In half precision, the order in which the channels of a group are summed flips signs behind it.
    ours = recipe(f"quantization={quantization}", *([GROUPED] if policy == "float32" else []))
    with precision(policy):
        tf.keras.utils.set_random_seed(1)
        plain, fast = build_network(ours, digits), training_network(ours, digits)
    randomize(plain)
    x = np.random.default_rng(1).normal(size=(2, 8, 8, 1)).astype("float32")
    # Float32 sums in another order, which rounds differently; half precision keeps 8 (bfloat16) or 11 bits.
    assert_same(plain, fast, x, tolerance={"float32": 1e-5, "mixed_float16": 5e-3, "mixed_bfloat16": 5e-2}[policy])


@pytest.mark.parametrize("convention", ["authors", "larq_zoo"])
def test_both_conventions(convention) -> None:
    tf.keras.utils.set_random_seed(2)
    plain = MeliusNet([1, 1], [64], convention=convention, stem="thumbnail", input_shape=(8, 8, 3), classes=10)
    randomize(plain)
    fast = substitute(plain, pad_with_zeros, split_groups)
    replaced = [layer.name for layer in fast.layers if type(layer).__name__ == "ZeroPaddedQuantConv2D"]
    # The Larq Zoo pads with zeros.
    assert len(replaced) == (4 if convention == "authors" else 0)
    x = np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype("float32")
    assert_same(plain, fast, x, tolerance=1e-5)


def network_of(layer: tf.keras.layers.Layer, shape: tuple[int, int, int]) -> tf.keras.Model:
    return tf.keras.Sequential([tf.keras.layers.InputLayer(shape), layer])


@pytest.mark.parametrize("kernel_size", [1, 2, 3, (3, 5)])
def test_padding_with_zeros_is_exact(kernel_size) -> None:
    tf.keras.utils.set_random_seed(3)
    plain = network_of(
        lq.layers.QuantConv2D(5, kernel_size, padding="same", pad_values=1.0, use_bias=False, **STE), (6, 7, 4)
    )
    fast = substitute(plain, pad_with_zeros)
    assert type(fast.layers[0]).__name__ == "ZeroPaddedQuantConv2D"
    x = np.random.default_rng(2).normal(size=(2, 6, 7, 4)).astype("float32")
    np.testing.assert_array_equal(fast(x), plain(x))
    assert_same(plain, fast, x, tolerance=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "relu"},
        {"dilation_rate": 2},
        {"strides": 2},
        {"use_bias": True},
        {"groups": 2},
        {"pad_values": 0.0},
        {"pad_values": -1.0},
        {"padding": "valid"},
        {"input_quantizer": lq.activations.hard_tanh},
        {"input_quantizer": lq.quantizers.SteTern()},
        {"kernel_quantizer": lq.quantizers.SteTern()},
        {"kernel_quantizer": lq.quantizers.DoReFa()},
        {"kernel_quantizer": None},
    ],
    # Not their str, which has the addresses of objects: those differ between the processes of xdist.
    ids=lambda options: ", ".join(
        f"{name}={getattr(value, '__name__', getattr(value, 'name', value))}" for name, value in options.items()
    ),
)
def test_other_layers_are_left_alone(options: dict[str, Any]) -> None:
    tf.keras.utils.set_random_seed(4)
    usual = {"padding": "same", "pad_values": 1.0, "use_bias": False, **STE}
    plain = network_of(lq.layers.QuantConv2D(4, 3, **(usual | options)), (8, 8, 4))
    fast = substitute(plain, pad_with_zeros)
    assert type(fast.layers[0]) is lq.layers.QuantConv2D
    x = np.random.default_rng(3).normal(size=(2, 8, 8, 4)).astype("float32")
    for ours, theirs in zip(outputs_and_gradients(fast, x), outputs_and_gradients(plain, x), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("policy", ["float64", "float16", "mixed_float16", "mixed_bfloat16"])
def test_other_precisions_are_left_alone(policy) -> None:
    layer = lq.layers.QuantConv2D(4, 3, padding="same", pad_values=1.0, use_bias=False, dtype=policy, **STE)
    assert pad_with_zeros(layer) is None


@pytest.mark.parametrize("kind", [tf.keras.layers.Conv2D, lq.layers.QuantConv2D])
def test_channels_first_is_left_alone(kind) -> None:
    """TensorFlow has no such kernels on CPUs, so the layers are looked at, and not run."""
    options = {"data_format": "channels_first", "padding": "same", "use_bias": False}
    options |= {"pad_values": 1.0, **STE} if kind is lq.layers.QuantConv2D else {"groups": 2}
    layer = kind(4, 3, **options)
    assert pad_with_zeros(layer) is None
    assert split_groups(layer) is None


@pytest.mark.parametrize(
    "options", [{"activation": "relu"}, {"dilation_rate": 2}, {"strides": 2, "use_bias": False}], ids=str
)
def test_groups_are_split_whatever_the_convolution_has(options: dict[str, Any]) -> None:
    tf.keras.utils.set_random_seed(5)
    options = {"bias_initializer": "random_normal", **options}
    plain = network_of(tf.keras.layers.Conv2D(8, 3, padding="same", groups=4, **options), (8, 8, 8))
    fast = substitute(plain, split_groups)
    assert type(fast.layers[0]).__name__ == "SplitConv2D"
    x = np.random.default_rng(3).normal(size=(2, 8, 8, 8)).astype("float32")
    assert_same(plain, fast, x, tolerance=5e-2 if "dtype" in options else 1e-5)


def test_each_network_is_cloned_once(digits, monkeypatch) -> None:
    cloned = []
    clone = tf.keras.models.clone_model
    monkeypatch.setattr(
        tf.keras.models, "clone_model", lambda *args, **kwargs: cloned.append(1) or clone(*args, **kwargs)
    )
    training_network(recipe("quantization=float_weights", GROUPED), digits)
    assert len(cloned) == 1


def test_groups_are_split_in_networks() -> None:
    model = training_network(recipe(GROUPED), load_data("digits"))
    assert [type(layer).__name__ for layer in model.layers].count("SplitConv2D") == 1
