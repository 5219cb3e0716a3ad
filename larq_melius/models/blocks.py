"""The building blocks of the networks, as functions from tensor to tensor.

Feature maps are ``(batch, height, width, channels)``. Everything follows section 3 of the paper, with the details of
the authors' code; ``ReferenceImplementation`` holds what differs between the implementations that published weights.
"""

from dataclasses import dataclass

import larq as lq
import tensorflow as tf

from larq_melius.layers import ChannelShuffle, ImprovementMerge, SymmetricPadding2D
from larq_melius.models.configs import SHUFFLE_GROUPS
from larq_melius.reference_implementations import ReferenceImplementation

BATCHNORM_MOMENTUM = 0.9
BATCHNORM_EPSILON = 1e-5


@dataclass(frozen=True)
class ConvConfig:
    """What all convolutions of one network have in common.

    Attributes:
        convention: The reference implementation that the network follows.
        binary: Whether the convolutions of the blocks are binary; if not, they are 32-bit ones after a ReLU.
        clip_value: Largest absolute value at which the straight-through estimator passes the gradient of an activation
            (paper, section 3.3) and, if the convention clips them, of a latent weight.
        trunk_gain: Factor on the initial output of the stem and of the transitions.
    """

    convention: ReferenceImplementation
    binary: bool = True
    clip_value: float = 1.3
    trunk_gain: float = 1.0


def he_normal(gain: float = 1.0) -> tf.keras.initializers.Initializer:
    """Normal initialization by fan-in, as in the authors' runs: not truncated, unlike Keras' ``"he_normal"``.

    Args:
        gain: Factor on the standard deviation.
    """
    return tf.keras.initializers.VarianceScaling(scale=2.0 * gain**2, mode="fan_in", distribution="untruncated_normal")


def batchnorm(x: tf.Tensor, name: str, *, gain: float = 1.0) -> tf.Tensor:
    """Batch normalization with the authors' momentum and epsilon; the shape stays.

    Args:
        x: Feature map.
        name: Name of the layer.
        gain: Initial gamma.
    """
    return tf.keras.layers.BatchNormalization(
        momentum=BATCHNORM_MOMENTUM,
        epsilon=BATCHNORM_EPSILON,
        gamma_initializer="ones" if gain == 1 else tf.keras.initializers.Constant(gain),
        name=name,
    )(x)


def batchnorm_relu(x: tf.Tensor, name: str, *, gain: float = 1.0) -> tf.Tensor:
    """Batch normalization, then ReLU, as layers ``<name>_bn`` and ``<name>_relu``; the shape stays."""
    return tf.keras.layers.Activation("relu", name=f"{name}_relu")(batchnorm(x, f"{name}_bn", gain=gain))


def float_convolution(
    x: tf.Tensor,
    filters: int,
    kernel_size: int,
    config: ConvConfig,
    *,
    strides: int = 1,
    groups: int = 1,
    gain: float = 1.0,
    name: str,
) -> tf.Tensor:
    """A 32-bit convolution without bias.

    Returns:
        ``(batch, height / strides, width / strides, filters)``, sizes rounded up.
    """
    padding = "same"
    if strides > 1 and kernel_size > 1 and config.convention.symmetric_padding:
        x = SymmetricPadding2D(kernel_size, name=f"{name}_pad")(x)
        padding = "valid"
    return tf.keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        groups=groups,
        use_bias=False,
        kernel_initializer=he_normal(gain),
        name=name,
    )(x)


