"""The order in which examples come."""

import tensorflow as tf


def shuffled(examples: tf.data.Dataset, buffer: int, seed: tuple[int, int]) -> tf.data.Dataset:
    """Shuffles examples by ``seed`` alone, whatever ``tf.random.set_seed`` was given.

    Args:
        examples: The examples, in an order that is always the same.
        buffer: Number of examples in memory, of which the next is drawn.
        seed: Two numbers.
    """
    run, epoch = seed

    def within_a_graph(_: tf.Tensor) -> tf.data.Dataset:
        # shuffle() draws by its own seed and the graph's. Here that is the seed of this function, and no one else's.
        tf.random.set_seed(run)
        return examples.shuffle(buffer, seed=epoch, reshuffle_each_iteration=False)

    return tf.data.Dataset.from_tensors(0).flat_map(within_a_graph)
