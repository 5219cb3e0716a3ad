"""What TensorFlow's errors mean to who trains."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from larq_melius.zoo.data import ImageDataset


@contextlib.contextmanager
def explained_failures(data: ImageDataset) -> Iterator[None]:
    """Turns the errors that TensorFlow raises in a run into ones that say what to do.

    Raises:
        RuntimeError: If another worker is gone, or memory is full.
        ValueError: If an image cannot be decoded, or is of no class.
    """
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise RuntimeError(
            "Another worker has gone, and none can go on alone: start all of them again with --resume."
        ) from error
    except tf.errors.ResourceExhaustedError as error:
        raise RuntimeError("The device's memory is full: lower batch_size, or use more devices.") from error
    except tf.errors.InvalidArgumentError as error:
        for split in data.sizes:
            if damage := data.source.find_corrupt_example(split):
                raise ValueError(f"{damage}: remove it, or replace it.") from error
        raise ValueError(f"The data set {data.name} cannot be read: {error.message}") from error
