"""Optimizers and learning rate schedules of the paper."""

from larq_melius.zoo.optimizers.build import make_optimizer, scaled_rate
from larq_melius.zoo.optimizers.radam import RAdam
from larq_melius.zoo.optimizers.schedules import WarmupConstant, WarmupCosine, WarmupSteps

__all__ = ["RAdam", "WarmupConstant", "WarmupCosine", "WarmupSteps", "make_optimizer", "scaled_rate"]
