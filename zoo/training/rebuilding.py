"""The same network with some layers of another kind."""

from collections.abc import Callable

import tensorflow as tf


def rebuild(
    model: tf.keras.Model, change: Callable[[tf.keras.layers.Layer], tf.keras.layers.Layer | None]
) -> tf.keras.Model:
    """Builds a network again, with other layers where ``change`` gives one.

    Args:
        model: The network.
        change: Gives the layer to put in the place of one of the network's, with the same variables; ``None`` keeps
            its kind.

    Returns:
        A network of its own with the same weights.
    """

    def clone(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        return change(layer) or layer.__class__.from_config(layer.get_config())

    rebuilt = tf.keras.models.clone_model(model, clone_function=clone)
    rebuilt.set_weights(model.get_weights())
    return rebuilt
