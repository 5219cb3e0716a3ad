"""How the layers of a network are connected."""

import tensorflow as tf


def input_layers(layer: tf.keras.layers.Layer) -> list[tf.keras.layers.Layer]:
    """The layers whose outputs a layer of a functional model reads, in the order of its inputs; none for an input."""
    return tf.nest.flatten(layer.inbound_nodes[0].inbound_layers) if layer.inbound_nodes else []
