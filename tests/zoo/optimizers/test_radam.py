"""RAdam: PyTorch's numbers, and everything that a training asks of an optimizer of Keras."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from reference_data import DATA

from larq_melius import MeliusNet
from larq_melius.layers import UnitScale
from larq_melius.zoo.optimizers import RAdam, WarmupCosine

#: Written by tests/interop/radam_reference.py, which runs torch.optim.RAdam.
REFERENCE = json.loads((DATA / "radam.json").read_text("utf-8"))
#: Relative rounding of float32.
ROUNDING = 2.0**-24


@dataclass(frozen=True)
class Case:
    """Hyper-parameters, and the weights that PyTorch got with them, a row a step."""

    options: dict[str, Any]
    rates: list[float]
    weights: np.ndarray


def case(name: str) -> Case:
    recorded = REFERENCE["cases"][name]
    options = {key: recorded[key] for key in ("beta_1", "beta_2", "epsilon", "weight_decay")}
    return Case(options, recorded["rates"], np.array(recorded["weights"]))


START = np.array(REFERENCE["start"])
GRADIENTS = np.array(REFERENCE["gradients"])
AUTHORS = case("authors")


def weights_after_each_step(
    optimizer: RAdam, rates: Sequence[float], gradients: np.ndarray, *, compiled: bool = False
) -> np.ndarray:
    """Runs the optimizer in one graph, which is traced once."""
    variable = tf.Variable(START, dtype=tf.keras.backend.floatx())
    optimizer.build([variable])
    traces = []

    @tf.function(jit_compile=compiled)
    def step(gradient: tf.Tensor) -> None:
        traces.append(1)
        optimizer.apply_gradients([(gradient, variable)])

    rows = []
    for rate, gradient in zip(rates, gradients, strict=True):
        optimizer.learning_rate.assign(rate)
        step(tf.constant(gradient, variable.dtype))
        rows.append(variable.numpy())
    assert len(traces) == 1
    return np.array(rows)


def state(optimizer: tf.keras.optimizers.Optimizer) -> list[np.ndarray]:
    return [variable.numpy() for variable in optimizer.variables]


def assert_equal(actual: Sequence[Any], expected: Sequence[Any]) -> None:
    for left, right in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(left, right)


# Agreement with PyTorch


def test_the_defaults_are_the_authors() -> None:
    config = RAdam().get_config()
    assert {key: config[key] for key in ("beta_1", "beta_2", "epsilon")} == {
        key: AUTHORS.options[key] for key in ("beta_1", "beta_2", "epsilon")
    }
    assert config["learning_rate"] == np.float32(AUTHORS.rates[0])
    assert config["weight_decay"] is None


@pytest.mark.parametrize("name", REFERENCE["cases"])
@pytest.mark.usefixtures("float64")
def test_each_step_is_pytorchs(name: str) -> None:
    expected = case(name)
    actual = weights_after_each_step(RAdam(**expected.options), expected.rates, GRADIENTS)
    np.testing.assert_allclose(actual, expected.weights, rtol=1e-12)


@pytest.mark.parametrize("name", REFERENCE["cases"])
def test_each_step_is_pytorchs_to_rounding_in_float32(name: str) -> None:
    expected = case(name)
    actual = weights_after_each_step(RAdam(**expected.options), expected.rates, GRADIENTS)
    # Each step rounds the weight anew, and its movement is off by the roundings of the moments, which last for up to
    # 1 / (1 - 0.95) = 20 steps in the first and even out in the second, and of a dozen operations.
    moved = np.cumsum(np.abs(np.diff(expected.weights, axis=0, prepend=START[None])), axis=0)
    largest = np.maximum.accumulate(np.abs(expected.weights), axis=0)
    steps = np.arange(1, len(GRADIENTS) + 1)[:, None]
    tolerance = ROUNDING * (steps * largest + 32 * moved)
    assert np.all(np.abs(actual - expected.weights) <= tolerance)


def test_the_reference_goes_from_plain_to_rectified_steps() -> None:
    """A plain step follows the size of the gradient, a rectified one does not."""
    sizes = np.abs(np.diff(AUTHORS.weights[:, 4], prepend=0))
    assert sizes[:5].min() > 0.1
    assert sizes[5:].max() < 0.002


@pytest.mark.parametrize("compiled", ["update", "step"])
@pytest.mark.usefixtures("float64")
def test_xla_compiles_it(compiled: str) -> None:
    optimizer = RAdam(**AUTHORS.options)
    # Keras turns this off where there is no GPU.
    optimizer.jit_compile = compiled == "update"
    actual = weights_after_each_step(optimizer, AUTHORS.rates, GRADIENTS, compiled=compiled == "step")
    np.testing.assert_allclose(actual, AUTHORS.weights, rtol=1e-12)


# Gradients


@pytest.mark.parametrize("xla", [False, True])
def test_sparse_gradients_are_dense_ones_with_zeros(xla: bool) -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(5, 3)).astype("float32")
    dense, sparse = tf.Variable(start), tf.Variable(start)
    optimizers = RAdam(0.01), RAdam(0.01)
    for optimizer in optimizers:
        optimizer.build([dense if optimizer is optimizers[0] else sparse])
        optimizer.jit_compile = xla
    for _ in range(9):
        indices = tf.constant(rng.integers(0, 4, 3))  # some twice, and the last row never
        slices = tf.IndexedSlices(tf.constant(rng.normal(size=(3, 3)), tf.float32), indices, tf.constant([5, 3]))
        optimizers[0].apply_gradients([(tf.convert_to_tensor(slices), dense)])
        optimizers[1].apply_gradients([(slices, sparse)])
    np.testing.assert_allclose(sparse, dense, rtol=1e-6)
    assert np.any(dense[:4] != start[:4])
    np.testing.assert_array_equal(dense[4], start[4])


@pytest.mark.parametrize(
    ("option", "clip"),
    [
        ("clipnorm", lambda gradient: gradient / np.linalg.norm(gradient)),
        ("global_clipnorm", lambda gradient: gradient / np.linalg.norm(gradient)),
        ("clipvalue", lambda gradient: np.clip(gradient, -1, 1)),
    ],
)
@pytest.mark.usefixtures("float64")
def test_gradients_are_clipped(option: str, clip: Callable[[np.ndarray], np.ndarray]) -> None:
    gradients = GRADIENTS[:8]  # of norms above 1
    actual = weights_after_each_step(RAdam(**{option: 1.0}), AUTHORS.rates[:8], gradients)
    clipped = np.array([clip(gradient) for gradient in gradients])
    expected = weights_after_each_step(RAdam(), AUTHORS.rates[:8], clipped)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_a_schedule_gives_the_rate_of_each_step() -> None:
    schedule = WarmupCosine(0.01, 12, warmup_steps=3)
    scheduled, manual = tf.Variable(START, dtype=tf.float32), tf.Variable(START, dtype=tf.float32)
    optimizers = RAdam(schedule), RAdam()
    for step, gradient in enumerate(GRADIENTS[:14]):
        optimizers[1].learning_rate.assign(schedule(step))
        for optimizer, variable in zip(optimizers, (scheduled, manual), strict=True):
            optimizer.apply_gradients([(tf.constant(gradient, tf.float32), variable)])
        assert optimizers[0].learning_rate == schedule(step)
        np.testing.assert_array_equal(scheduled, manual)


# Constraints and moving averages


@pytest.mark.parametrize("xla", [False, True])
def test_constraints_hold_for_the_weights_and_their_average(xla: bool) -> None:
    clip = lq.constraints.WeightClip(1.3)
    kernel = tf.Variable([1.0, -1.0, 0.0], constraint=clip)
    scale = tf.Variable([1.0], constraint=UnitScale())
    optimizer = RAdam(0.5, use_ema=True, ema_momentum=0.5)
    optimizer.build([kernel, scale])
    optimizer.jit_compile = xla
    average = kernel.numpy()
    for _ in range(3):
        optimizer.apply_gradients([(tf.constant([-9.0, 9.0, -0.1]), kernel), (tf.constant([1.0]), scale)])
        np.testing.assert_allclose(kernel[:2], [1.3, -1.3])
        np.testing.assert_array_equal(scale, [1])
        average = (average + kernel.numpy()) / 2
    assert kernel[2] > 0
    optimizer.finalize_variable_values([kernel, scale])
    np.testing.assert_allclose(kernel, average, rtol=1e-6)
    np.testing.assert_array_equal(scale, [1])


def test_the_average_replaces_the_weights_as_often_as_told() -> None:
    gradient = tf.constant(GRADIENTS[0], tf.float32)
    variable, free = tf.Variable(START, dtype=tf.float32), tf.Variable(START, dtype=tf.float32)
    averaging = RAdam(use_ema=True, ema_momentum=0.75, ema_overwrite_frequency=2)
    plain = RAdam()
    rows = [free.numpy()]
    for _ in range(2):
        averaging.apply_gradients([(gradient, variable)])
        plain.apply_gradients([(gradient, free)])
        rows.append(free.numpy())
    np.testing.assert_allclose(variable, 0.75 * (0.75 * rows[0] + 0.25 * rows[1]) + 0.25 * rows[2], rtol=1e-5)


# Mixed precision


def test_a_skipped_step_leaves_no_trace() -> None:
    bad = {0: np.nan, 4: np.inf, 5: np.nan}
    skipping, smooth = tf.Variable(START, dtype=tf.float32), tf.Variable(START, dtype=tf.float32)
    scaled = tf.keras.mixed_precision.LossScaleOptimizer(RAdam(), initial_scale=8.0, dynamic_growth_steps=100)
    plain = RAdam()
    plain.build([smooth])
    scaled.build([skipping])

    @tf.function
    def step(gradient: tf.Tensor) -> None:
        unscaled = scaled.get_unscaled_gradients([gradient * scaled.loss_scale])
        scaled.apply_gradients([(unscaled[0], skipping)])

    for index, row in enumerate(GRADIENTS[:12]):
        gradient = tf.constant(row, tf.float32)
        before = [skipping.numpy(), *state(scaled)[1:]]
        if index in bad:
            step(gradient * bad[index])
            assert_equal([skipping.numpy(), *state(scaled)[1:]], before)
        else:
            step(gradient)
            plain.apply_gradients([(gradient, smooth)])
            assert_equal([skipping, *state(scaled)[1:]], [smooth, *state(plain)[1:]])
    assert scaled.loss_scale == 1  # halved three times
    # Schedules go on by the batch.
    assert (scaled.iterations, plain.iterations) == (12, 9)


# Saving


def network() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(0)
    return MeliusNet([1], [], input_shape=(32, 32, 3), classes=4, stem="thumbnail", weights=None)


def fit(model: tf.keras.Model, *, epochs: int = 1) -> None:
    """Trains on the same two batches, in the same order."""
    rng = np.random.default_rng(3)
    images, labels = rng.normal(size=(8, 32, 32, 3)).astype("float32"), rng.integers(0, 4, 8)
    model.fit(images, labels, batch_size=4, epochs=epochs, shuffle=False, verbose=0)


def compiled_network() -> tf.keras.Model:
    model = network()
    optimizer = RAdam(WarmupCosine(0.01, 20, warmup_steps=2), beta_1=0.9, weight_decay=0.01, clipvalue=0.5)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    fit(model, epochs=3)
    assert optimizer.iterations == 6
    return model


@pytest.mark.long
@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_saved_model_goes_on_as_if_it_had_not_been_saved(ending: str, tmp_path: Path) -> None:
    model = compiled_network()
    model.save(tmp_path / f"model{ending}")
    copy = tf.keras.models.load_model(tmp_path / f"model{ending}")
    assert isinstance(copy.optimizer, RAdam)
    assert copy.optimizer.get_config() == model.optimizer.get_config()
    assert_equal(state(copy.optimizer), state(model.optimizer))
    for each in (model, copy):
        fit(each)
    assert_equal(copy.get_weights(), model.get_weights())
    assert_equal(state(copy.optimizer), state(model.optimizer))


@pytest.mark.long
def test_a_saved_model_of_tensorflow_brings_the_optimizer_without_its_state(tmp_path: Path) -> None:
    """Keras restores no optimizer's state from a SavedModel."""
    model = compiled_network()
    model.save(tmp_path / "model")
    copy = tf.keras.models.load_model(tmp_path / "model")
    assert isinstance(copy.optimizer, RAdam)
    assert copy.optimizer.get_config() == model.optimizer.get_config()
    assert_equal(copy.get_weights(), model.get_weights())
    fit(copy)
    assert copy.optimizer.iterations == 2


