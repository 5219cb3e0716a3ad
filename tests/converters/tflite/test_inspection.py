"""What `inspect` says of a file agrees with Keras, with the interpreter and with what was put in."""

import json
import random
import sys

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from command_line import run
from lce_models import small_network

import larq_melius as lm
from larq_melius.converters import inspect_tflite
from larq_melius.converters.export.convert import convert
from larq_melius.converters.quantization.weight_only import quantize_weights
from larq_melius.converters.tflite.metadata import TFLiteMetadata, add_metadata
from larq_melius.preprocessing import Preprocessing

METADATA = TFLiteMetadata("net", "Reads digits.", (8, 8, 1), Preprocessing((1.0,), (2.0,)), tuple("0123456789"), "MIT")


@pytest.fixture
def written(tmp_path):
    def write(data):
        (tmp_path / "network.tflite").write_bytes(data)
        return tmp_path / "network.tflite"

    return write


@pytest.fixture(scope="module")
def mixed():
    """A network of all kinds of layers that are counted, two of them binary in vain."""
    binary = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "use_bias": False}
    image = tf.keras.Input((10, 10, 4))
    x = tf.keras.layers.Conv2D(64, 3, groups=2)(image)
    x = tf.keras.layers.DepthwiseConv2D(3, strides=2, padding="same")(x)
    x = lq.layers.QuantConv2D(32, 3, padding="same", pad_values=1.0, **binary)(x)
    x = lq.layers.QuantConv2D(48, (3, 2), padding="same", pad_values=-1.0, name="missed", **binary)(x)
    x = lq.layers.QuantConv2D(32, 3, padding="same", name="zeros", **binary)(x)
    x = tf.keras.layers.BatchNormalization()(x)
    x = lq.layers.QuantDepthwiseConv2D(3, depthwise_quantizer="ste_sign", name="depthwise")(x)
    x = tf.keras.layers.Flatten()(x)
    x = tf.keras.layers.Dense(5)(x)
    model = tf.keras.Model(image, x)
    return model, convert(model)


def test_operations_are_those_of_the_keras_model(mixed, written, digits_flatbuffer):
    for model, data in (mixed, (lm.MeliusNetTiny(weights="digits"), digits_flatbuffer)):
        found, counted = inspect_tflite(written(data)), lm.count_operations(model)
        missed = 4 * 4 * 48 * 32 * 6 if model is mixed[0] else 0  # has become a convolution of 32 bits
        assert found.binary_macs == counted.binary_macs - missed
        assert found.float_macs == counted.float_macs + missed


def test_operators_and_shapes_are_those_of_the_interpreter(mixed, written):
    found = inspect_tflite(written(mixed[1]))
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=mixed[1], experimental_op_resolver_type=plain)
    assert [operator.name for operator in found.operators] == [
        operator["op_name"] for operator in interpreter._get_ops_details()
    ]
    assert found.tensors == len(interpreter.get_tensor_details())
    assert [(tensor.shape, tensor.dtype) for tensor in found.inputs + found.outputs] == [
        (tuple(detail["shape"]), np.dtype(detail["dtype"]).name)
        for detail in (*interpreter.get_input_details(), *interpreter.get_output_details())
    ]


def test_what_silently_costs_is_told(mixed, written):
    warnings = inspect_tflite(written(mixed[1])).warnings
    assert len(warnings) == 3
    (missed,) = [text for text in warnings if text.startswith("CONV_2D")]
    assert "/missed/" in missed
    assert "works on 32 bits" in missed
    assert "padded by an operator of its own, with a value that no LceBconv2d pads with" in missed
    (depthwise,) = [text for text in warnings if text.startswith("DEPTHWISE_CONV_2D")]
    assert "no binary depthwise convolution" in depthwise
    (zeros,) = [text for text in warnings if text.startswith("LceBconv2d")]
    assert "pads with zeros" in zeros


def test_weights_by_what_they_are_stored_as(written, digits_flatbuffer):
    binary, transition, rest = 663552, 96 * 192, 10 * 224
    stem = 64 * 9

    def kernels(data):
        return {
            (item.precision, item.count, item.bytes)
            for item in inspect_tflite(written(data)).weights
            if item.use == "kernel"
        }

    bits = ("1 bit", binary, binary // 8)
    assert kernels(digits_flatbuffer) == {
        bits,
        ("float32", stem + transition + rest, 4 * (stem + transition + rest)),
    }
    assert kernels(quantize_weights(digits_flatbuffer, "weights")) == {
        bits,
        ("float32", stem, 4 * stem),
        ("int8", transition + rest, transition + rest),
    }


def test_the_delegate_says_what_it_would_run(written, delegate_library, digits_flatbuffer, monkeypatch):
    monkeypatch.setenv("LARQ_MELIUS_DELEGATE", str(delegate_library))
    assert [operator.delegated for operator in inspect_tflite(written(small_network()[0])).operators] == [True] * 4
    operators = inspect_tflite(written(digits_flatbuffer)).operators
    assert all(operator.delegated for operator in operators if operator.name.startswith("Lce"))
    # All but the end of the network.
    left = [operator.name for operator in operators if not operator.delegated]
    assert left == ["MEAN", "FULLY_CONNECTED", "SOFTMAX"]


def test_command_line(written, digits_flatbuffer):
    path = written(add_metadata(digits_flatbuffer, METADATA))
    facts = json.loads(run("inspect", path, "--json").stdout)
    assert facts["bytes"] == path.stat().st_size
    assert facts["operator_counts"]["LceBconv2d"] == 8
    assert facts["metadata"]["labels"] == list("0123456789")
    assert {"TFLITE_METADATA", "LARQ_MELIUS"} <= set(facts["metadata_blocks"])
    assert facts["inputs"] == [{"name": "image", "shape": [1, 8, 8, 1], "dtype": "float32"}]
    text = run("inspect", path, "--operators").stdout
    assert "24,772,608" in text
    assert "Reads digits." in text
    assert text.count("LceBconv2d") == 9


def test_damaged_files_give_one_line_and_exit_code_2(written, monkeypatch):
    monkeypatch.setenv("LARQ_MELIUS_DELEGATE", "")
    data = small_network()[0]
    rng = random.Random(0)
    messages = []
    for number in range(250):
        damaged = bytearray(data[: rng.randrange(len(data))] if number % 3 == 0 else data)
        for _ in range(0 if number % 3 == 0 else rng.choice([1, 3, 10])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path = written(bytes(damaged))
        try:
            inspect_tflite(path)
        except ValueError as error:
            messages.append(str(error))
    assert 100 < len(messages) < 250
    assert all(message.startswith(f"{path}: ") and "\n" not in message for message in messages)
    for content in (b"", b"no flatbuffer at all", data[:1000]):
        result = run("inspect", written(content))
        assert result.returncode == 2
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1


@pytest.mark.process
def test_inspecting_needs_no_tensorflow(run_python, written):
    code = """
        import sys
        from larq_melius.converters import inspect_tflite
        inspect_tflite(sys.argv[1])
        print("tensorflow" in sys.modules)
    """
    assert run_python(code, str(written(small_network()[0]))).stdout == "False\n", sys.executable