def block_convolution(x: tf.Tensor, filters: int, config: ConvConfig, *, strides: int = 1, name: str) -> tf.Tensor:
    """The 3x3 convolution of a block: sign and a binary convolution, or ReLU and a 32-bit one.

    Returns:
        ``(batch, height / strides, width / strides, filters)``, sizes rounded up.
    """
    if not config.binary:
        x = tf.keras.layers.Activation("relu", name=f"{name}_relu")(x)
        return float_convolution(x, filters, 3, config, strides=strides, name=name)
    padding = "same"
    if strides > 1 and config.convention.symmetric_padding:
        # A positive number before the sign pads the binarized map with +1.
        x = SymmetricPadding2D(3, value=config.convention.binary_pad_value, name=f"{name}_pad")(x)
        padding = "valid"
    clips = config.convention.clip_weights
    return lq.layers.QuantConv2D(
        filters,
        3,
        strides=strides,
        padding=padding,
        pad_values=config.convention.binary_pad_value if padding == "same" else 0.0,
        input_quantizer=lq.quantizers.SteSign(clip_value=config.clip_value),
        kernel_quantizer=lq.quantizers.SteSign(clip_value=config.clip_value if clips else None),
        kernel_constraint=lq.constraints.WeightClip(clip_value=config.clip_value) if clips else None,
        use_bias=False,
        kernel_initializer=he_normal(),
        name=name,
    )(x)


def dense_block(x: tf.Tensor, growth_rate: int, config: ConvConfig, *, name: str) -> tf.Tensor:
    """A Dense Block without its concatenation (paper, section 3.1).

    Args:
        x: Features, ``(batch, height, width, channels)``.
        growth_rate: Number of new channels.
        config: The network's convolutions.
        name: Prefix of the layers' names.

    Returns:
        The new channels, ``(batch, height, width, growth_rate)``.
    """
    return block_convolution(batchnorm(x, f"{name}_bn"), growth_rate, config, name=f"{name}_conv")


def concatenate(features: tf.Tensor, new: tf.Tensor, *, name: str) -> tf.Tensor:
    """Appends ``g`` new channels to ``c`` features: ``(batch, height, width, c + g)``."""
    return tf.keras.layers.Concatenate(name=name)([features, new])


def improvement_block(features: tf.Tensor, new: tf.Tensor, config: ConvConfig, *, name: str) -> tf.Tensor:
    """Improves the new channels from all features so far (paper, section 3.1 and Figure 1a).

    Args:
        features: Features before the Dense Block, ``(batch, height, width, c)``.
        new: Channels that the Dense Block computed, ``(batch, height, width, g)``.
        config: The network's convolutions.
        name: Prefix of the layers' names.

    Returns:
        The features followed by the improved channels, ``(batch, height, width, c + g)``.
    """
    x = batchnorm(concatenate(features, new, name=f"{name}_concat"), f"{name}_bn")
    improvement = block_convolution(x, new.shape[-1], config, name=f"{name}_conv")
    return ImprovementMerge(name=f"{name}_merge")([features, new, improvement])


def naive_improvement_block(features: tf.Tensor, new: tf.Tensor, config: ConvConfig, *, name: str) -> tf.Tensor:
    """A residual block over all channels, the paper's naive alternative (supplementary B, Figure 5a).

    The arguments and the shape of the result are those of ``improvement_block``.
    """
    x = concatenate(features, new, name=f"{name}_concat")
    improvement = block_convolution(batchnorm(x, f"{name}_bn"), x.shape[-1], config, name=f"{name}_conv")
    return tf.keras.layers.Add(name=f"{name}_add")([x, improvement])


