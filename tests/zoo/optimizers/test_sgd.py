"""SGD against MXNet's update rule, written in NumPy."""

import json

import numpy as np
import pytest
import tensorflow as tf

from larq_melius.zoo.optimizers import WarmupCosine, make_optimizer
from larq_melius.zoo.recipes import load_recipe
from larq_melius.zoo.training.optimization import learning_rate, optimizer_for

STEPS = 30


def mxnet_sgd(weight: np.ndarray, gradients: np.ndarray, rates: list[float], wd: float, momentum: float) -> np.ndarray:
    """MXNet's ``sgd_mom_update`` in float64."""
    state = np.zeros_like(weight)
    for gradient, rate in zip(gradients, rates, strict=True):
        state = momentum * state - rate * (gradient + wd * weight)
        weight = weight + state
    return weight


def start() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(4, 3)), generator.normal(size=(STEPS, 4, 3))


def apply(optimizer: tf.keras.optimizers.Optimizer, weight: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    variable = tf.Variable(weight.astype("float32"))
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient, tf.float32), variable)])
    return variable.numpy()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("wd", [None, 0.05])
def test_updates_are_mxnets(momentum, wd) -> None:
    weight, gradients = start()
    schedule = WarmupCosine(0.1, STEPS, warmup_steps=5)
    ours = apply(make_optimizer("sgd", schedule, momentum=momentum, weight_decay=wd), weight, gradients)
    rates = [0.1 * step / 5 if step < 5 else 0.05 * (1 + np.cos(np.pi * (step - 5) / 25)) for step in range(STEPS)]
    np.testing.assert_allclose(ours, mxnet_sgd(weight, gradients, rates, wd or 0.0, momentum), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["MeliusNet-32bit", "DenseNet-32bit"])
def test_recipes_of_32_bit_networks_decay_as_gluoncv(name) -> None:
    """90 epochs at a base rate of 0.1 with 5 of warm-up, momentum 0.9 and weight decay 1e-4; 2 steps an epoch here."""
    recipe = load_recipe(name)
    weight = np.full(1, 10.0)
    gradients = np.zeros((180, 1))
    ours = apply(optimizer_for(recipe, learning_rate(recipe, 2)), weight, gradients)
    rates = [0.1 * s / 10 if s < 10 else 0.05 * (1 + np.cos(np.pi * (s - 10) / 170)) for s in range(180)]
    expected = mxnet_sgd(weight, gradients, rates, 1e-4, 0.9)
    np.testing.assert_allclose(ours - weight, expected - weight, rtol=1e-3)


def test_every_parameter_decays_but_excluded_ones() -> None:
    model = tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(3,)), tf.keras.layers.BatchNormalization()])
    model.set_weights([np.ones_like(weight) for weight in model.get_weights()])
    optimizer = make_optimizer("sgd", 0.5, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["gamma"])
    optimizer.apply_gradients([(tf.zeros_like(v), v) for v in model.trainable_variables])
    for variable in model.trainable_variables:
        np.testing.assert_allclose(variable, 1.0 if "gamma" in variable.name else 0.95, rtol=1e-6)


def test_sparse_gradients_decay_every_row() -> None:
    variable = tf.Variable(tf.ones([3, 1]))
    gradient = tf.IndexedSlices(tf.ones([1, 1]), tf.constant([1]), tf.constant([3, 1]))
    make_optimizer("sgd", 0.5, weight_decay=0.1).apply_gradients([(gradient, variable)])
    np.testing.assert_allclose(variable, [[0.95], [0.45], [0.95]], rtol=1e-6)


def test_comes_back_from_its_config() -> None:
    optimizer = make_optimizer("sgd", 0.25, momentum=0.5, weight_decay=0.125)
    copy = tf.keras.optimizers.deserialize(json.loads(json.dumps(tf.keras.optimizers.serialize(optimizer))))
    assert type(copy) is type(optimizer)
    assert copy.get_config() == optimizer.get_config()
