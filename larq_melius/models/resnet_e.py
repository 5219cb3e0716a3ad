"""ResNetE (BinaryDenseNet paper) and Bi-Real-Net, the residual baselines of the paper's Table 2."""

import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from larq_melius.layers import UnitScale
from larq_melius.models import blocks, configs
from larq_melius.models.configs import ResNetEConfig
from larq_melius.models.model_builder import ModelBuilder, Shape
from larq_melius.reference_implementations import ReferenceImplementation

_INPUT_EPSILON = 2e-5
_FILTERS = (64, 128, 256, 512)


def ResNetE(
    num_blocks: Sequence[int] | ResNetEConfig,
    filters: Sequence[int] = _FILTERS,
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int | None = None,
    classifier_activation: Any = "softmax",
    *,
    binary: bool = True,
    clip_value: float | None = None,
    stem: str | None = None,
    convention: str | ReferenceImplementation | None = None,
    name: str | None = None,
) -> tf.keras.Model:
    """Builds a ResNetE: a ResNet with one shortcut around every binary convolution.

    Under the authors' convention, the image first passes through a batch norm of its own.

    Args:
        num_blocks: Blocks of two binary convolutions for each stage, counted as ResNet counts them. Or a
            ``ResNetEConfig``, which holds the whole architecture.
        filters: Channels of each stage; all but the first stage begin by halving the size.
        clip_value: As in ``MeliusNet``. Defaults to the convention's: 1.3 for the authors' and 1.25 for the Larq Zoo's.
        name: Name of the Keras model. Defaults to the name in the config, or ``"resnet_e"``.

    The other arguments and the errors are those of ``MeliusNet``.

    Returns:
        A ``tf.keras.Model`` from normalized images, ``(batch, height, width, channels)``, to ``(batch, classes)``, or
        without the top to the feature map ``(batch, height / 2**n, width / 2**n, filters[-1])`` (sizes rounded up) or
        its pooling, ``(batch, filters[-1])``. With s stages, n is s + 1, or s - 1 with the thumbnail stem.

    Example:
        >>> ResNetE([1, 1], [64, 128], classes=10, stem="thumbnail", input_shape=(32, 32, 3)).output_shape
        (None, 10)
    """
    if isinstance(num_blocks, ResNetEConfig):
        config = num_blocks
        if tuple(filters) != _FILTERS:
            raise ValueError(
                "A ResNetEConfig holds the whole architecture: change it with dataclasses.replace instead of passing "
                "filters beside it."
            )
    else:
        config = ResNetEConfig(num_blocks=num_blocks, filters=filters)
    return resnet_e_builder(config, binary=binary, clip_value=clip_value).build(
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        config.classes if classes is None else classes,
        classifier_activation,
        stem or config.stem,
        convention,
        name or (config.name or "resnet_e").lower(),
    )


def resnet_e_builder(config: ResNetEConfig, *, binary: bool = True, clip_value: float | None = None) -> ModelBuilder:
    """What builds the models of a configuration; ``binary`` and ``clip_value`` are as in ``ResNetE``."""

    def features(image: tf.Tensor, stem: str, convention: ReferenceImplementation) -> tf.Tensor:
        clip = convention.resnet_e_clip if clip_value is None else clip_value
        conv = blocks.ConvConfig(convention, binary=binary, clip_value=clip)
        x = image
        if convention.input_batchnorm:
            x = tf.keras.layers.BatchNormalization(
                momentum=blocks.BATCHNORM_MOMENTUM,
                epsilon=_INPUT_EPSILON,
                gamma_constraint=UnitScale(),
                name="image_bn",
            )(x)
        x = blocks.batchnorm(blocks.stem(x, stem, conv), "stem_output_bn")
        for stage, (count, width) in enumerate(zip(config.num_blocks, config.filters, strict=True), start=1):
            for block in range(1, 2 * count + 1):
                changes_shape = block == 1 and (stage > 1 or width != x.shape[-1])
                x = blocks.residual_block(
                    x,
                    width,
                    2 if block == 1 and stage > 1 else 1,
                    conv,
                    projection=changes_shape,
                    name=f"stage{stage}_block{block}",
                )
        return tf.keras.layers.Activation("relu", name="final_relu")(x)

    return ModelBuilder(config, features)


def ResNetE18(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = "imagenet",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    stem: str = "grouped",
    convention: str | ReferenceImplementation | None = None,
    name: str = "resnete18",
) -> tf.keras.Model:
    """ResNetE18, with one shortcut around every binary convolution (paper, Table 2).

    11.70 million parameters, 3.98 MiB, 1.14e8 operations (1.68e9 binary, 0.88e8 32-bit); 60.6% top-1 on ImageNet in
    the paper.

    ``weights="imagenet"`` with ``stem="conv7x7"`` loads the Larq Zoo's weights, 58.3% top-1. ``MeliusNet`` explains
    the arguments.
    """
    return resnet_e_builder(configs.RESNET_E18).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )


def BiRealNet34(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = "imagenet",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    stem: str = "grouped",
    convention: str | ReferenceImplementation | None = None,
    name: str = "birealnet34",
) -> tf.keras.Model:
    """Bi-Real-Net 34 as the paper's authors trained it, a ResNetE with 34 layers (paper, Tables 2 and 4).

    21.81 million parameters, 5.21 MiB, 1.43e8 operations (3.53e9 binary, 0.88e8 32-bit); 63.7% top-1 on ImageNet in
    the paper.

    There are no public ImageNet weights: pass ``weights=None`` or the path of a file. ``MeliusNet`` explains the
    arguments.
    """
    return resnet_e_builder(configs.BIREALNET34).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )
