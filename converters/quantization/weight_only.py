"""Stores the weights of an exported network's 32-bit layers in 8 or 16 bits; arithmetic stays in 32 bits.

Quantized weights become 32-bit ones again as the network runs (``DEQUANTIZE``), so no feature map has a range that
could be wrong: a scale for a map, as 8-bit arithmetic needs it, suits either the channels of a stem or those of binary
convolutions, whose sizes differ a hundredfold.
"""

import contextlib
import io
import re
from typing import Any

import numpy as np

from larq_melius.converters.tflite import flatbuffer as fb

#: What weights can be stored as: 8-bit integers with a scale for each output channel, or 16-bit floats.
QUANTIZATIONS = ("weights", "float16")

#: The operators whose weights are quantized, with the axis of the output channels.
_LAYERS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
_ALGORITHMS = {"weights": ("min_max_uniform_quantize", 8, "INT"), "float16": ("float_casting", 16, "FLOAT")}
_LARGEST_INT8 = 127


def check_quantization(kind: str) -> None:
    """Checks quickly that weights can be stored that way.

    Raises:
        ImportError: If ai-edge-quantizer is not installed.
        ValueError: If there is no such kind of quantization.
    """
    if kind not in QUANTIZATIONS:
        remark = (
            " 8-bit arithmetic (Larq Compute Engine's experimental_default_int8_range) gives every feature map one "
            "range, which left 11% of digits recognized of 99%: it is not offered."
            if kind.startswith("int8") or kind == "experimental_default_int8_range"
            else ""
        )
        raise ValueError(f"quantize must be one of {', '.join(QUANTIZATIONS)}, not {kind!r}.{remark}")
    _import_quantizer()


def quantize_weights(data: bytes, kind: str) -> bytes:
    """Stores the weights of the 32-bit convolutions and dense layers in fewer bits.

    The layers before the first sign, a stem's, keep theirs: they are few, and a sign that flips there changes all that
    follows. Batch norms, few and of many sizes, keep theirs, too.

    Eight-bit weights are rounded such that each output channel keeps the sum of its weights to within half a step.
    What these layers see comes from a ReLU or a pooling, so is positive, and an error of the sum would shift the whole
    channel: rounding each weight to the nearest step makes an error 1.6 times as large in the digits network.

    Args:
        data: A TFLite flatbuffer with 32-bit weights.
        kind: One of ``QUANTIZATIONS``.

    Raises:
        ImportError: If ai-edge-quantizer is not installed.
        ValueError: If the bytes are not a flatbuffer, or there is no such kind of quantization.
    """
    check_quantization(kind)
    model = fb.parse(data)
    graph = model.subgraphs[0]
    layers = [operator for operator in _after_first_sign(model, graph) if _has_float_weights(model, graph, operator)]
    if not layers:
        return data
    if kind == "weights":
        for operator in layers:
            _round(model, graph.tensors[operator.inputs[1]], _LAYERS[fb.operator_name(model, operator)])
    # In a recipe, layers go by the names of their outputs.
    scopes = "|".join(re.escape(fb.tensor_name(graph.tensors[operator.outputs[0]])) for operator in layers)
    quantizer = _import_quantizer()(fb.serialize(model))
    quantizer.load_quantization_recipe([_recipe(kind, f"^(?:{scopes});$")])
    with contextlib.redirect_stderr(io.StringIO()):  # One of its progress bars cannot be turned off.
        result = quantizer.quantize(enable_progress_bar=False, enable_progress_report=False)
    # Its constants stand behind the flatbuffer, where neither LCE's interpreter nor the metadata's zip expects them.
    quantized = fb.parse(bytes(result.quantized_model))
    if (count := _count_dequantized(quantized)) != len(layers):
        raise ValueError(f"ai-edge-quantizer quantized the weights of {count} of {len(layers)} layers.")
    return fb.serialize(quantized)


def _import_quantizer() -> Any:
    try:
        from ai_edge_quantizer.quantizer import Quantizer
    except ImportError as error:
        raise ImportError(f"This needs ai-edge-quantizer: pip install 'larq-melius[export]' ({error}).") from error
    return Quantizer


def _recipe(kind: str, scope: str) -> dict[str, Any]:
    algorithm, bits, dtype = _ALGORITHMS[kind]
    weights = {"num_bits": bits, "dtype": dtype, "symmetric": True, "granularity": "CHANNELWISE"}
    config = {"weight_tensor_config": weights, "compute_precision": "FLOAT", "explicit_dequantize": True}
    return {"regex": scope, "operation": "*", "algorithm_key": algorithm, "op_config": config}


def _after_first_sign(model: Any, graph: Any) -> list[Any]:
    """The operators that no sign follows, or that follow one themselves."""
    names = [fb.operator_name(model, operator) for operator in graph.operators]
    leads_to_sign: set[int] = set()
    for name, operator in reversed(list(zip(names, graph.operators, strict=True))):
        if name == "LceQuantize" or not leads_to_sign.isdisjoint(operator.outputs):
            leads_to_sign.update(operator.inputs)
    follows_sign: set[int] = set()
    for name, operator in zip(names, graph.operators, strict=True):
        if name.startswith("Lce") or not follows_sign.isdisjoint(operator.inputs):
            follows_sign.update(operator.outputs)
    return [
        operator
        for operator in graph.operators
        if leads_to_sign.isdisjoint(operator.outputs) or not follows_sign.isdisjoint(operator.outputs)
    ]


def _has_float_weights(model: Any, graph: Any, operator: Any) -> bool:
    if fb.operator_name(model, operator) not in _LAYERS:
        return False
    weights = fb.constant(model, graph.tensors[operator.inputs[1]])
    return weights is not None and weights.dtype == np.float32


def _round(model: Any, tensor: Any, axis: int) -> None:
    """Rounds weights to the 8-bit steps that the quantizer will find."""
    weights = np.moveaxis(np.asarray(fb.constant(model, tensor)), axis, 0)
    channels = weights.reshape(len(weights), -1).astype(np.float64)
    steps = np.abs(channels).max(axis=1, keepdims=True) / _LARGEST_INT8
    exact = channels / np.where(steps > 0, steps, 1)
    rounded = np.rint(exact)
    for channel, (wanted, nearest) in enumerate(zip(exact, rounded, strict=True)):
        error = wanted - nearest
        missing = round(error.sum())
        # Round the other way where that costs least.
        cheapest = np.argsort(-np.sign(missing) * error, kind="stable")[: abs(missing)]
        rounded[channel, cheapest] += np.sign(missing)
    result = (rounded * steps).reshape(weights.shape)
    fb.set_constant(model, tensor, np.moveaxis(result, 0, axis))


def _count_dequantized(model: Any) -> int:
    """Layers whose weights come from a ``DEQUANTIZE``."""
    graph = model.subgraphs[0]
    dequantized = {
        operator.outputs[0] for operator in graph.operators if fb.operator_name(model, operator) == "DEQUANTIZE"
    }
    return sum(
        fb.operator_name(model, operator) in _LAYERS and operator.inputs[1] in dequantized
        for operator in graph.operators
    )
