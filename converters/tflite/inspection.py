"""What is in a TFLite file: operators, operations, weights, and what silently costs."""

import os
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from larq_melius.content_hash import check_content
from larq_melius.converters.tflite import flatbuffer as fb
from larq_melius.converters.tflite.metadata import TFLiteMetadata, read_metadata
from larq_melius.runtime.library import delegate as load_delegate
from larq_melius.runtime.library import find_library, import_litert

#: Weights of fewer numbers than that in a channel are all of one size now and then.
_FEWEST_WEIGHTS = 8
_TYPE_NAMES = {number: name.lower() for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
#: Options of TFLite's and LCE's operators: SAME padding.
_SAME = 0


@dataclass(frozen=True)
class TensorFacts:
    """A tensor.

    Attributes:
        name: Its name in the file.
        shape: Its shape; -1 stands for a dimension that is open.
        dtype: The type of its elements, such as ``float32``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class OperatorFacts:
    """An operator, in the order of execution.

    Attributes:
        name: Its kind, such as ``CONV_2D`` or ``LceBconv2d``.
        output: Its first output.
        macs: Multiply-accumulates for one image; 0 for what is neither a convolution nor a dense layer.
        binary: Whether these are of one bit by one bit.
        delegated: Whether the delegate runs it; ``None`` where this installation has no delegate.
    """

    name: str
    output: TensorFacts
    macs: int = 0
    binary: bool = False
    delegated: bool | None = None

    @property
    def runner(self) -> str:
        """Who runs it, for people to read; empty where that is not known."""
        return {True: "delegate", False: "LiteRT", None: ""}[self.delegated]


@dataclass(frozen=True)
class WeightFacts:
    """The constants of one kind.

    Attributes:
        use: ``kernel`` for those of convolutions and dense layers, ``other`` for batch norms, biases, shapes.
        precision: What a number is stored as: ``1 bit`` or a type.
        count: How many numbers.
        bytes: What they take in the file.
    """

    use: str
    precision: str
    count: int
    bytes: int


@dataclass(frozen=True)
class Inspection:
    """What is in a file.

    Attributes:
        bytes: Its size.
        inputs: What the network takes.
        outputs: What it gives.
        operators: Its operators in the order of execution.
        tensors: Number of its tensors, constants included.
        weights: Its constants by use and precision, the largest first.
        metadata: What it says about itself as an image classifier, ``None`` if it does not.
        metadata_blocks: Names of all blocks of metadata in it.
        warnings: What silently costs time or memory, one sentence each.
    """

    bytes: int
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    operators: tuple[OperatorFacts, ...]
    tensors: int
    weights: tuple[WeightFacts, ...]
    metadata: TFLiteMetadata | None
    metadata_blocks: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def operator_counts(self) -> dict[str, int]:
        """Number of operators of each kind, the most frequent first."""
        return dict(Counter(operator.name for operator in self.operators).most_common())

    @property
    def binary_macs(self) -> int:
        """Multiply-accumulates of one bit by one bit for one image, counted like ``count_operations``."""
        return sum(operator.macs for operator in self.operators if operator.binary)

    @property
    def float_macs(self) -> int:
        """All other multiply-accumulates."""
        return sum(operator.macs for operator in self.operators if not operator.binary)


def inspect_tflite(path: str | os.PathLike[str]) -> Inspection:
    """Reads what is in a TFLite file, with Larq Compute Engine's operators or without.

    Where this installation has the delegate, that is asked which operators it would run.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a TFLite flatbuffer, or is damaged.
    """
    data = Path(path).read_bytes()
    try:
        return _inspect(data)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}.") from error


def _inspect(data: bytes) -> Inspection:
    check_content(data)
    model = fb.parse(data)
    graph = _Graph(model)
    operators, warnings = [], []
    for index in range(len(graph.operators)):
        macs, binary = _macs(graph, index)
        warnings += _warnings(graph, index)
        operators.append((graph.names[index], graph.facts(graph.operators[index].outputs[0]), macs, binary))
    weights = _weights(graph)
    metadata = read_metadata(data)
    claimed = _claimed(data)
    delegated = [None if claimed is None else index in claimed for index in range(len(operators))]
    return Inspection(
        bytes=len(data),
        inputs=tuple(graph.facts(index) for index in graph.graph.inputs),
        outputs=tuple(graph.facts(index) for index in graph.graph.outputs),
        operators=tuple(OperatorFacts(*facts, flag) for facts, flag in zip(operators, delegated, strict=True)),
        tensors=len(graph.tensors),
        weights=weights,
        metadata=metadata,
        metadata_blocks=tuple(fb.metadata_names(model)),
        warnings=tuple(warnings),
    )


class _Graph:
    """The first graph of a model, checked as far as it is read here."""

    def __init__(self, model: Any) -> None:
        self.model, self.graph = model, model.subgraphs[0]
        self.tensors = list(self.graph.tensors)
        self.operators = list(self.graph.operators)
        self.names = [fb.operator_name(model, operator) for operator in self.operators]
        self.producers: dict[int, int] = {}
        for index, operator in enumerate(self.operators):
            ends = [*_indices(operator.inputs), *_indices(operator.outputs)]
            if not all(-1 <= end < len(self.tensors) for end in ends) or not len(_indices(operator.outputs)):
                raise ValueError(f"the TFLite flatbuffer is damaged: operator {index} has tensors that are not there")
            self.producers.update(dict.fromkeys(_indices(operator.outputs), index))

    def facts(self, index: int) -> TensorFacts:
        """What is known of a tensor."""
        tensor = self.tensors[index]
        signature = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
        name = _TYPE_NAMES.get(tensor.type, f"type {tensor.type}")
        return TensorFacts(fb.tensor_name(tensor), tuple(int(size) for size in _indices(signature)), name)

    def shape(self, operator: Any, place: int) -> tuple[int, ...]:
        """The shape of an operator's input."""
        inputs = _indices(operator.inputs)
        if len(inputs) <= place or inputs[place] < 0:
            raise ValueError("the TFLite flatbuffer is damaged: an operator has too few inputs")
        return tuple(int(size) for size in _indices(self.tensors[inputs[place]].shape))

    def stored(self, index: int) -> Any:
        """The tensor that a kernel is stored in, before it is dequantized."""
        producer = self.producers.get(index)
        if producer is not None and self.names[producer] == "DEQUANTIZE":
            index = self.operators[producer].inputs[0]
        return self.tensors[index]

    def source(self, operator: Any) -> str:
        """The kind of the operator that an operator's first input comes from."""
        producer = self.producers.get(operator.inputs[0])
        return "" if producer is None else self.names[producer]

    def options(self, operator: Any) -> dict[str, int]:
        """The options of an operator of LCE's."""
        data = _indices(operator.customOptions)
        try:
            options = flexbuffers.Loads(bytes(bytearray(data)))
        except Exception as error:  # The reader raises whatever damaged offsets lead to.
            raise ValueError(f"the TFLite flatbuffer is damaged: an operator has no options ({error})") from error
        if not isinstance(options, dict) or not all(isinstance(value, int) for value in options.values()):
            raise ValueError("the TFLite flatbuffer is damaged: an operator has no options")
        return options


def _indices(values: Any) -> Any:
    return [] if values is None else values


#: Where each kind of layer has its kernel.
_KERNELS = {"LceBconv2d": 1, "CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1}


def _macs(graph: _Graph, index: int) -> tuple[int, bool]:
    """Multiply-accumulates of an operator for one image, and whether they are binary."""
    operator, name = graph.operators[index], graph.names[index]
    if name not in _KERNELS:
        return 0, False
    kernel = graph.shape(operator, _KERNELS[name])
    output = prod(int(size) for size in _indices(graph.tensors[operator.outputs[0]].shape)[1:])
    if len(kernel) != (2 if name == "FULLY_CONNECTED" else 4):
        raise ValueError(f"the TFLite flatbuffer is damaged: the kernel of operator {index} has the shape {kernel}")
    if name == "LceBconv2d":
        pixels = prod(int(size) for size in _indices(graph.tensors[operator.outputs[0]].shape)[1:3])
        return pixels * _binary_weights(graph, operator, kernel), True
    if name == "DEPTHWISE_CONV_2D":
        return output * prod(kernel[1:3]), False
    if name == "TRANSPOSE_CONV":
        return prod(graph.shape(operator, 2)[1:]) * prod(kernel[:3]), False
    return output * prod(kernel[1:]), False


def _binary_weights(graph: _Graph, operator: Any, kernel: tuple[int, ...]) -> int:
    """How many weights the kernel of an ``LceBconv2d`` has, of which a word holds 32 input channels."""
    channels = int(graph.options(operator).get("channels_in", 0))
    groups = max(1, -(-channels // 32) // max(1, kernel[3]))
    return prod(kernel[:3]) * (channels // groups)


def _weights(graph: _Graph) -> tuple[WeightFacts, ...]:
    """The constants by use and precision."""
    kernels: dict[int, tuple[str, int]] = {}  # by buffer
    for operator, name in zip(graph.operators, graph.names, strict=True):
        if name in _KERNELS:
            tensor = graph.stored(operator.inputs[_KERNELS[name]])
            shape = tuple(int(size) for size in _indices(tensor.shape))
            precision = _TYPE_NAMES.get(tensor.type, "unknown")
            if name == "LceBconv2d" and precision == "int32":
                kernels[tensor.buffer] = ("1 bit", _binary_weights(graph, operator, shape))
            else:
                kernels[tensor.buffer] = (precision, prod(shape))
    counts: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    seen = set()
    for tensor in graph.tensors:
        if tensor.buffer in seen or not 0 <= tensor.buffer < len(graph.model.buffers):
            continue
        data = graph.model.buffers[tensor.buffer].data
        if data is None:
            continue
        seen.add(tensor.buffer)
        plain = _TYPE_NAMES.get(tensor.type, "unknown"), prod(int(size) for size in _indices(tensor.shape))
        precision, count = kernels.get(tensor.buffer, plain)
        key = ("kernel" if tensor.buffer in kernels else "other", precision)
        counts[key] += count
        sizes[key] += len(data)
    return tuple(WeightFacts(*key, counts[key], size) for key, size in sizes.most_common())


def _warnings(graph: _Graph, index: int) -> list[str]:
    """What an operator costs without need."""
    operator, name = graph.operators[index], graph.names[index]
    title = f"{name} {index} ({fb.tensor_name(graph.tensors[operator.outputs[0]])})"
    if name == "LceBconv2d":
        options = graph.options(operator)
        if options.get("padding") == _SAME and options.get("pad_values") == 0:
            return [f"{title} pads with zeros, which has to be corrected at the borders: padding with ones is faster."]
    if name.startswith("Flex"):
        return [f"{title} is an operator of TensorFlow's, which neither LiteRT nor Larq Compute Engine runs."]
    if name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") or not _is_plus_minus_one(graph, operator, name):
        return []
    source = graph.source(operator)
    if name == "DEPTHWISE_CONV_2D":
        reason = "Larq Compute Engine has no binary depthwise convolution"
    elif name == "FULLY_CONNECTED":
        reason = "Larq Compute Engine has no binary dense layer"
    elif source in ("PAD", "PADV2"):
        reason = "its input is padded by an operator of its own, with a value that no LceBconv2d pads with"
    else:
        reason = "if its input has signs, too, it is a binary convolution that the converter missed"
    return [f"{title} has weights of one size, as binary ones are, but works on 32 bits: {reason}."]


def _is_plus_minus_one(graph: _Graph, operator: Any, name: str) -> bool:
    """Whether a layer's weights are +1 and -1, but for a factor for each channel that a batch norm can leave."""
    inputs = _indices(operator.inputs)
    tensor = graph.stored(inputs[1])
    weights = fb.constant(graph.model, tensor) if tensor.buffer else None
    if weights is None or weights.dtype.kind not in "fi" or weights.size == 0:
        return False
    channels = np.moveaxis(weights, 3, 0) if name == "DEPTHWISE_CONV_2D" else weights
    sizes = np.abs(channels.reshape(len(channels), -1).astype(np.float32))
    return bool(
        sizes.shape[1] >= _FEWEST_WEIGHTS
        and sizes.max() > 0
        and np.all(sizes.max(axis=1) - sizes.min(axis=1) <= 1e-5 * sizes.max(axis=1))
        and weights.min() < 0 < weights.max()
    )


def _claimed(data: bytes) -> set[int] | None:
    """The indices of the operators that the delegate takes when LiteRT asks it; ``None`` if there is no delegate."""
    if find_library() is None:
        return None
    litert = import_litert()
    without = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = litert.Interpreter(
            model_content=data, experimental_delegates=[load_delegate()], experimental_op_resolver_type=without
        )
        interpreter.allocate_tensors()
        # The operators that the delegate replaced are still in the list, and what replaced them follows.
        operators = interpreter._get_ops_details()
    except (RuntimeError, ValueError):
        return None  # LiteRT runs no such network, by itself or with the delegate.
    producers = {
        int(output): operator
        for operator in operators
        if operator["op_name"] != "DELEGATE"
        for output in operator["outputs"]
    }
    claimed = set()
    for replacement in operators:
        if replacement["op_name"] != "DELEGATE":
            continue
        pending, known = list(map(int, replacement["outputs"])), set(map(int, replacement["inputs"]))
        while pending:
            tensor = pending.pop()
            if tensor not in known and tensor in producers:
                known.add(tensor)
                claimed.add(int(producers[tensor]["index"]))
                pending += map(int, producers[tensor]["inputs"])
    return claimed