def transition(
    x: tf.Tensor,
    filters: int,
    groups: int,
    config: ConvConfig,
    *,
    shuffle_groups: int = SHUFFLE_GROUPS,
    pool_padding: str = "valid",
    name: str,
) -> tf.Tensor:
    """Halves the size and changes the number of channels between two stages (paper, sections 3.1 and 3.2).

    Args:
        x: Features, ``(batch, height, width, channels)``.
        filters: Number of channels after the transition.
        groups: Groups of its 1x1 convolution; above 1, a channel shuffle comes first.
        config: The network's convolutions.
        shuffle_groups: Groups of the shuffle, which must divide the channels of ``x``.
        pool_padding: ``"valid"`` drops the last row and column of odd sizes, ``"same"`` keeps them.
        name: Prefix of the layers' names.

    Returns:
        ``(batch, height / 2, width / 2, filters)``.
    """
    x = batchnorm(x, f"{name}_bn")
    x = tf.keras.layers.MaxPooling2D(2, strides=2, padding=pool_padding, name=f"{name}_pool")(x)
    x = tf.keras.layers.Activation("relu", name=f"{name}_relu")(x)
    if groups > 1:
        x = ChannelShuffle(shuffle_groups, name=f"{name}_shuffle")(x)
    return float_convolution(x, filters, 1, config, groups=groups, gain=config.trunk_gain, name=f"{name}_conv")


def residual_block(
    x: tf.Tensor, filters: int, strides: int, config: ConvConfig, *, projection: bool, name: str
) -> tf.Tensor:
    """One binary convolution with a shortcut around it, as in Bi-Real-Net and ResNetE.

    Args:
        x: Features, ``(batch, height, width, channels)``.
        filters: Number of channels after the block.
        strides: 2 to halve the size, or 1.
        config: The network's convolutions.
        projection: Whether a 32-bit 1x1 convolution brings the shortcut to the number of filters.
        name: Prefix of the layers' names.

    Returns:
        ``(batch, height / strides, width / strides, filters)``, sizes rounded up.
    """
    shortcut = x
    if strides > 1:
        # "same" averages only what is there: at even sizes it changes nothing, at odd ones it matches the convolution.
        shortcut = tf.keras.layers.AveragePooling2D(
            strides, strides=strides, padding="same", name=f"{name}_shortcut_pool"
        )(shortcut)
    if projection:
        shortcut = float_convolution(shortcut, filters, 1, config, name=f"{name}_shortcut_conv")
        shortcut = batchnorm(shortcut, f"{name}_shortcut_bn")
    x = block_convolution(x, filters, config, strides=strides, name=f"{name}_conv")
    return tf.keras.layers.Add(name=f"{name}_add")([batchnorm(x, f"{name}_bn"), shortcut])


def stem(x: tf.Tensor, kind: str, config: ConvConfig) -> tf.Tensor:
    """The first, 32-bit layers (paper, section 3.2).

    Args:
        x: Normalized images, ``(batch, height, width, channels)``.
        kind: One of ``STEMS``.
        config: The network's convolutions.

    Returns:
        ``(batch, height / 4, width / 4, 64)``, or ``(batch, height, width, 64)`` with the thumbnail stem.
    """
    gain = config.trunk_gain
    if kind == "thumbnail":
        return float_convolution(x, 64, 3, config, gain=gain, name="stem_conv")
    if kind == "conv7x7":
        x = float_convolution(x, 64, 7, config, strides=2, name="stem_conv")
        return _max_pool(batchnorm_relu(x, "stem", gain=gain), 3, config, name="stem_pool")
    x = float_convolution(x, 32, 3, config, strides=2, name="stem_conv1")
    x = float_convolution(batchnorm_relu(x, "stem1"), 32, 3, config, groups=4, name="stem_conv2")
    x = float_convolution(batchnorm_relu(x, "stem2"), 64, 3, config, groups=8, name="stem_conv3")
    pool_size = config.convention.grouped_stem_pool
    return _max_pool(batchnorm_relu(x, "stem3", gain=gain), pool_size, config, name="stem_pool")


def _max_pool(x: tf.Tensor, size: int, config: ConvConfig, *, name: str) -> tf.Tensor:
    padding = "same"
    if size % 2 and config.convention.symmetric_padding:
        # The map comes from a ReLU: a padded zero is never larger than a pixel beside it.
        x = SymmetricPadding2D(size, name=f"{name}_pad")(x)
        padding = "valid"
    return tf.keras.layers.MaxPooling2D(size, strides=2, padding=padding, name=name)(x)
