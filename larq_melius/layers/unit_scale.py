"""A weight held at one."""

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="larq_melius")
class UnitScale(tf.keras.constraints.Constraint):
    """Sets a weight back to one after every update.

    The authors' batch norm of the image stores a scale but holds it at one. Keeping the scale, too, makes the variables
    of both implementations correspond one to one.
    """

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        return tf.ones_like(w)
