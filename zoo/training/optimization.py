"""The optimizer of a recipe, its learning rate at each step, and the moving average of the weights that it keeps."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from larq_melius.zoo.optimizers import WarmupConstant, WarmupCosine, WarmupSteps, make_optimizer, scaled_rate
from larq_melius.zoo.recipes.recipe import Recipe


def learning_rate(recipe: Recipe, epoch_steps: int) -> tf.keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate schedule of a recipe, scaled to its batch size.

    Args:
        recipe: Provides the schedule, its base rate and the epochs.
        epoch_steps: Steps per epoch.
    """
    rate = scaled_rate(recipe.learning_rate, recipe.batch_size, recipe.reference_batch_size, recipe.rate_scaling)
    warmup = round(recipe.warmup_epochs * epoch_steps)
    if recipe.schedule == "cosine":
        return WarmupCosine(rate, recipe.epochs * epoch_steps, warmup_steps=warmup)
    if recipe.schedule == "steps":
        boundaries = [round(epoch * epoch_steps) for epoch in recipe.decay_epochs]
        return WarmupSteps(rate, boundaries, recipe.decay_factor, warmup_steps=warmup)
    return WarmupConstant(rate, warmup_steps=warmup)


def optimizer_for(
    recipe: Recipe, rate: tf.keras.optimizers.schedules.LearningRateSchedule
) -> tf.keras.optimizers.Optimizer:
    """The optimizer of a recipe, with loss scaling for ``mixed_float16``."""
    optimizer = make_optimizer(
        recipe.optimizer,
        rate,
        beta_1=recipe.beta_1,
        beta_2=recipe.beta_2,
        epsilon=recipe.epsilon,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay or None,
        ema_momentum=recipe.ema_momentum,
        clip_norm=recipe.clip_norm,
        jit_compile=recipe.xla and tf.distribute.get_strategy().num_replicas_in_sync == 1,
    )
    # Small gradients underflow in float16; bfloat16 has the range of float32.
    return tf.keras.mixed_precision.LossScaleOptimizer(optimizer) if recipe.precision == "mixed_float16" else optimizer


@contextlib.contextmanager
def ema_weights(model: tf.keras.Model, optimizer: tf.keras.optimizers.Optimizer) -> Iterator[None]:
    """Replaces the weights by their moving averages, if the optimizer keeps any, and restores them afterwards."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not inner.use_ema:
        yield
        return
    weights = [variable.numpy() for variable in model.trainable_variables]
    inner.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:
        # Keras averages weights before their constraints, such as the clipping of latent weights, are applied.
        if variable.constraint is not None:
            variable.assign(variable.constraint(variable))
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, weights, strict=True):
            variable.assign(value)
