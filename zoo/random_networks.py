"""Networks with random weights as ``.tflite`` files, to measure: latency does not depend on the weights."""

import numpy as np
import tensorflow as tf

from larq_melius.converters.export.convert import convert
from larq_melius.models.registry import find_variant

#: MobileNet-v1 in 32 bits, which the paper compares with (Table 4), by the names that ``convert_random_network`` takes.
MOBILENETS = {"MobileNet-0.25": 0.25, "MobileNet-0.5": 0.5, "MobileNet-0.75": 0.75, "MobileNet-1.0": 1.0}


def check_random_network(name: str) -> None:
    """Checks quickly that there is a network of that name.

    Raises:
        ValueError: If there is none.
    """
    if name not in MOBILENETS:
        find_variant(name)


def convert_random_network(name: str) -> bytes:
    """The flatbuffer of a network of the zoo, or of MobileNet-v1 at 224 pixels.

    Args:
        name: Name of a network of the zoo, or one of ``MOBILENETS``.

    Raises:
        ImportError: If Larq Compute Engine, which converts it, is not installed.
        ValueError: If there is no such network.
    """
    return convert(random_network(name))


def random_network(name: str) -> tf.keras.Model:
    """The network itself, with weights of Keras' random numbers; see ``convert_random_network``.

    Raises:
        ValueError: If there is no such network.
    """
    if name in MOBILENETS:
        model = tf.keras.applications.MobileNet(alpha=MOBILENETS[name], weights=None)
    else:
        model = find_variant(name).function(weights=None)
    randomize_batchnorms(model)
    return model


def randomize_batchnorms(model: tf.keras.Model) -> None:
    """Gives a model the batch norms of a trained one: the converter would fold fresh ones away."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.beta.assign(rng.normal(0, 0.5, layer.beta.shape))
            layer.moving_mean.assign(rng.normal(0, 1, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
