"""The merge at the end of an Improvement Block."""

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="larq_melius")
class ImprovementMerge(tf.keras.layers.Layer):
    """Adds an improvement to the newest channels of a feature map and leaves the others as they are.

    Called on ``[features, new, improvement]``: the features before the Dense Block, the channels that block
    added, and what the Improvement Block computed from both. The result is ``concat(features, new + improvement)``
    (paper, section 3.1 and Figure 1a). Since the two parts arrive separately instead of concatenated, only
    ``growth_rate`` channels are added, without slicing or padding the whole map.

    Input shape: ``[(batch, height, width, c), (batch, height, width, g), (batch, height, width, g)]``.
    Output shape: ``(batch, height, width, c + g)``.
    """

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 3:
            raise ValueError(f"ImprovementMerge needs [features, new, improvement], got {len(input_shape)} inputs.")
        if input_shape[1][-1] != input_shape[2][-1]:
            raise ValueError(
                f"The improvement has {input_shape[2][-1]} channels, but {input_shape[1][-1]} new ones to improve."
            )
        super().build(input_shape)

    def call(self, inputs: Any) -> tf.Tensor:
        features, new, improvement = inputs
        return tf.concat([features, new + improvement], axis=-1)
