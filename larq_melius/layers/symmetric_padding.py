"""Symmetric padding before a strided window."""

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="larq_melius")
class SymmetricPadding2D(tf.keras.layers.Layer):
    """Pads for a window of odd size and stride 2, so that it starts ``window // 2`` pixels before the image.

    The authors' frameworks pad both sides equally; Keras' ``padding="same"`` pads less at the start when the stride
    is 2, which shifts the result by a pixel. For an even size the last window never reaches the last padded
    row, so that row is left out: the result is the same, and Larq Compute Engine's converter, which turns an evenly
    padded, strided convolution into a shifted ``SAME`` one, leaves this one alone.

    Args:
        window: Odd size of the window that follows, in pixels.
        value: The number to pad with.

    Input shape: ``(batch, height, width, channels)``; output shape: ``window // 2`` more at the start of height and
    width, and ``window // 2`` (odd or unknown size) or one less (even size) at their end.
    """

    def __init__(self, window: int, value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window must be odd and positive, got {window}.")
        self.window = window
        self.value = value

    def _padding(self, size: int | None) -> tuple[int, int]:
        border = self.window // 2
        return border, border - 1 if border and size is not None and size % 2 == 0 else border

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        height, width = inputs.shape[1:3]
        paddings = [(0, 0), self._padding(height), self._padding(width), (0, 0)]
        return tf.pad(inputs, paddings, constant_values=self.value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window, "value": self.value}
