"""Finds the example that cannot be used."""

import tensorflow as tf


def first_damaged(examples: tf.data.Dataset, classes: int) -> int | None:
    """Position of the first example that cannot be decoded, or is of no known class; ``None`` if there is none.

    TensorFlow's error does not tell, but examples come in their order, so that as many were fine as came before it.

    Args:
        examples: Pairs of encoded bytes and a class.
        classes: Number of classes.
    """

    def check(record: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        known = tf.debugging.assert_equal((label >= 0) & (label < classes), True)
        with tf.control_dependencies([known]):
            return tf.size(tf.io.decode_image(record, expand_animations=False))

    fine = 0
    try:
        for _ in examples.map(check, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True):
            fine += 1
    except tf.errors.InvalidArgumentError:
        return fine
    return None
