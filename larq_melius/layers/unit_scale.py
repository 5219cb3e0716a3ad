"""A weight held at one."""

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="larq_melius")
class UnitScale(tf.keras.constraints.Constraint):
    """Sets a weight back to one after every update.

    The authors' batch normalization of the input image stores a scale but holds it at one. Doing the same, and not
    leaving the scale out, keeps the variables of both sides one to one.
    """

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        return tf.ones_like(w)
