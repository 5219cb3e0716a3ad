"""The Python face of the runtime: which runtime runs a network, what it needs, and what it says when it cannot."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf
from lce_models import ModelBuilder, small_network

from larq_melius import runtime
from larq_melius.runtime import library as library_module

SHAPE = (6, 6, 20)


@pytest.fixture(autouse=True)
def installed(delegate_library, monkeypatch):
    """An installation with the delegate, which has warned of nothing yet."""
    monkeypatch.delenv("LARQ_MELIUS_DELEGATE", raising=False)
    monkeypatch.setattr(library_module, "packaged_library", lambda: delegate_library)
    monkeypatch.setattr("larq_melius.runtime.interpreter._warned", False)


@pytest.fixture
def without_library(monkeypatch, tmp_path):
    monkeypatch.setattr(library_module, "packaged_library", lambda: tmp_path / "none.so")


def samples(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype("f4")


@pytest.mark.parametrize("of", ["path", "bytes"])
@pytest.mark.parametrize("name", ["auto", "delegate", "lce"])
def test_predicts_a_batch(name, of, tmp_path):
    model, compute = small_network()
    file = tmp_path / "network.tflite"
    file.write_bytes(model)
    interpreter = runtime.Interpreter(file if of == "path" else model, num_threads=2, runtime=name)
    np.testing.assert_array_equal(interpreter.predict(samples(3)), compute(samples(3)))
    assert interpreter.predict(samples(0)).shape == (0, 3, 3, 40)
    assert interpreter.runtime == ("lce" if name == "lce" else "delegate")
    assert interpreter.claimed_operators == (0 if name == "lce" else 4)
    ((taken,), (given,)) = (interpreter.inputs, interpreter.outputs)
    assert (taken.shape, taken.dtype, given.shape, given.dtype) == ((1, 6, 6, 20), "float32", (1, 3, 3, 40), "float32")


def two_inputs():
    builder = ModelBuilder()
    inputs = [builder.tensor([4, 3]), builder.tensor([4, 3])]
    outputs = [builder.tensor([4, 3]), builder.tensor([4, 6])]
    builder.builtin("ADD", inputs, outputs[:1])
    builder.builtin("CONCATENATION", inputs, outputs[1:], axis=-1)
    return builder.finish(inputs, outputs)


def test_several_inputs_and_outputs_and_another_batch_size_in_the_file():
    interpreter = runtime.Interpreter(two_inputs())
    a, b = np.arange(12, dtype="f4").reshape(2, 2, 3)
    total, joined = interpreter.predict([a, b])
    np.testing.assert_array_equal(total, a + b)
    np.testing.assert_array_equal(joined, np.concatenate([a, b], axis=1))
    assert interpreter.claimed_operators == 0
    with pytest.raises(ValueError, match="2 inputs, but was given 1"):
        interpreter.predict(a)
    with pytest.raises(ValueError, match="2, 1 samples"):
        interpreter.predict([a, b[:1]])


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (samples(2)[..., :3], r"takes the shape \(samples, 6, 6, 20\), not \(2, 6, 6, 3\)"),
        (samples(2)[0], "takes the shape"),
        (np.float32(1), "takes the shape"),
        (np.zeros((1, *SHAPE), "u1"), "takes float32, not uint8"),
    ],
)
def test_inputs_that_do_not_fit_are_errors(batch, message):
    with pytest.raises(ValueError, match=message):
        runtime.Interpreter(small_network()[0]).predict(batch)


def test_other_floats_are_converted():
    model, compute = small_network()
    x = samples(1)
    np.testing.assert_array_equal(runtime.Interpreter(model).predict(x.astype("f8")), compute(x))


def test_the_processor_may_be_asked_for_another_instruction_set():
    model, compute = small_network()
    np.testing.assert_array_equal(
        runtime.Interpreter(model, isa="portable", dump=False).predict(samples(1)), compute(samples(1))
    )
    with pytest.raises(ValueError, match="mmx"):
        runtime.Interpreter(model, isa="mmx")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": b"x"}, ValueError, "The flatbuffer is not a TFLite flatbuffer"),
        ({"model": b"1234TFL3" + bytes(64)}, ValueError, "The flatbuffer cannot be run: .+"),
        ({"model": "none.tflite"}, FileNotFoundError, "none.tflite"),
        ({"num_threads": 0}, ValueError, "whole number from 1, not 0"),
        ({"runtime": "gpu"}, ValueError, "one of auto, delegate, lce, not 'gpu'"),
    ],
)
def test_what_cannot_be_opened_is_an_error(arguments, error, message):
    with pytest.raises(error, match=message):
        runtime.Interpreter(**{"model": small_network()[0], **arguments})


def test_an_operator_that_the_delegate_leaves_is_an_error():
    builder = ModelBuilder()
    x, y = builder.tensor([1, 4]), builder.tensor([1, 4])
    builder.custom("LceInvented", [x], [y])
    with pytest.raises(ValueError, match="LceInvented"):
        runtime.Interpreter(builder.finish([x], [y]))


def test_a_delegate_that_claims_nothing_is_an_error(monkeypatch):
    monkeypatch.setattr("larq_melius.runtime.interpreter.load_delegate", lambda: _ClaimsNothing())
    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", _without_delegates)
    with pytest.raises(ValueError, match=r"unresolved custom op: Lce"):
        runtime.Interpreter(small_network()[0])


class _ClaimsNothing:
    pass


def _without_delegates(**arguments):
    from ai_edge_litert import interpreter

    return interpreter.InterpreterWithCustomOps(**{**arguments, "experimental_delegates": []})


def test_without_the_library_lce_runs_it_and_one_warning_says_so(without_library):
    model, compute = small_network()
    with pytest.warns(UserWarning, match="no delegate.+LARQ_MELIUS_DELEGATE.+Larq Compute Engine's interpreter"):
        interpreter = runtime.Interpreter(model)
    assert interpreter.runtime == "lce"
    np.testing.assert_array_equal(interpreter.predict(samples(2)), compute(samples(2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert runtime.Interpreter(model).runtime == "lce"
    for ask in (lambda: runtime.Interpreter(model, runtime="delegate"), runtime.delegate):
        with pytest.raises(FileNotFoundError, match="no delegate"):
            ask()


def test_a_library_for_another_machine_is_reported(monkeypatch, tmp_path):
    file = tmp_path / "other.so"
    file.write_bytes(b"\x7fELF but not for here")
    monkeypatch.setattr(library_module, "packaged_library", lambda: file)
    with pytest.warns(UserWarning, match="other.so"):
        assert runtime.Interpreter(small_network()[0]).runtime == "lce"


def test_environment_names_the_library(delegate_library, without_library, monkeypatch, tmp_path):
    monkeypatch.setenv("LARQ_MELIUS_DELEGATE", str(delegate_library))
    assert runtime.find_library() == delegate_library
    assert runtime.Interpreter(small_network()[0]).runtime == "delegate"
    monkeypatch.setenv("LARQ_MELIUS_DELEGATE", str(tmp_path / "none.so"))
    with pytest.raises(FileNotFoundError, match=r"LARQ_MELIUS_DELEGATE is .+none.so"):
        runtime.Interpreter(small_network()[0])
    (tmp_path / "none.so").write_bytes(b"no library")
    with pytest.raises(OSError, match=r"none.so"):
        runtime.Interpreter(small_network()[0])


def test_delegate_for_programs_of_their_own():
    model, compute = small_network()
    interpreter = tf.lite.Interpreter(model_content=model, experimental_delegates=[runtime.delegate(num_threads=2)])
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], samples(1))
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_array_equal(y, compute(samples(1)))


def test_needs_no_tensorflow(delegate_library, tmp_path):
    (tmp_path / "network.tflite").write_bytes(small_network()[0])
    np.save(tmp_path / "batch.npy", samples(2))
    program = """
import sys
class Hide:  # what a small computer does not have
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(name)
hidden = {"tensorflow", "tf_keras", "keras", "larq", "larq_compute_engine", "h5py", "PIL", "click", "requests", "pooch",
          "filelock", "platformdirs", "tabulate", "sklearn", "matplotlib"}
sys.meta_path.insert(0, Hide())
import numpy as np
from larq_melius import runtime
interpreter = runtime.Interpreter("network.tflite")
np.save("result.npy", interpreter.predict(np.load("batch.npy")))
print(interpreter.runtime)
"""
    environment = {**os.environ, "LARQ_MELIUS_DELEGATE": str(delegate_library)}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "delegate\n"
    np.testing.assert_array_equal(np.load(tmp_path / "result.npy"), small_network()[1](samples(2)))
