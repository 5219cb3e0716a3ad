"""The pieces the networks are made of, as functions from tensor to tensor.

Everything follows section 3 of the paper, with the details of the authors' code. ``ReferenceImplementation`` holds what
differs between the implementations that published weights.
"""

from dataclasses import dataclass

import larq as lq
import tensorflow as tf

from larq_melius.layers import ChannelShuffle, ImprovementMerge, SymmetricPadding2D
from larq_melius.reference_implementations import ReferenceImplementation

BATCHNORM_MOMENTUM = 0.9
BATCHNORM_EPSILON = 1e-5
#: Groups of the channel shuffle before a grouped convolution. The paper gives no number; the authors' code takes 16
#: for every network, whatever the groups of the convolution.
SHUFFLE_GROUPS = 16

STEMS = ("grouped", "conv7x7", "thumbnail")


@dataclass(frozen=True)
class ConvConfig:
    """What all convolutions of one network have in common.

    Attributes:
        convention: Padding and pooling convention.
        binary: Whether the convolutions of the blocks are binary; if not, they are 32-bit ones behind a ReLU.
        clip_value: Largest absolute value at which the straight-through estimator passes the gradient of an activation
            (paper, section 3.3) and, if the convention clips them, of a latent weight.
    """

    convention: ReferenceImplementation
    binary: bool = True
    clip_value: float = 1.3


def he_normal() -> tf.keras.initializers.Initializer:
    """Normal initialization by fan-in, as the authors ran it: not truncated, unlike Keras' ``"he_normal"``."""
    return tf.keras.initializers.VarianceScaling(scale=2.0, mode="fan_in", distribution="untruncated_normal")


def batchnorm(x: tf.Tensor, name: str) -> tf.Tensor:
    """Batch normalization with the authors' momentum and epsilon."""
    return tf.keras.layers.BatchNormalization(momentum=BATCHNORM_MOMENTUM, epsilon=BATCHNORM_EPSILON, name=name)(x)


def batchnorm_relu(x: tf.Tensor, name: str) -> tf.Tensor:
    """Batch normalization, then ReLU; the layers are called ``<name>_bn`` and ``<name>_relu``."""
    return tf.keras.layers.Activation("relu", name=f"{name}_relu")(batchnorm(x, f"{name}_bn"))


def float_convolution(
    x: tf.Tensor, filters: int, kernel_size: int, config: ConvConfig, *, strides: int = 1, groups: int = 1, name: str
) -> tf.Tensor:
    """A 32-bit convolution without bias that keeps the size, or halves it with ``strides=2``."""
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
        kernel_initializer=he_normal(),
        name=name,
    )(x)


def block_convolution(x: tf.Tensor, filters: int, config: ConvConfig, *, strides: int = 1, name: str) -> tf.Tensor:
    """The 3x3 convolution of a block: sign and a binary convolution, or ReLU and a 32-bit one."""
    if not config.binary:
        x = tf.keras.layers.Activation("relu", name=f"{name}_relu")(x)
        return float_convolution(x, filters, 3, config, strides=strides, name=name)
    padding = "same"
    if strides > 1 and config.convention.symmetric_padding:
        # A positive number in front of the sign pads the binarized map with +1.
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
    """The new channels that a Dense Block computes from the features ``x`` (paper, section 3.1)."""
    return block_convolution(batchnorm(x, f"{name}_bn"), growth_rate, config, name=f"{name}_conv")


def concatenate(features: tf.Tensor, new: tf.Tensor, *, name: str) -> tf.Tensor:
    """The features with the new channels behind them."""
    return tf.keras.layers.Concatenate(name=name)([features, new])


def improvement_block(features: tf.Tensor, new: tf.Tensor, config: ConvConfig, *, name: str) -> tf.Tensor:
    """Improves the new channels from all features so far, and returns both (paper, section 3.1)."""
    x = batchnorm(concatenate(features, new, name=f"{name}_concat"), f"{name}_bn")
    improvement = block_convolution(x, new.shape[-1], config, name=f"{name}_conv")
    return ImprovementMerge(name=f"{name}_merge")([features, new, improvement])


def naive_improvement_block(features: tf.Tensor, new: tf.Tensor, config: ConvConfig, *, name: str) -> tf.Tensor:
    """A residual block over all channels, which the paper compares with (supplementary B, Figure 5a)."""
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
    """Halves the size and changes the number of channels between two stages (paper, sections 3.1 and 3.2)."""
    x = batchnorm(x, f"{name}_bn")
    x = tf.keras.layers.MaxPooling2D(2, strides=2, padding=pool_padding, name=f"{name}_pool")(x)
    x = tf.keras.layers.Activation("relu", name=f"{name}_relu")(x)
    if groups > 1:
        x = ChannelShuffle(shuffle_groups, name=f"{name}_shuffle")(x)
    return float_convolution(x, filters, 1, config, groups=groups, name=f"{name}_conv")


def residual_block(
    x: tf.Tensor, filters: int, strides: int, config: ConvConfig, *, projection: bool, name: str
) -> tf.Tensor:
    """One binary convolution with a shortcut around it, as in Bi-Real-Net and ResNetE.

    With ``projection``, a 32-bit 1x1 convolution brings the shortcut to the new shape.
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
    """The first, 32-bit layers (paper, section 3.2): 64 channels at a quarter of the size (thumbnail: full size)."""
    if kind == "thumbnail":
        return float_convolution(x, 64, 3, config, name="stem_conv")
    if kind == "conv7x7":
        x = float_convolution(x, 64, 7, config, strides=2, name="stem_conv")
        return _max_pool(batchnorm_relu(x, "stem"), 3, config, name="stem_pool")
    x = float_convolution(x, 32, 3, config, strides=2, name="stem_conv1")
    x = float_convolution(batchnorm_relu(x, "stem1"), 32, 3, config, groups=4, name="stem_conv2")
    x = float_convolution(batchnorm_relu(x, "stem2"), 64, 3, config, groups=8, name="stem_conv3")
    return _max_pool(batchnorm_relu(x, "stem3"), config.convention.grouped_stem_pool, config, name="stem_pool")


def _max_pool(x: tf.Tensor, size: int, config: ConvConfig, *, name: str) -> tf.Tensor:
    padding = "same"
    if size % 2 and config.convention.symmetric_padding:
        # The map comes from a ReLU: a padded zero is never larger than a pixel beside it.
        x = SymmetricPadding2D(size, name=f"{name}_pad")(x)
        padding = "valid"
    return tf.keras.layers.MaxPooling2D(size, strides=2, padding=padding, name=name)(x)
