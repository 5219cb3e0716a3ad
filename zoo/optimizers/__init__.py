"""Optimizers and learning rate schedules of the paper."""

from larq_melius.zoo.optimizers.build import make_optimizer, scaled_rate
from larq_melius.zoo.optimizers.radam import RAdam
from larq_melius.zoo.optimizers.schedules import WarmupConstant, WarmupCosine, WarmupSteps
from larq_melius.zoo.optimizers.sgd import SGD

__all__ = ["SGD", "RAdam", "WarmupConstant", "WarmupCosine", "WarmupSteps", "make_optimizer", "scaled_rate"]
