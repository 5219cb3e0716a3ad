"""How a network pads its binarized feature maps."""

import tensorflow as tf

from larq_melius.layers import SymmetricPadding2D


def pads_with_minus_one(model: tf.keras.Model) -> bool:
    """Whether a network pads binarized maps with -1, as the authors do and no ``LceBconv2d`` does."""
    return any(
        getattr(layer, "pad_values", None) == -1 or (isinstance(layer, SymmetricPadding2D) and layer.value == -1)
        for layer in model.layers
    )
