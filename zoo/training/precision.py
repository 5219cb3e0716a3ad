"""The arithmetic that layers are built for."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Sets Keras' mixed precision policy for the time being."""
    earlier = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(earlier)
