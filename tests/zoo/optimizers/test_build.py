"""Optimizers by name, and rates for other batches."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from larq_melius.zoo.optimizers import SGD, RAdam, WarmupConstant, make_optimizer, scaled_rate


@pytest.mark.parametrize(
    ("name", "kind", "own"),
    [
        ("radam", RAdam, {"beta_1": 0.95, "beta_2": 0.999, "epsilon": 1e-5}),
        ("adam", tf.keras.optimizers.Adam, {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}),
        ("sgd", SGD, {"momentum": 0.9, "nesterov": False}),
    ],
)
def test_each_has_its_own_defaults(name: str, kind: type, own: dict[str, Any]) -> None:
    optimizer = make_optimizer(name, 0.25)
    assert type(optimizer) is kind
    usual = {"learning_rate": 0.25, "weight_decay": None, "global_clipnorm": None, "clipnorm": None, "clipvalue": None}
    config = optimizer.get_config()
    assert {key: config[key] for key in own | usual} == own | usual
    assert not optimizer.use_ema


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("radam", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 0.1}),
        ("adam", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 0.1}),
        ("sgd", {"momentum": 0.0}),
    ],
)
def test_each_takes_what_it_is_given(name: str, own: dict[str, float]) -> None:
    schedule = WarmupConstant(0.5)
    optimizer = make_optimizer(name, schedule, weight_decay=0.125, ema_momentum=0.75, clip_norm=2.0, **own)
    expected = own | {"weight_decay": 0.125, "use_ema": True, "ema_momentum": 0.75, "global_clipnorm": 2.0}
    config = optimizer.get_config()
    assert {key: config[key] for key in expected} == expected
    assert optimizer.learning_rate == 0.5


def test_sgd_moves_as_gluoncvs() -> None:
    variable = tf.Variable([1.0])
    optimizer = make_optimizer("sgd", 0.1)
    for _ in range(2):
        optimizer.apply_gradients([(tf.constant([1.0]), variable)])
    np.testing.assert_allclose(variable, [1 - 0.1 - 0.1 * 1.9], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bop", {}, "Unknown optimizer 'bop'; choose one of radam, adam, sgd."),
        ("sgd", {"beta_1": 0.9}, "sgd has no beta_1, but it was set to 0.9."),
        ("sgd", {"epsilon": 0.1}, "sgd has no epsilon, but it was set to 0.1."),
        ("radam", {"momentum": 0.9}, "radam has no momentum, but it was set to 0.9."),
        ("adam", {"momentum": 0.0}, "adam has no momentum, but it was set to 0.0."),
    ],
)
def test_what_there_is_not(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        make_optimizer(name, 0.1, **options)


@pytest.mark.parametrize(
    ("rule", "batch", "expected"),
    [
        ("none", 1024, 0.1),
        ("linear", 256, 0.1),
        ("linear", 1024, 0.4),
        ("linear", 64, 0.025),
        ("sqrt", 256, 0.1),
        ("sqrt", 1024, 0.2),
        ("sqrt", 64, 0.05),
    ],
)
def test_rates_for_other_batches(rule: str, batch: int, expected: float) -> None:
    assert scaled_rate(0.1, batch, 256, rule) == pytest.approx(expected, rel=1e-15)


def test_the_square_root_rule_keeps_adams_progress_per_image() -> None:
    """Where noise outweighs the gradient, Adam's step is the gradient over the size of the noise."""
    rng = np.random.default_rng(0)
    progress = []
    for batch in (16, 256):
        gradients = (0.01 + rng.normal(size=(4000, batch))).mean(1)
        step = scaled_rate(0.1, batch, 16, "sqrt") * gradients.mean() / np.sqrt(np.mean(gradients**2))
        progress.append(step / batch)
    assert progress[1] == pytest.approx(progress[0], rel=0.25)


@pytest.mark.parametrize(
    ("batch", "reference", "rule", "message"),
    [
        (64, 64, "cubic", "Unknown rule 'cubic'; choose one of none, linear, sqrt."),
        (0, 64, "none", "Batches must have at least 1 image, got 0 and 64."),
        (64, 0, "linear", "Batches must have at least 1 image, got 64 and 0."),
    ],
)
def test_wrong_batches_and_rules_are_refused(batch: int, reference: int, rule: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        scaled_rate(0.1, batch, reference, rule)
