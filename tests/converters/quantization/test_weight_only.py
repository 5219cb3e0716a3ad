"""Weights in fewer bits: the file is small, computes what the float network does, and reads digits as well."""

import builtins

import numpy as np
import pytest

import larq_melius as lm
from larq_melius.converters import VerificationError, export_tflite
from larq_melius.converters.export import exporter
from larq_melius.converters.quantization.weight_only import quantize_weights
from larq_melius.converters.tflite import flatbuffer as fb
from larq_melius.imagenet import imagenet_names
from larq_melius.preprocessing import Preprocessing
from larq_melius.runtime import Interpreter, make_interpreter
from larq_melius.zoo.data.digits import digits_preprocessing, load_digits_split

#: The classifier and the transition; the stem stays in 32 bits.
LAYERS = {"FULLY_CONNECTED": (10, 224), "CONV_2D": (96, 1, 1, 192)}


def kernels(data):
    """The float kernels of a file's layers as NumPy understands them, with what they are stored in."""
    model = fb.parse(data)
    graph = model.subgraphs[0]
    sources = {operator.outputs[0]: operator for operator in graph.operators}
    found = {}
    for operator in graph.operators:
        if fb.operator_name(model, operator) in LAYERS:
            tensor = graph.tensors[operator.inputs[1]]
            if operator.inputs[1] in sources:
                tensor = graph.tensors[sources[operator.inputs[1]].inputs[0]]
            stored = np.frombuffer(
                bytes(bytearray(model.buffers[tensor.buffer].data)), {0: "<f4", 1: "<f2", 9: "i1"}[tensor.type]
            ).reshape(tensor.shape)
            scale = tensor.quantization.scale if stored.dtype == np.int8 else np.ones(1)
            assert len(scale) in (1, len(stored))
            found[tuple(tensor.shape)] = stored * np.reshape(scale, (-1, *[1] * (stored.ndim - 1))), stored.dtype
    return found


@pytest.mark.parametrize(("kind", "dtype", "step"), [("weights", "int8", 1 / 127), ("float16", "float16", 2**-11)])
def test_every_weight_is_stored_in_fewer_bits_except_the_stem(kind, dtype, step, digits_flatbuffer):
    exact = kernels(digits_flatbuffer)
    quantized = kernels(quantize_weights(digits_flatbuffer, kind))
    assert exact.keys() == quantized.keys()
    for shape in LAYERS.values():
        weights, stored = quantized[shape]
        assert stored == dtype
        largest = np.abs(exact[shape][0]).reshape(shape[0], -1).max(axis=1)
        error = np.abs(weights - exact[shape][0]).reshape(shape[0], -1).max(axis=1) / largest
        assert 0 < error.max() <= step
        if kind == "weights":
            sums = (weights - exact[shape][0]).reshape(shape[0], -1).sum(axis=1) / largest
            assert np.abs(sums).max() <= step * 0.501
    np.testing.assert_array_equal(quantized[(64, 3, 3, 1)][0], exact[(64, 3, 3, 1)][0])


@pytest.mark.parametrize("kind", ["weights", "float16"])
def test_digits_are_read_as_well_by_both_runtimes(kind, digits_flatbuffer, delegate_library, monkeypatch):
    monkeypatch.setenv("LARQ_MELIUS_DELEGATE", str(delegate_library))
    parts = load_digits_split()
    images = digits_preprocessing(parts.train).normalize(parts.test.images)

    def errors(data, runtime):
        interpreter = Interpreter(data, runtime=runtime)
        return int((interpreter.predict(images).argmax(axis=1) != parts.test.labels).sum())

    quantized = quantize_weights(digits_flatbuffer, kind)
    allowed = errors(digits_flatbuffer, "lce") + 1
    assert errors(quantized, "lce") <= allowed
    assert errors(quantized, "delegate") <= allowed
    assert len(quantized) < len(digits_flatbuffer)


@pytest.mark.parametrize("broken", [False, True])
def test_export_holds_the_quantized_file_to_keras(broken, digits_flatbuffer, tmp_path, monkeypatch):
    def broken_quantization(data, kind):
        """A scale of each input channel folded into a kernel that has a scale for each output channel only."""
        model = fb.parse(data)
        graph = model.subgraphs[0]
        for operator in graph.operators:
            tensor = graph.tensors[operator.inputs[1]] if len(operator.inputs) == 3 else None
            if tensor is not None and tuple(tensor.shape) == (96, 1, 1, 192):
                fb.set_constant(model, tensor, fb.constant(model, tensor) * np.logspace(-1, 1, 192))
        return quantize_weights(fb.serialize(model), kind)

    monkeypatch.setattr(exporter, "convert", lambda model: digits_flatbuffer)
    target = tmp_path / "digits.tflite"
    arguments = {"preprocessing": Preprocessing((80.0,), (95.0,)), "labels": "0123456789", "quantize": "weights"}
    if broken:
        monkeypatch.setattr(exporter, "quantize_weights", broken_quantization)
        with pytest.raises(VerificationError, match="more than quantized weights explain"):
            export_tflite(lm.MeliusNetTiny(), target, **arguments)
        assert list(tmp_path.iterdir()) == []
        return
    report = export_tflite(lm.MeliusNetTiny(), target, **arguments)
    assert report.verification.quantization == "weights"
    assert report.operators["DEQUANTIZE"] == len(LAYERS)
    assert report.bytes < 0.72 * len(digits_flatbuffer)
    assert make_interpreter(target.read_bytes()).predict(np.zeros((1, 8, 8, 1), "float32")).shape == (1, 10)


def test_what_is_no_quantization_is_refused_before_any_work(tmp_path, monkeypatch):
    target = tmp_path / "model.tflite"
    for kind in ("int8", "experimental_default_int8_range"):
        with pytest.raises(ValueError, match="11% of digits"):
            export_tflite(tmp_path / "none.keras", target, quantize=kind)
    with pytest.raises(ValueError, match="must be one of weights, float16, not 'w4'"):
        export_tflite(tmp_path / "none.keras", target, quantize="w4")
    imports = builtins.__import__

    def without_quantizer(name, *arguments, **options):
        if name.startswith("ai_edge_quantizer"):
            raise ImportError(f"No module named {name!r}")
        return imports(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_quantizer)
    with pytest.raises(ImportError, match=r"pip install 'larq-melius\[export\]'"):
        export_tflite(tmp_path / "none.keras", target, quantize="weights")


@pytest.mark.slow
def test_meliusnet22_takes_less_than_half(randomize, tmp_path):
    model = lm.MeliusNet22(weights=None)
    randomize(model)
    report = export_tflite(model, tmp_path / "model.tflite", labels=imagenet_names(), quantize="weights")
    assert report.bytes <= 1.70 * 2**20
