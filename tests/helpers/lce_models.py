"""Builds tiny flatbuffers with Larq Compute Engine's operators, and computes in NumPy what they mean."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

_TYPES = {
    np.dtype("float32"): schema.TensorType.FLOAT32,
    np.dtype("int32"): schema.TensorType.INT32,
    np.dtype("int8"): schema.TensorType.INT8,
    np.dtype("bool"): schema.TensorType.BOOL,
}


class ModelBuilder:
    """A network of one graph; tensors are named by the numbers that its methods return."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(
        self, shape: Sequence[int], dtype: Any = "float32", *, data: Any = None, scale: float = 0.0, zero_point: int = 0
    ) -> int:
        """Adds a tensor, a constant if it has ``data``."""
        tensor = schema.TensorT()
        tensor.shape = np.asarray(shape, np.int32)
        tensor.type = _TYPES[np.dtype(dtype)]
        tensor.name = f"tensor_{len(self.graph.tensors)}"
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if scale:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.asarray([scale], np.float32)
            tensor.quantization.zeroPoint = np.asarray([zero_point], np.int64)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, data: Any) -> int:
        """Adds a constant."""
        array = np.asarray(data)
        return self.tensor(array.shape, array.dtype, data=array)

    def custom(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: Mapping[str, int] | bytes | None = None
    ) -> None:
        """Adds a custom operator; ``options`` become a FlexBuffer map unless they are bytes."""
        operator = self._operator(schema.BuiltinOperator.CUSTOM, name, inputs, outputs)
        if options is not None:
            data = options if isinstance(options, bytes) else _flexbuffer(options)
            operator.customOptions = np.frombuffer(data, np.uint8)

    def builtin(self, name: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any) -> None:
        """Adds a built-in operator, such as ``MAX_POOL_2D``, with the fields of its options."""
        operator = self._operator(getattr(schema.BuiltinOperator, name), None, inputs, outputs)
        kind = {
            "ADD": "AddOptions",
            "MUL": "MulOptions",
            "CONCATENATION": "ConcatenationOptions",
            "CONV_2D": "Conv2DOptions",
            "MAX_POOL_2D": "Pool2DOptions",
            "PAD": "PadOptions",
            "PADV2": "PadV2Options",
            "RESHAPE": "ReshapeOptions",
            "TRANSPOSE": "TransposeOptions",
        }[name]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        operator.builtinOptions = getattr(schema, kind + "T")()
        for field, value in options.items():
            setattr(operator.builtinOptions, field, value)

    def _operator(self, code: int, name: str | None, inputs: Sequence[int], outputs: Sequence[int]) -> Any:
        operator_code = schema.OperatorCodeT()
        operator_code.builtinCode = code
        operator_code.deprecatedBuiltinCode = min(code, 127)
        operator_code.customCode = name
        operator_code.version = 1
        self.model.operatorCodes.append(operator_code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray(outputs, np.int32)
        self.graph.operators.append(operator)
        return operator

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The flatbuffer."""
        self.graph.inputs = np.asarray(inputs, np.int32)
        self.graph.outputs = np.asarray(outputs, np.int32)
        builder = _AligningBuilder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


class _AligningBuilder(flatbuffers.Builder):
    """A builder that aligns constants, as TFLite's own does."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803 - flatbuffers' names
        return super().StartVector(elemSize, numElems, 16 if elemSize == 1 else alignment)


def _flexbuffer(options: Mapping[str, int]) -> bytes:
    builder = flexbuffers.Builder()
    with builder.Map():
        for key, value in options.items():
            builder.Key(key)
            builder.Int(value)
    return bytes(builder.Finish())


def pack_bits(negative: np.ndarray) -> np.ndarray:
    """LCE's bit-packed form of an array of booleans: 32 channels in an int32, the first in the lowest bit."""
    missing = -negative.shape[-1] % 32
    padded = np.pad(negative, [(0, 0)] * (negative.ndim - 1) + [(0, missing)])
    return np.ascontiguousarray(np.packbits(padded, axis=-1, bitorder="little")).view("<i4")


def signs(words: np.ndarray, channels: int) -> np.ndarray:
    """The signs, -1 and +1, that bit-packed words stand for."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    return 1 - 2 * bits[..., :channels].astype(np.int64)


def same_padding(size: int, extent: int, stride: int) -> tuple[int, int]:
    """What SAME padding adds before and after."""
    total = max(0, (-(-size // stride) - 1) * stride + extent - size)
    return total // 2, total - total // 2


def convolve_signs(
    x: np.ndarray,
    kernel: np.ndarray,
    *,
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    same: bool = False,
    pad_value: int = 1,
    groups: int = 1,
) -> np.ndarray:
    """The convolution of integers ``[N, H, W, C]`` with ``[O, h, w, C / groups]``, in NumPy."""
    extents = [(k - 1) * d + 1 for k, d in zip(kernel.shape[1:3], dilations, strict=True)]
    if same:
        pads = [same_padding(x.shape[1 + i], extents[i], strides[i]) for i in range(2)]
        x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=pad_value)
    windows = np.lib.stride_tricks.sliding_window_view(x, extents, axis=(1, 2))
    windows = windows[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]
    parts = zip(np.split(windows, groups, axis=3), np.split(kernel, groups), strict=True)
    return np.concatenate([np.einsum("nyxchw,ohwc->nyxo", *part) for part in parts], axis=-1)


def small_network(size: int = 6, seed: int = 0) -> tuple[bytes, Callable[[np.ndarray], np.ndarray]]:
    """A network of LceQuantize, LceBconv2d, LceBMaxPool2d and LceDequantize, and the function that it computes.

    It takes ``(samples, size, size, 20)``.
    """
    rng = np.random.default_rng(seed)
    kernel = rng.choice([-1, 1], (40, 3, 3, 20))
    thresholds = rng.integers(80, 100, 40).astype("i4")
    builder = ModelBuilder()
    x = builder.tensor([1, size, size, 20])
    bits, conv, pooled = (builder.tensor([1, size, size, n], "int32") for n in (1, 2, 2))
    y = builder.tensor([1, size // 2, size // 2, 40])
    builder.custom("LceQuantize", [x], [bits])
    keys = ["stride_height", "stride_width", "dilation_height_factor", "dilation_width_factor", "pad_values"]
    options = {**dict.fromkeys(keys, 1), "padding": 0, "channels_in": 20, "fused_activation_function": 0}
    constants = [builder.constant(pack_bits(kernel < 0)), -1, -1, builder.constant(thresholds)]
    builder.custom("LceBconv2d", [bits, *constants], [conv], options)
    window = dict.fromkeys(["filter_height", "filter_width", "stride_height", "stride_width"], 2)
    builder.custom("LceBMaxPool2d", [conv], [pooled], {**window, "padding": 1})
    builder.custom("LceDequantize", [pooled], [y])

    def compute(values: np.ndarray) -> np.ndarray:
        negative = 180 - convolve_signs(np.where(values < 0, -1, 1), kernel, same=True) > 2 * thresholds
        n, h, w, c = negative.shape
        return np.where(negative.reshape(n, h // 2, 2, w // 2, 2, c).all(axis=(2, 4)), -1, 1)

    return builder.finish([x], [y]), compute