@pytest.mark.parametrize("built", [True, False])
def test_a_checkpoint_goes_on_bit_by_bit(built: bool, tmp_path: Path) -> None:
    options = {"learning_rate": WarmupCosine(0.01, 40), "use_ema": True}
    variable = tf.Variable(START, dtype=tf.float32)
    optimizer = RAdam(**options)
    gradients = [tf.constant(row, tf.float32) for row in GRADIENTS[:10]]
    for gradient in gradients[:5]:  # the next step is the first rectified one
        optimizer.apply_gradients([(gradient, variable)])
    path = tf.train.Checkpoint(variable=variable, optimizer=optimizer).write(str(tmp_path / "checkpoint"))

    restored, other = tf.Variable(tf.zeros_like(variable)), RAdam(**options)
    if built:
        other.build([restored])
    status = tf.train.Checkpoint(variable=restored, optimizer=other).read(path)
    for gradient in gradients[5:]:
        optimizer.apply_gradients([(gradient, variable)])
        other.apply_gradients([(gradient, restored)])
        np.testing.assert_array_equal(restored, variable)
    status.assert_existing_objects_matched().assert_consumed()
    assert_equal(state(other), state(optimizer))


def test_it_comes_back_from_its_config() -> None:
    given = {
        "learning_rate": 0.5,
        "beta_1": 0.8,
        "beta_2": 0.9,
        "epsilon": 1e-3,
        "weight_decay": 0.1,
        "clipnorm": 2.0,
        "use_ema": True,
        "ema_momentum": 0.9,
        "ema_overwrite_frequency": 7,
        "name": "other",
    }
    serialized = tf.keras.optimizers.serialize(RAdam(**given))
    assert serialized["registered_name"] == "larq_melius>RAdam"
    copy = tf.keras.optimizers.deserialize(json.loads(json.dumps(serialized, default=float)))
    assert type(copy) is RAdam
    assert {key: copy.get_config()[key] for key in given} == given


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta_1": 1.0}, "beta_1 must be at least 0 and below 1, got 1.0."),
        ({"beta_2": -0.1}, "beta_2 must be at least 0 and below 1, got -0.1."),
        ({"beta_2": float("nan")}, "beta_2 must be at least 0 and below 1, got nan."),
        ({"epsilon": 0.0}, "epsilon must be above 0, got 0.0."),
    ],
)
def test_wrong_values_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        RAdam(**options)


