"""Evaluating the exponential moving average of the weights in the place of the weights."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def ema_weights(model: tf.keras.Model, optimizer: tf.keras.optimizers.Optimizer) -> Iterator[None]:
    """Puts the optimizer's moving averages into the model, if it keeps any, and the weights back afterwards."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not inner.use_ema:
        yield
        return
    weights = [variable.numpy() for variable in model.trainable_variables]
    inner.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:
        # Keras averages what is there before constraints have acted, such as the clipping of latent weights.
        if variable.constraint is not None:
            variable.assign(variable.constraint(variable))
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, weights, strict=True):
            variable.assign(value)
