"""From a recipe to the optimizer and its rate at each step."""

import tensorflow as tf

from larq_melius.zoo.optimizers import WarmupConstant, WarmupCosine, WarmupSteps, make_optimizer, scaled_rate
from larq_melius.zoo.recipes.recipe import Recipe


def learning_rate(recipe: Recipe, epoch_steps: int) -> tf.keras.optimizers.schedules.LearningRateSchedule:
    """The schedule of a recipe, with its rate scaled to its batch.

    Args:
        recipe: Names the schedule, its base rate and its epochs.
        epoch_steps: Steps of an epoch.
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
    """The optimizer of a recipe, with loss scaling where half precision needs it."""
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
    # Gradients of float16 would vanish without it; bfloat16 has float32's range.
    return tf.keras.mixed_precision.LossScaleOptimizer(optimizer) if recipe.precision == "mixed_float16" else optimizer
