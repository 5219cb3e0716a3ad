"""From the layout that MXNet and PyTorch share to Keras'."""

import numpy as np
import tensorflow as tf

from larq_melius.weights.checks import check_finite


def to_keras_layout(array: np.ndarray, name: str, layer: str, variable: tf.Variable) -> np.ndarray:
    """Checks that an array fits a variable, and brings it into the variable's layout.

    Args:
        array: A convolution's kernel of the shape (filters, input channels, height, width), a dense one of the shape
            (outputs, inputs), or a vector.
        name: Its name in the file.
        layer: Name of the Keras layer.
        variable: The layer's variable: a kernel of the shape (height, width, input channels, filters), one of the shape
            (inputs, outputs), or a vector.

    Returns:
        The array in float64 and the variable's shape.

    Raises:
        ValueError: If the shape is another, a number is not finite, or a variance is negative.
    """
    shape = tuple(variable.shape)
    expected = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]
    if array.shape != expected:
        raise ValueError(f"{layer} needs {name} with the shape {expected}, but it is {array.shape}")
    array = check_finite(array.astype(np.float64), name)
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
