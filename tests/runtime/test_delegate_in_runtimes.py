"""The delegate in stock runtimes: which load it, what they report, and that nothing leaks or interferes."""

import gc
import resource
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, load_delegate
from lce_models import pack_bits, signs, small_network


def predict(interpreter, x):
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("runtime", ["ai_edge_litert", "tf.lite"])
def test_stock_runtimes_run_a_network(runtime, delegate_library):
    model, compute = small_network()
    make, load = {
        "ai_edge_litert": (Interpreter, load_delegate),
        "tf.lite": (tf.lite.Interpreter, tf.lite.experimental.load_delegate),
    }[runtime]
    interpreter = make(model_content=model, experimental_delegates=[load(str(delegate_library))], num_threads=2)
    for batch in (1, 3):
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], (batch, 6, 6, 20))
        interpreter.allocate_tensors()
        x = np.random.default_rng(batch).normal(size=(batch, 6, 6, 20)).astype("f4")
        np.testing.assert_array_equal(predict(interpreter, x), compute(x))


def test_inputs_of_another_size(run_delegate):
    model, compute = small_network()
    x = np.random.default_rng(1).normal(size=(2, 10, 8, 20)).astype("f4")
    np.testing.assert_array_equal(run_delegate(model, x, resize=True)[0], compute(x))


def test_input_with_other_channels_is_an_error(delegate_library):
    model, _ = small_network()
    interpreter = Interpreter(model_content=model, experimental_delegates=[load_delegate(str(delegate_library))])
    interpreter.resize_tensor_input(0, (1, 6, 6, 40))
    with pytest.raises(RuntimeError, match="larq-melius: LceBconv2d: the input has 2 words for 20 channels"):
        interpreter.allocate_tensors()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"isa": "mmx"}, "unknown; there are"),
        ({"threads": "2"}, "unknown; there are isa"),
        ({"num_threads": "two"}, "must be a number"),
    ],
)
def test_unknown_options_are_errors(options, message, delegate_library):
    with pytest.raises(ValueError, match=message):
        load_delegate(str(delegate_library), options)


def test_environment_chooses_the_instruction_set(delegate_library, monkeypatch, capfd):
    monkeypatch.setenv("LARQ_MELIUS_DELEGATE_ISA", "portable")
    monkeypatch.setenv("LARQ_MELIUS_DELEGATE_DUMP", "1")
    delegate = load_delegate(str(delegate_library))
    monkeypatch.setenv("LARQ_MELIUS_DELEGATE_ISA", "mmx")
    with pytest.raises(ValueError, match="mmx"):
        load_delegate(str(delegate_library))
    Interpreter(model_content=small_network()[0], experimental_delegates=[delegate]).allocate_tensors()
    plan = capfd.readouterr().err
    assert [plan.count(f"= {name}(") for name in ("pack", "binary_conv", "binary_max_pool", "unpack")] == [1, 1, 1, 1]
    assert "portable" in plan


def test_interpreters_in_several_threads(delegate_library):
    def work(seed):
        model, compute = small_network(seed=seed)
        interpreter = Interpreter(
            model_content=model, experimental_delegates=[load_delegate(str(delegate_library))], num_threads=2
        )
        interpreter.allocate_tensors()
        rng = np.random.default_rng(seed)
        for _ in range(20):
            x = rng.normal(size=(1, 6, 6, 20)).astype("f4")
            np.testing.assert_array_equal(predict(interpreter, x), compute(x))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))


def test_interpreters_leave_no_memory_behind(delegate_library):
    model, _ = small_network(size=32)
    x = np.zeros((1, 32, 32, 20), "f4")

    def make_and_drop(count):
        for _ in range(count):
            delegate = load_delegate(str(delegate_library))
            interpreter = Interpreter(model_content=model, experimental_delegates=[delegate], num_threads=2)
            interpreter.allocate_tensors()
            predict(interpreter, x)
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = make_and_drop(100)
    # Each holds some 300 KiB; a leak of one in a hundred would show.
    assert make_and_drop(1000) - before < 4 * 1024


def test_signs_of_the_helper():
    np.testing.assert_array_equal(signs(pack_bits(np.asarray([[True, False, True]])), 3), [[-1, 1, -1]])
