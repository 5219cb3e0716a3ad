"""One step of training: gradients, constraints, mixed precision."""

from collections.abc import Callable, Iterator
from typing import Any

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from larq_melius import MeliusNet, ResNetE

BUILDERS: dict[str, Callable[..., tf.keras.Model]] = {
    "meliusnet": lambda **kwargs: MeliusNet(
        [1, 1], [64], transition_groups=4, input_shape=(32, 32, 3), classes=10, **kwargs
    ),
    "resnet_e": lambda **kwargs: ResNetE([1, 1], [64, 96], input_shape=(32, 32, 3), classes=10, **kwargs),
}
NETWORKS = pytest.mark.parametrize("network", BUILDERS)


def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(8, 32, 32, 3)).astype("float32"), rng.integers(0, 10, 8)


def binary_kernels(model: tf.keras.Model) -> list[np.ndarray]:
    return [layer.kernel.numpy() for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)]


def fit_one_step(model: tf.keras.Model, optimizer: Any) -> float:
    model.compile(optimizer, tf.keras.losses.SparseCategoricalCrossentropy())
    images, labels = batch()
    return model.fit(images, labels, batch_size=len(images), verbose=0).history["loss"][0]


@NETWORKS
def test_every_weight_learns(network: str) -> None:
    tf.keras.utils.set_random_seed(0)
    model = BUILDERS[network]()
    images, labels = batch()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.keras.losses.sparse_categorical_crossentropy(labels, model(images, training=True)))
    gradients = tape.gradient(loss, model.trainable_weights)
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.name
        assert np.isfinite(gradient).all(), weight.name
        assert np.any(gradient), weight.name
    statistics = [w for layer in model.layers for w in layer.weights if "moving" in w.name]
    assert {id(w) for w in model.non_trainable_weights} == {id(w) for w in statistics}


@pytest.mark.long
@pytest.mark.parametrize(
    ("network", "convention", "limit"),
    # The authors do not clip latent weights.
    [
        ("meliusnet", "authors", None),
        ("meliusnet", "larq_zoo", 1.3),
        ("resnet_e", "authors", None),
        ("resnet_e", "larq_zoo", 1.25),
    ],
)
def test_a_step_changes_the_weights_and_holds_what_is_held(network: str, convention: str, limit: float | None) -> None:
    tf.keras.utils.set_random_seed(0)
    model = BUILDERS[network](convention=convention)
    before = model.get_weights()
    # Steps so long that every moved weight would land far outside.
    loss = fit_one_step(model, tf.keras.optimizers.SGD(1e5))
    assert np.isfinite(loss)
    for weight, old in zip(model.weights, before, strict=True):
        if weight.name == "image_bn/gamma:0":
            assert np.all(weight == 1)
        else:
            assert np.any(weight != old), weight.name
    for kernel in binary_kernels(model):
        if limit is None:
            assert np.abs(kernel).max() > 1.3
        else:
            assert np.abs(kernel).max() == np.float32(limit)
    convolutions = [layer for layer in model.layers if type(layer) is tf.keras.layers.Conv2D]
    assert max(np.abs(layer.kernel).max() for layer in convolutions) > 1.3


@pytest.fixture
def policy(request: pytest.FixtureRequest) -> Iterator[str]:
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(request.param)
    yield request.param
    tf.keras.mixed_precision.set_global_policy(before)


@pytest.mark.long
@pytest.mark.parametrize(
    ("network", "policy"),
    [
        ("meliusnet", "mixed_float16"),
        ("meliusnet", "mixed_bfloat16"),
        ("resnet_e", "mixed_float16"),
        pytest.param("resnet_e", "mixed_bfloat16", marks=pytest.mark.slow),
    ],
    indirect=["policy"],
)
def test_mixed_precision(network: str, policy: str) -> None:
    tf.keras.utils.set_random_seed(0)
    model = BUILDERS[network]()
    half = policy.removeprefix("mixed_")
    binary = [layer for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)]
    assert {layer.compute_dtype for layer in binary} == {half}
    assert {layer.output.dtype.name for layer in binary} == {half}
    assert {weight.dtype.name for weight in model.weights} == {"float32"}

    before = model.get_weights()
    assert np.isfinite(fit_one_step(model, tf.keras.optimizers.Adam()))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert any(np.any(new != old) for new, old in zip(model.get_weights(), before, strict=True))

    predictions = model(batch()[0])
    assert predictions.dtype == tf.float32
    np.testing.assert_allclose(predictions.numpy().sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
@pytest.mark.usefixtures("policy")
def test_features_and_logits_under_mixed_precision() -> None:
    assert BUILDERS["meliusnet"](include_top=False).output.dtype == tf.float16
    assert BUILDERS["meliusnet"](classifier_activation=None).output.dtype == tf.float32
