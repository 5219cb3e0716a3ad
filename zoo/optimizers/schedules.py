"""Learning rates that change with every training step.

They are computed in float32 from the whole number of the step, to within a few roundings of the formula.
"""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class _Warmup(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from zero to the base rate, and goes on as ``_after`` says.

    Args:
        base_rate: The rate at the end of the warm-up.
        warmup_steps: Steps until it is reached.

    Raises:
        ValueError: If one of them is negative, or the rate not finite.
    """

    def __init__(self, base_rate: float, warmup_steps: int = 0) -> None:
        super().__init__()
        if not 0 <= base_rate < math.inf:
            raise ValueError(f"base_rate must be a number that is not negative, got {base_rate}.")
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps must not be negative, got {warmup_steps}.")
        self.base_rate = base_rate
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> tf.Tensor:
        step = tf.cast(step, tf.int64)
        base = tf.constant(self.base_rate, tf.float32)
        rising = base * (tf.cast(step, tf.float32) / max(self.warmup_steps, 1))
        return tf.where(step < self.warmup_steps, rising, self._after(step, base))

    def _after(self, step: tf.Tensor, base: tf.Tensor) -> tf.Tensor:
        """The rate after the warm-up, at a step that counts from the start of the training."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"base_rate": self.base_rate, "warmup_steps": self.warmup_steps}


@tf.keras.utils.register_keras_serializable(package="larq_melius")
class WarmupConstant(_Warmup):
    """Rises linearly from zero to the base rate and stays there.

    Args:
        base_rate: The rate at the end of the warm-up.
        warmup_steps: Steps until it is reached.

    Raises:
        ValueError: If one of them is negative, or the rate not finite.
    """

    def _after(self, step: tf.Tensor, base: tf.Tensor) -> tf.Tensor:
        return base


@tf.keras.utils.register_keras_serializable(package="larq_melius")
class WarmupCosine(_Warmup):
    """Rises linearly from zero to the base rate and falls to zero along half a cosine (paper, section 4.1).

    ``base_rate * (1 + cos(pi * t)) / 2``, where ``t`` goes from 0 to 1 over the steps after the warm-up. Keras'
    ``CosineDecay`` adds 1 to the cosine in float32, which leaves none of the digits of the last thousands of steps.

    Args:
        base_rate: The rate at the end of the warm-up.
        total_steps: The step, warm-up included, at which the rate is zero; it stays so from there.
        warmup_steps: Steps until the base rate is reached.

    Raises:
        ValueError: If no step is left after the warm-up, a number is negative, or the rate not finite.
    """

    def __init__(self, base_rate: float, total_steps: int, warmup_steps: int = 0) -> None:
        super().__init__(base_rate, warmup_steps)
        if total_steps <= warmup_steps:
            raise ValueError(f"total_steps must be more than the {warmup_steps} of the warm-up, got {total_steps}.")
        self.total_steps = total_steps

    def _after(self, step: tf.Tensor, base: tf.Tensor) -> tf.Tensor:
        # The steps that are left are a whole number, and (1 + cos(pi t)) / 2 = sin(pi (1 - t) / 2)^2: nothing is
        # rounded away in a difference.
        left = tf.cast(tf.maximum(self.total_steps - step, 0), tf.float32) / (self.total_steps - self.warmup_steps)
        return base * tf.square(tf.sin(left * (math.pi / 2)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "total_steps": self.total_steps}


@tf.keras.utils.register_keras_serializable(package="larq_melius")
class WarmupSteps(_Warmup):
    """Rises linearly from zero to the base rate, which is multiplied by a factor at some steps.

    The paper's supplementary B has 0.001, times 0.1 after 35 and after 37 epochs.

    Args:
        base_rate: The rate at the end of the warm-up.
        boundaries: Steps from which on the rate is another, warm-up included, in ascending order.
        factor: What it is multiplied by at each.
        warmup_steps: Steps until the base rate is reached.

    Raises:
        ValueError: If there are no boundaries, they do not ascend or lie in the warm-up, the factor is not above 0,
            another number is negative, or the rate not finite.
    """

    def __init__(self, base_rate: float, boundaries: Sequence[int], factor: float = 0.1, warmup_steps: int = 0) -> None:
        super().__init__(base_rate, warmup_steps)
        boundaries = list(boundaries)
        if not boundaries or boundaries != sorted(set(boundaries)):
            raise ValueError(f"boundaries must be steps in ascending order, got {boundaries}.")
        if boundaries[0] < warmup_steps:
            raise ValueError(f"boundaries must not lie in the {warmup_steps} steps of warm-up, got {boundaries}.")
        if not 0 < factor < math.inf:
            raise ValueError(f"factor must be above 0, got {factor}.")
        self.boundaries = boundaries
        self.factor = factor
        # Keras' boundaries are the last steps of the rate before.
        self._decay = tf.keras.optimizers.schedules.PiecewiseConstantDecay(
            [boundary - 1 for boundary in boundaries],
            [base_rate * factor**passed for passed in range(len(boundaries) + 1)],
        )

    def _after(self, step: tf.Tensor, base: tf.Tensor) -> tf.Tensor:
        return self._decay(step)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "boundaries": self.boundaries, "factor": self.factor}


# Keras looks up a schedule in an HDF5 file by the name of its class, without the package in front.
tf.keras.utils.get_custom_objects().update(
    {schedule.__name__: schedule for schedule in (WarmupConstant, WarmupCosine, WarmupSteps)}
)
