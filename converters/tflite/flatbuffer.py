"""Reads, changes and writes TFLite flatbuffers."""

import math
from collections import Counter
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from larq_melius.content_hash import unseal

# TFLite asks for 16 bytes; LiteRT's custom kernels read constants in vectors of 64.
_BUFFER_ALIGNMENT = 64
#: What a constant's type in the file is in NumPy; others are not numbers of whole bytes.
_DTYPES: dict[int, np.dtype] = {
    schema.TensorType.FLOAT32: np.dtype("<f4"),
    schema.TensorType.FLOAT16: np.dtype("<f2"),
    schema.TensorType.INT32: np.dtype("<i4"),
    schema.TensorType.INT16: np.dtype("<i2"),
    schema.TensorType.INT8: np.dtype("<i1"),
    schema.TensorType.UINT8: np.dtype("<u1"),
    schema.TensorType.INT64: np.dtype("<i8"),
    schema.TensorType.BOOL: np.dtype("?"),
}
_BUILTIN_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


class _AligningBuilder(flatbuffers.Builder):
    """A builder that aligns constant data, which TFLite's generated code does not."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803 - flatbuffers' names
        return super().StartVector(elemSize, numElems, _BUFFER_ALIGNMENT if elemSize == 1 else alignment)


def parse(data: bytes) -> Any:
    """Parses a flatbuffer into the ``ModelT`` object of TFLite's schema.

    Raises:
        ValueError: If the bytes are not a TFLite flatbuffer.
    """
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise ValueError("this is not a TFLite flatbuffer")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
        _pull_in(model, data)
    except Exception as error:  # the generated code raises whatever damaged offsets lead to
        raise ValueError(f"the TFLite flatbuffer is damaged: {error}") from error
    if not model.subgraphs:
        raise ValueError("the TFLite flatbuffer is damaged: it holds no graph")
    if not all(_is_whole(model, graph) for graph in model.subgraphs):
        raise ValueError("the TFLite flatbuffer is damaged: operators or tensors are missing")
    return model


def _pull_in(model: Any, data: bytes) -> None:
    """Moves what stands behind the flatbuffer into it, as other writers leave it: it is lost when written again."""
    for buffer in model.buffers or []:
        if buffer.offset > 1:  # 0 and 1 stand for "nowhere"
            buffer.data = _behind(data, buffer.offset, buffer.size)
            buffer.offset = buffer.size = 0
    for graph in model.subgraphs or []:
        for operator in graph.operators if graph.operators is not None else []:
            if operator.largeCustomOptionsOffset > 1:
                where = operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize
                operator.customOptions = _behind(data, *where)
                operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0


def _behind(data: bytes, offset: int, size: int) -> np.ndarray:
    if offset + size > len(data):
        raise ValueError("it ends before its constants do")
    return np.frombuffer(data, np.uint8, size, offset)


def _is_whole(model: Any, graph: Any) -> bool:
    """Whether a graph's operators, inputs and outputs are there."""
    codes, tensors = model.operatorCodes or [], graph.tensors if graph.tensors is not None else []
    operators = graph.operators if graph.operators is not None else []
    ends = [graph.inputs, graph.outputs]
    return all(end is not None and len(end) > 0 for end in ends) and (
        all(0 <= index < len(tensors) for end in ends for index in end)
        and all(operator is not None and 0 <= operator.opcodeIndex < len(codes) for operator in operators)
    )


def serialize(model: Any) -> bytes:
    """Writes a ``ModelT`` object as a flatbuffer, without a hash of the contents that it had before."""
    builder = _AligningBuilder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return unseal(bytes(builder.Output()))


def operator_name(model: Any, operator: Any) -> str:
    """The name of an operator, such as ``CONV_2D``, or that of a custom one, such as ``LceBconv2d``."""
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return code.customCode.decode("utf-8", "replace") if isinstance(code.customCode, bytes) else code.customCode
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _BUILTIN_NAMES.get(builtin, f"unknown operator {builtin}")


def tensor_name(tensor: Any) -> str:
    """The name of a tensor, empty if it has none."""
    name = tensor.name or ""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def constant(model: Any, tensor: Any) -> np.ndarray | None:
    """The value of a constant, in its shape; ``None`` if the tensor is none or not of whole bytes.

    Raises:
        ValueError: If the constant is not as long as its shape says.
    """
    if not 0 <= tensor.buffer < len(model.buffers or []):
        raise ValueError("the TFLite flatbuffer is damaged: a constant is missing")
    data, dtype = model.buffers[tensor.buffer].data, _DTYPES.get(tensor.type)
    if data is None or dtype is None:
        return None
    shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
    values = np.asarray(data, np.uint8).tobytes()
    if min(shape, default=0) < 0 or len(values) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the TFLite flatbuffer is damaged: {tensor_name(tensor)} has {len(values):,} bytes")
    return np.frombuffer(values, dtype).reshape(shape)


def set_constant(model: Any, tensor: Any, value: np.ndarray) -> None:
    """Changes the value of a constant, for all tensors that share its buffer."""
    data = np.ascontiguousarray(value, _DTYPES[tensor.type]).tobytes()
    model.buffers[tensor.buffer].data = np.frombuffer(data, np.uint8)


def count_operators(data: bytes) -> Counter[str]:
    """Counts the operators of a flatbuffer by name.

    Raises:
        ValueError: If the bytes are not a TFLite flatbuffer.
    """
    model = parse(data)
    return Counter(operator_name(model, operator) for graph in model.subgraphs for operator in graph.operators)


def without_softmax(data: bytes) -> bytes:
    """The same network, ending in its logits.

    A softmax saturates and hides differences. If the network ends in another operator, it is returned unchanged.
    """
    model = parse(data)
    graph = model.subgraphs[0]
    last = graph.operators[-1]
    if operator_name(model, last) != "SOFTMAX" or list(last.outputs) != list(graph.outputs):
        return data
    graph.operators.pop()
    graph.outputs = last.inputs
    model.signatureDefs = []
    return serialize(model)


def name_tensors(model: Any, *, inputs: str, outputs: str) -> None:
    """Names the first input and output tensor of a ``ModelT``, as viewers of the file show them."""
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].name = inputs
    graph.tensors[graph.outputs[0]].name = outputs


def add_model_metadata(model: Any, name: str, data: bytes) -> None:
    """Adds a named block of bytes to a ``ModelT``; interpreters ignore names they do not know."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(data, np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name = name
    entry.buffer = len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def metadata_names(model: Any) -> list[str]:
    """The names of all blocks of metadata."""
    names = [entry.name or "" for entry in model.metadata or []]
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names]


def get_model_metadata(model: Any, name: str) -> bytes | None:
    """The block of bytes of that name, or ``None`` if there is none."""
    for entry in model.metadata or []:
        if entry.name in (name, name.encode()):
            if not 0 <= entry.buffer < len(model.buffers or []) or model.buffers[entry.buffer].data is None:
                raise ValueError(f"the TFLite flatbuffer is damaged: the block {name} is missing")
            return bytes(bytearray(model.buffers[entry.buffer].data))
    return None