# Several devices


@pytest.mark.process
def test_two_devices_equal_one(run_python: Callable[..., CompletedProcess[str]]) -> None:
    """In a process of its own: the number of devices is fixed once TensorFlow has run."""
    finished = run_python(
        """
        import larq_melius
        import larq
        import numpy as np
        import tensorflow as tf
        from larq_melius.zoo.optimizers import RAdam, WarmupCosine

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        rng = np.random.default_rng(0)
        images, labels = rng.normal(size=(32, 6)).astype("float32"), rng.integers(0, 3, 32)

        def train(strategy, *, xla, half):
            tf.keras.utils.set_random_seed(0)
            tf.keras.mixed_precision.set_global_policy("mixed_float16" if half else "float32")
            with strategy.scope():
                layers = tf.keras.layers
                clipped = {
                    "kernel_initializer": tf.keras.initializers.RandomUniform(-0.1, 0.1),
                    "kernel_constraint": larq.constraints.WeightClip(0.1),
                }
                model = tf.keras.Sequential(
                    [layers.Dense(4, "relu", input_shape=(6,), **clipped), layers.Dense(3, dtype="float32")]
                )
                schedule = WarmupCosine(0.05, 60, warmup_steps=4)
                optimizer = RAdam(schedule, weight_decay=0.1, global_clipnorm=0.5, use_ema=True, ema_momentum=0.8)
                optimizer.jit_compile = xla
                if half:
                    # It overflows at first: all devices must skip the same steps.
                    optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=2.0**30)
                loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
                model.compile(optimizer, loss)
            model.fit(images, labels, batch_size=8, epochs=5, shuffle=False, verbose=0)
            assert {variable.dtype.name for variable in optimizer.variables} == {"int64", "float32"}
            state = [np.asarray(variable) for variable in optimizer.variables]
            return model.get_weights(), state

        for options in ({"xla": False, "half": False}, {"xla": True, "half": False}, {"xla": False, "half": True}):
            results = []
            for devices in (1, 2):
                strategy = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(devices)])
                results.append(train(strategy, **options))
            (one, one_state), (two, two_state) = results
            for left, right in zip(one + one_state, two + two_state, strict=True):
                # Each device rounds its own gradients.
                np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-3 if options["half"] else 1e-6)
            print(*one_state[:2], np.abs(one[0]).max())
        """
    )
    assert finished.returncode == 0, finished.stderr
    results = [line.split() for line in finished.stdout.splitlines()]
    for iterations, updates, largest in results:
        assert iterations == "20"
        assert 0.09 < float(largest) < 0.10001
        assert 5 < int(updates) <= 20
    assert [updates == "20" for _, updates, _ in results] == [True, True, False]
