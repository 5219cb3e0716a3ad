"""Learning rates against their formulas in float64, Keras' own schedules and the authors' logs."""

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from larq_melius.zoo.optimizers import WarmupConstant, WarmupCosine, WarmupSteps

EPOCH = 20_000
TOTAL = 120 * EPOCH
#: Of what one rounding of float32 may change.
ROUNDING = 2.0**-24

SCHEDULES: dict[str, Any] = {
    "cosine": WarmupCosine(0.002, TOTAL, warmup_steps=5 * EPOCH),
    "steps": WarmupSteps(0.001, [35 * EPOCH, 37 * EPOCH], 0.1, warmup_steps=100),
    "constant": WarmupConstant(0.1, warmup_steps=7),
}


def rates(schedule: Any, steps: Any, *, compiled: bool = False) -> np.ndarray:
    """The rates at many steps, each computed alone, as in training."""
    steps = tf.constant(steps, tf.int64)

    @tf.function(jit_compile=compiled)
    def compute() -> tf.Tensor:
        return tf.map_fn(schedule, steps, fn_output_signature=tf.float32)

    return compute().numpy()


def steps_to_look_at(warmup: int) -> np.ndarray:
    """All that is special, and a few hundred at random."""
    edges = [0, 1, 2, warmup - 1, warmup, warmup + 1, TOTAL // 2, TOTAL - 3, TOTAL - 2, TOTAL - 1]
    near_the_end = TOTAL - np.random.default_rng(0).integers(1, 5000, 200)
    anywhere = np.random.default_rng(1).integers(0, TOTAL, 300)
    return np.unique(np.clip(np.concatenate([edges, near_the_end, anywhere]), 0, None))


def cosine(base: float, total: int, warmup: int, steps: np.ndarray) -> np.ndarray:
    """The formula; long double still has digits where 1 + cos almost cancels."""
    done = (steps - warmup).astype(np.longdouble) / (total - warmup)
    falling = base * (1 + np.cos(np.longdouble("3.14159265358979323846264338327950288") * done)) / 2
    return np.where(steps < warmup, base * steps / max(warmup, 1), falling).astype(float)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("warmup", [0, 5 * EPOCH])
def test_the_cosine_is_right_to_rounding_at_every_step(warmup: int, compiled: bool) -> None:
    steps = steps_to_look_at(warmup)
    actual = rates(WarmupCosine(0.002, TOTAL, warmup_steps=warmup), steps, compiled=compiled)
    assert actual.dtype == np.float32
    expected = cosine(0.002, TOTAL, warmup, steps)
    # Five roundings on the way into the sine and two of its own, doubled by the square, and three after it. At the last
    # step long double, too, has but a few digits left of 1 + cos, 1e-19 / 4e-13.
    assert np.all(np.abs(actual - expected) <= (17 * ROUNDING + 1e-6 * (steps > TOTAL - 10)) * expected)
    assert np.all(actual[1:] > 0)


def test_the_cosine_begins_and_ends_exactly() -> None:
    schedule = WarmupCosine(0.002, TOTAL, warmup_steps=10)
    ends = rates(schedule, [0, 10, TOTAL, TOTAL + 1, TOTAL + 12345, 2**40])
    np.testing.assert_array_equal(ends, np.float32([0, 0.002, 0, 0, 0, 0]))
    assert rates(WarmupCosine(0.002, TOTAL), [0]) == np.float32(0.002)


def test_the_cosine_only_falls() -> None:
    steps = steps_to_look_at(0)
    falling = rates(WarmupCosine(0.002, TOTAL), steps)
    # At its top it changes by less than a rounding from step to step.
    assert np.all(np.diff(falling) <= 4 * ROUNDING * falling[:-1])
    assert np.all(falling >= 0)


def test_more_steps_than_float32_can_count() -> None:
    total = 2**25 + 10
    left = np.array([1, 2, 3])
    actual = rates(WarmupCosine(1.0, total), total - left)
    np.testing.assert_allclose(actual, np.sin(np.pi / 2 * left / total) ** 2, rtol=17 * ROUNDING)


def test_keras_has_the_same_cosine_but_for_its_rounding() -> None:
    warmup = 5 * EPOCH
    keras = tf.keras.optimizers.schedules.CosineDecay(0.0, TOTAL - warmup, warmup_target=0.002, warmup_steps=warmup)
    steps = steps_to_look_at(warmup)
    np.testing.assert_allclose(SCHEDULES["cosine"](TOTAL), keras(TOTAL))
    np.testing.assert_allclose(rates(SCHEDULES["cosine"], steps), rates(keras, steps), atol=4 * ROUNDING * 0.002)


# The rate that the authors' training of MeliusNet22 logged after an epoch, with six decimals.
@pytest.mark.parametrize(
    ("epoch", "logged"),
    [
        (1, 0.002000),
        (2, 0.001999),
        (10, 0.001966),
        (35, 0.001609),
        (60, 0.001000),
        (90, 0.000293),
        (110, 0.000034),
        (118, 0.000001),
        (119, 0.000000),
        (120, 0.000000),
    ],
)
def test_the_authors_rates(epoch: int, logged: float) -> None:
    assert round(float(WarmupCosine(0.002, TOTAL)(epoch * EPOCH)), 6) == logged


def test_steps_of_supplementary_b() -> None:
    schedule = WarmupSteps(0.001, [35 * EPOCH, 37 * EPOCH], 0.1)
    steps = [0, 35 * EPOCH - 1, 35 * EPOCH, 37 * EPOCH - 1, 37 * EPOCH, 40 * EPOCH]
    np.testing.assert_allclose(rates(schedule, steps), [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rtol=ROUNDING)


@pytest.mark.parametrize("compiled", [False, True])
def test_steps_after_a_warmup(compiled: bool) -> None:
    schedule = WarmupSteps(0.8, [4, 6, 9], 0.5, warmup_steps=4)
    expected = [0, 0.2, 0.4, 0.6, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1]
    np.testing.assert_allclose(rates(schedule, range(10), compiled=compiled), expected, rtol=4 * ROUNDING)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_constant_after_a_warmup(compiled: bool) -> None:
    schedule = WarmupConstant(0.1, warmup_steps=4)
    actual = rates(schedule, [0, 1, 2, 3, 4, 5, 10**7], compiled=compiled)
    np.testing.assert_allclose(actual, [0, 0.025, 0.05, 0.075, 0.1, 0.1, 0.1], rtol=4 * ROUNDING)
    assert WarmupConstant(0.1)(0) == np.float32(0.1)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("step", [3, np.int64(3), tf.constant(3), tf.Variable(3, dtype=tf.int64)])
def test_any_whole_number_is_a_step(name: str, step: Any) -> None:
    rate = SCHEDULES[name](step)
    assert rate.shape == ()
    assert rate.dtype == tf.float32
    # A graph may multiply by the reciprocal where the formula divides.
    np.testing.assert_allclose(rate, rates(SCHEDULES[name], [3])[0], rtol=4 * ROUNDING)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("legacy", [False, True])
def test_schedules_come_back_from_their_config(name: str, legacy: bool) -> None:
    schedule = SCHEDULES[name]
    serialized = tf.keras.optimizers.schedules.serialize(schedule, use_legacy_format=legacy)
    copy = tf.keras.optimizers.schedules.deserialize(json.loads(json.dumps(serialized)), use_legacy_format=legacy)
    assert type(copy) is type(schedule)
    assert copy.get_config() == schedule.get_config()
    steps = [0, 50, 101, 35 * EPOCH, TOTAL - 1]
    np.testing.assert_array_equal(rates(copy, steps), rates(schedule, steps))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WarmupConstant(-0.1), "base_rate must be a number that is not negative, got -0.1."),
        (lambda: WarmupCosine(float("nan"), 10), "base_rate must be a number that is not negative, got nan."),
        (lambda: WarmupConstant(0.1, warmup_steps=-1), "warmup_steps must not be negative, got -1."),
        (lambda: WarmupCosine(0.1, 5, warmup_steps=5), "total_steps must be more than the 5 of the warm-up, got 5."),
        (lambda: WarmupSteps(0.1, []), r"boundaries must be steps in ascending order, got \[\]."),
        (lambda: WarmupSteps(0.1, [5, 3]), r"boundaries must be steps in ascending order, got \[5, 3\]."),
        (lambda: WarmupSteps(0.1, [3, 3]), r"boundaries must be steps in ascending order, got \[3, 3\]."),
        (
            lambda: WarmupSteps(0.1, [3], warmup_steps=4),
            r"boundaries must not lie in the 4 steps of warm-up, got \[3\].",
        ),
        (lambda: WarmupSteps(0.1, [3], 0.0), "factor must be above 0, got 0.0."),
    ],
)
def test_wrong_values_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()
