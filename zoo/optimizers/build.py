"""Optimizers by name, and the rate that suits a batch."""

import math
from typing import Any

import tensorflow as tf

from larq_melius.zoo.optimizers.radam import RAdam
from larq_melius.zoo.optimizers.sgd import SGD

_OPTIMIZERS = {"radam": RAdam, "adam": tf.keras.optimizers.Adam, "sgd": SGD}


def make_optimizer(
    name: str,
    learning_rate: float | tf.keras.optimizers.schedules.LearningRateSchedule,
    *,
    beta_1: float | None = None,
    beta_2: float | None = None,
    epsilon: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    ema_momentum: float | None = None,
    clip_norm: float | None = None,
    jit_compile: bool = False,
) -> tf.keras.optimizers.Optimizer:
    """Makes an optimizer; ``None`` stands for its own default.

    Args:
        name: ``"radam"``, ``"adam"`` or ``"sgd"`` (not Nesterov's).
        learning_rate: A number or a schedule.
        beta_1: Decay of the first moment, of RAdam and Adam.
        beta_2: Decay of their second moment.
        epsilon: Their epsilon.
        momentum: Momentum of SGD; 0.9 unless told otherwise.
        weight_decay: Weight decay of all parameters. For RAdam and Adam it is decoupled (AdamW): a weight shrinks by
            this share, times the rate, in each step. For SGD it is an L2 penalty: this share of a weight is added to
            its gradient, and goes through the momentum.
        ema_momentum: Decay of the moving average of the weights; none is kept unless told.
        clip_norm: Largest norm of all gradients together.
        jit_compile: Whether XLA compiles the update; Keras does so on GPUs only.

    Raises:
        ValueError: If there is no such optimizer, it does not know one of the arguments, or a value is wrong.
    """
    if name not in _OPTIMIZERS:
        raise ValueError(f"Unknown optimizer {name!r}; choose one of {', '.join(_OPTIMIZERS)}.")
    own: dict[str, Any] = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon, "momentum": momentum}
    foreign = ("beta_1", "beta_2", "epsilon") if name == "sgd" else ("momentum",)
    for argument in foreign:
        if own[argument] is not None:
            raise ValueError(f"{name} has no {argument}, but it was set to {own[argument]}.")
    options = {key: value for key, value in own.items() if value is not None}
    if ema_momentum is not None:
        options |= {"use_ema": True, "ema_momentum": ema_momentum}
    return _OPTIMIZERS[name](
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        global_clipnorm=clip_norm,
        jit_compile=jit_compile,
        **options,
    )


def scaled_rate(learning_rate: float, batch_size: int, reference_batch_size: int, rule: str) -> float:
    """The base rate for a batch, from the one for the reference batch.

    ``"linear"`` is for SGD: one step of a batch k times as large should move the weights as far as the k steps that it
    stands for (Goyal et al., 2017, arXiv 1706.02677). ``"sqrt"`` is for Adam and its kin, which divide by the size of
    the gradients: where that is mostly noise it shrinks with the root of the batch, so the steps have grown by as much
    already (Malladi et al., 2022, arXiv 2205.10287). ``"none"`` leaves the rate alone.

    Args:
        learning_rate: The rate for the reference batch.
        batch_size: Images of one step.
        reference_batch_size: Images of one step of the reference batch.
        rule: ``"none"``, ``"linear"`` or ``"sqrt"``.

    Raises:
        ValueError: If there is no such rule, or a batch has no images.

    Example:
        >>> scaled_rate(0.1, 512, 256, "linear")
        0.2
    """
    if min(batch_size, reference_batch_size) < 1:
        raise ValueError(f"Batches must have at least 1 image, got {batch_size} and {reference_batch_size}.")
    ratio = batch_size / reference_batch_size
    factors = {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}
    if rule not in factors:
        raise ValueError(f"Unknown rule {rule!r}; choose one of {', '.join(factors)}.")
    return learning_rate * factors[rule]
