"""What a training step needs in memory, estimated from the feature maps that the gradients are computed from."""

import os
from pathlib import Path

import larq as lq
import numpy as np
import tensorflow as tf

#: Where Linux states the memory of a container, in version 2 and 1 of its control groups.
_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
#: Copies of the weights: themselves, their gradients, two moments of the optimizer.
_COPIES_OF_WEIGHTS = 4


def image_memory(model: tf.keras.Model) -> int:
    """Bytes that each image of a batch takes in a training step.

    Those are the outputs of all layers, and the binarized inputs of binary convolutions: what the backward pass frees,
    its gradients take.
    """
    total = 0
    for layer in model.layers:
        size = tf.as_dtype(layer.compute_dtype).size
        total += size * sum(_elements(tensor) for tensor in tf.nest.flatten(layer.output))
        if isinstance(layer, lq.layers.QuantConv2D) and layer.input_quantizer is not None:
            total += size * _elements(layer.input)
    return total


def step_memory(model: tf.keras.Model, batch_size: int) -> int:
    """Bytes that a training step with that many images on one device takes, without the framework's own."""
    weights = sum(int(tf.size(variable)) * variable.dtype.size for variable in model.weights)
    return _COPIES_OF_WEIGHTS * weights + batch_size * image_memory(model)


def machine_memory() -> int | None:
    """Bytes of memory of this machine, or of the container that the process runs in; ``None`` where nothing tells."""
    if not hasattr(os, "sysconf"):
        return None
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in map(Path, _CONTAINER_LIMITS):
        text = path.read_text().strip() if path.is_file() else ""
        if text.isdigit():
            sizes.append(int(text))
    return min(sizes)


def check_memory(model: tf.keras.Model, batch_size: int) -> None:
    """Refuses a batch that does not fit in the memory of this machine.

    Args:
        model: The network.
        batch_size: Images of a step on this machine.

    Raises:
        ValueError: If it does not fit. The message tells the largest batch that does.
    """
    available = machine_memory()
    needed = step_memory(model, batch_size)
    if available is None or needed <= available:
        return
    height, width = model.input_shape[1:3]
    most = (available - step_memory(model, 0)) // image_memory(model)
    advice = f"set batch_size to at most {most}, or a smaller image_size" if most > 0 else "set a smaller image_size"
    raise ValueError(
        f"A step of {batch_size} images of {height}x{width} pixels takes about {in_gib(needed)} of memory, and this "
        f"machine has {in_gib(available)}: {advice}."
    )


def in_gib(size: int) -> str:
    """A number of bytes for people to read."""
    return f"{size / 2**30:.2g} GiB" if size < 10 * 2**30 else f"{size / 2**30:,.0f} GiB"


def _elements(tensor: tf.Tensor) -> int:
    return int(np.prod([side or 1 for side in tensor.shape], dtype=np.int64))
