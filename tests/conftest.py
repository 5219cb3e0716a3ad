"""Fixtures that several test modules share."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

import larq_melius  # noqa: F401 - selects legacy Keras before a test module imports Larq


def _randomize(model: tf.keras.Model, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            channels = layer.moving_mean.shape[0]
            layer.gamma.assign(rng.uniform(0.5, 1.5, channels) * rng.choice([-1, 1], channels))
            layer.beta.assign(rng.normal(0, 0.5, channels))
            layer.moving_mean.assign(rng.normal(0, 1, channels))
            layer.moving_variance.assign(rng.uniform(0.5, 2, channels))
        elif hasattr(layer, "kernel"):
            layer.kernel.assign(rng.normal(0, 0.2, layer.kernel.shape))


@pytest.fixture(scope="session")
def randomize() -> Callable[..., None]:
    """A function that gives a model random kernels and batch norms, with gammas of either sign.

    Fresh batch norms do nothing, and hide what goes wrong with them.
    """
    return _randomize
