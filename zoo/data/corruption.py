"""Finds the example that cannot be used."""

import sys

import tensorflow as tf
from tqdm import tqdm


def find_corrupt_position(examples: tf.data.Dataset, classes: int) -> int | None:
    """Position of the first example that cannot be decoded, or is of no known class; ``None`` if there is none.

    TensorFlow's error does not tell, but examples come in their order, so that as many were fine as came before it. A
    large data set takes minutes: on a terminal, stderr shows the progress.

    Args:
        examples: Pairs of encoded bytes and a class.
        classes: Number of classes.
    """

    def check(record: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        known = tf.debugging.assert_equal((label >= 0) & (label < classes), True)
        with tf.control_dependencies([known]):
            return tf.size(tf.io.decode_image(record, expand_animations=False))

    checked = examples.map(check, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    fine = 0
    with tqdm(
        desc="Looking for the image that cannot be used",
        unit=" images",
        unit_scale=True,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
        leave=False,
    ) as progress:
        try:
            for _ in checked:
                fine += 1
                progress.update()
        except tf.errors.InvalidArgumentError:
            return fine
    return None
