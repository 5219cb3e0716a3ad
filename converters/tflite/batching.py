"""Networks for several images at once, made from networks for one."""

from typing import Any

import numpy as np

from larq_melius.converters.tflite import flatbuffer as fb


def with_batch(data: bytes, batch: int | None) -> bytes:
    """The same network for a batch of images.

    Larq Compute Engine's converter always makes a network for one image. Interpreters work out all shapes from those of
    the inputs, but for constants that are shapes themselves.

    Args:
        data: A network for one image.
        batch: Number of images; ``None`` for as many as an interpreter is told by ``resize_tensor_input``, else one.
    """
    model = fb.parse(data)
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if fb.operator_name(model, operator) == "RESHAPE" and len(operator.inputs) > 1:
            _reshape_batch(model, graph.tensors[operator.inputs[1]], -1 if batch is None else batch)
    if batch is None:
        for index in [*graph.inputs, *graph.outputs]:
            tensor = graph.tensors[index]
            tensor.shapeSignature = np.asarray([-1, *tensor.shape[1:]], np.int32)
    else:
        for tensor in graph.tensors:
            if model.buffers[tensor.buffer].data is None and tensor.shape is not None and len(tensor.shape):
                tensor.shape = np.asarray([batch, *tensor.shape[1:]], np.int32)
    return fb.serialize(model)


def _reshape_batch(model: Any, tensor: Any, batch: int) -> None:
    shape = fb.constant(model, tensor)
    if shape is not None and shape.ndim == 1 and len(shape) and shape[0] == 1 and not (batch < 0 and -1 in shape):
        fb.set_constant(model, tensor, np.asarray([batch, *shape[1:]]))
