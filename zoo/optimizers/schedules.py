"""Learning rates that change with every training step."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_Schedule = tf.keras.optimizers.schedules.LearningRateSchedule


class _Warmup(_Schedule):
    """Rises linearly from zero to the base rate, and goes on as ``_after`` says.

    Args:
        rate: The base rate.
        warmup_steps: Steps until it is reached.
    """

    def __init__(self, rate: float, warmup_steps: int = 0) -> None:
        super().__init__()
        if rate < 0:
            raise ValueError(f"rate must not be negative, got {rate}.")
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps must not be negative, got {warmup_steps}.")
        self.rate = rate
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> tf.Tensor:
        # Float64: near the end of millions of steps, float32 has no digits left for the share that is done.
        step = tf.cast(step, tf.float64)
        warmup = self.rate * step / max(self.warmup_steps, 1)
        return tf.cast(tf.where(step < self.warmup_steps, warmup, self._after(step)), tf.float32)

    def _after(self, step: tf.Tensor) -> tf.Tensor:
        """The rate at a step after the warm-up."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate, "warmup_steps": self.warmup_steps}


@tf.keras.utils.register_keras_serializable(package="larq_melius")
class WarmupConstant(_Warmup):
    """Rises linearly to the base rate and stays there.

    Args:
        rate: The base rate.
        warmup_steps: Steps until it is reached.
    """

    def _after(self, step: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.shape(step), tf.constant(self.rate, tf.float64))


@tf.keras.utils.register_keras_serializable(package="larq_melius")
class WarmupCosine(_Warmup):
    """Rises linearly to the base rate and falls to zero along half a cosine (paper, section 4.1).

    ``rate * (1 + cos(pi * t)) / 2``, where ``t`` goes from 0 to 1 over the steps after the warm-up.

    Args:
        rate: The base rate.
        total_steps: The step at which it is zero; it stays zero from there.
        warmup_steps: Steps until the base rate is reached.
    """

    def __init__(self, rate: float, total_steps: int, warmup_steps: int = 0) -> None:
        super().__init__(rate, warmup_steps)
        if total_steps <= warmup_steps:
            raise ValueError(f"total_steps must be more than the {warmup_steps} warm-up steps, got {total_steps}.")
        self.total_steps = total_steps

    def _after(self, step: tf.Tensor) -> tf.Tensor:
        done = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return self.rate * (1 + tf.cos(math.pi * tf.clip_by_value(done, 0.0, 1.0))) / 2

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "total_steps": self.total_steps}


@tf.keras.utils.register_keras_serializable(package="larq_melius")
class WarmupSteps(_Warmup):
    """Rises linearly to the base rate, and is multiplied by a factor at some steps (paper, supplementary B).

    Args:
        rate: The base rate.
        boundaries: Steps from which on the rate is lower, in ascending order.
        factor: What it is multiplied by at each.
        warmup_steps: Steps until the base rate is reached.
    """

    def __init__(self, rate: float, boundaries: Sequence[int], factor: float = 0.1, warmup_steps: int = 0) -> None:
        super().__init__(rate, warmup_steps)
        if list(boundaries) != sorted(set(boundaries)):
            raise ValueError(f"boundaries must ascend, got {list(boundaries)}.")
        if factor <= 0:
            raise ValueError(f"factor must be above 0, got {factor}.")
        self.boundaries = list(boundaries)
        self.factor = factor

    def _after(self, step: tf.Tensor) -> tf.Tensor:
        passed = tf.reduce_sum(tf.cast(step >= tf.constant(self.boundaries, tf.float64), tf.float64))
        return self.rate * tf.constant(self.factor, tf.float64) ** passed

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "boundaries": self.boundaries, "factor": self.factor}
