"""Grouped convolutions that train fast on a CPU.

TensorFlow has no kernel for their gradients there, so Keras has XLA compile them, to loops that take twenty times as
long as the few convolutions they stand for: three quarters of a step of MeliusNet22.
"""

import tensorflow as tf

from larq_melius.zoo.training.rebuilding import rebuild


class SplitConv2D(tf.keras.layers.Conv2D):
    """A grouped convolution that is computed group by group; variables and results are those of ``Conv2D``."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        parts = zip(tf.split(inputs, self.groups, axis=-1), tf.split(self.kernel, self.groups, axis=-1), strict=True)
        outputs = tf.concat([self.convolution_op(x, kernel) for x, kernel in parts], axis=-1)
        outputs = outputs if self.bias is None else tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


def with_split_groups(model: tf.keras.Model) -> tf.keras.Model:
    """The same network with its grouped convolutions computed group by group."""

    def change(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer | None:
        grouped = isinstance(layer, tf.keras.layers.Conv2D) and layer.groups > 1
        return SplitConv2D.from_config(layer.get_config()) if grouped else None

    return rebuild(model, change)
