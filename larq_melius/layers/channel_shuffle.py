"""The channel shuffle before a grouped convolution."""

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="larq_melius")
class ChannelShuffle(tf.keras.layers.Layer):
    """Interleaves the channels of ``groups`` equal parts of the feature map.

    The channels are viewed as a ``[groups, channels / groups]`` matrix, which is transposed and flattened, so
    that each group of the convolution after it sees early and late features (paper, section 3.2). The number of
    groups is the shuffle's own; it need not be that of the convolution.

    Args:
        groups: Number of parts, which must divide the number of channels.

    Input and output shape: ``(batch, height, width, channels)``.
    """

    def __init__(self, groups: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if groups < 1:
            raise ValueError(f"groups must be at least 1, got {groups}.")
        self.groups = groups

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        if channels is None or channels % self.groups:
            raise ValueError(f"Cannot shuffle {channels} channels in {self.groups} groups: they do not divide evenly.")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        channels = inputs.shape[-1]
        height, width = (
            static if static is not None else dynamic
            for static, dynamic in zip(inputs.shape[1:3], tf.unstack(tf.shape(inputs)[1:3]), strict=True)
        )
        # One matrix per pixel keeps every intermediate tensor at three dimensions, which all TFLite kernels support.
        by_group = tf.reshape(inputs, [-1, self.groups, channels // self.groups])
        return tf.reshape(tf.transpose(by_group, [0, 2, 1]), [-1, height, width, channels])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups}
