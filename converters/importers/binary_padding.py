"""Converts weights for binarized feature maps that are padded with -1, as the authors pad, to a padding of +1.

Negating a batch norm and the binary kernel behind it flips all signs between them, and those of the padding with them.
"""

from collections import Counter

import larq as lq
import numpy as np
import tensorflow as tf

from larq_melius.analysis.graph import input_layers
from larq_melius.layers import SymmetricPadding2D


def mirrored_layers(model: tf.keras.Model) -> set[str]:
    """The layers to negate: the binary convolutions that pad with +1, and the batch norms in front of them.

    Args:
        model: The network that the weights are for. Its convolutions that pad with -1 need no change.

    Returns:
        The names of the layers.

    Raises:
        ValueError: If the network has no binary convolutions, or one that cannot be mirrored: because it pads with
            neither -1 nor 1, or because there is no batch norm in front of it that no other layer reads.
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)]
    if not convolutions:
        raise ValueError(f"{model.name} has no binary convolutions, so no checkpoint of the authors' networks fits")
    readers = Counter(before.name for layer in model.layers for before in input_layers(layer))
    mirrored = set()
    for convolution in convolutions:
        (before,) = input_layers(convolution)
        pad_value = convolution.pad_values
        if isinstance(before, SymmetricPadding2D):
            pad_value = before.value
            (before,) = input_layers(before)
        if pad_value == -1:
            continue
        if pad_value != 1:
            raise ValueError(
                f"{convolution.name} pads with {pad_value}, the authors with -1: no weights make up for the difference"
            )
        if not isinstance(before, tf.keras.layers.BatchNormalization) or readers[before.name] > 1:
            raise ValueError(
                f"{convolution.name} has no batch norm of its own in front of it to negate, so the authors' padding of "
                "-1 cannot become +1: only a network that pads with -1 (binary_pad_value=-1) computes the same, and "
                "Larq Compute Engine does not run its convolutions as binary ones"
            )
        mirrored |= {convolution.name, before.name}
    return mirrored


def can_mirror(model: tf.keras.Model) -> bool:
    """Whether weights for a padding of -1 can be converted to the padding of this network."""
    try:
        mirrored_layers(model)
    except ValueError:
        return False
    return True


def with_sign(values: np.ndarray, *, flip: bool) -> np.ndarray:
    """The values, or with ``flip`` their negatives, in an array of the same shape and without losing a sign.

    Zero counts as positive, and hardware that flushes subnormal numbers takes them for zero: both become the smallest
    normal float32 number of their sign.
    """
    sizes = np.maximum(np.abs(values), np.finfo(np.float32).tiny)
    return np.where((values < 0) == flip, sizes, -sizes)
