"""ResNetE (BinaryDenseNet paper) and Bi-Real-Net, the residual baselines of the paper's Table 2."""

import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from larq_melius.layers import UnitScale
from larq_melius.models import blocks
from larq_melius.models.model_builder import ModelBuilder, Shape
from larq_melius.reference_implementations import ReferenceImplementation

_INPUT_EPSILON = 2e-5


def ResNetE(
    num_blocks: Sequence[int],
    filters: Sequence[int] = (64, 128, 256, 512),
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    binary: bool = True,
    clip_value: float | None = None,
    stem: str = "grouped",
    convention: str | ReferenceImplementation | None = None,
    name: str = "resnet_e",
    model_name: str | None = None,
    default_shape: tuple[int, int, int] = (224, 224, 3),
) -> tf.keras.Model:
    """Builds a ResNetE: a ResNet with one shortcut around every binary convolution.

    Args:
        num_blocks: Blocks of two binary convolutions for each stage, counted as ResNet counts them.
        filters: Channels of each stage; all but the first stage begin by halving the size.
        clip_value: As in ``MeliusNet``. Defaults to the convention's: 1.3 for the authors' and 1.25 for the Larq Zoo's.

    The other arguments, the result and the errors are those of ``MeliusNet``. The image passes through a batch norm
    of its own under the authors' convention.

    Example:
        >>> ResNetE([1, 1], [64, 128], classes=10, stem="thumbnail", input_shape=(32, 32, 3)).output_shape
        (None, 10)
    """
    if not num_blocks or any(count < 1 for count in num_blocks):
        raise ValueError(f"num_blocks must give at least one block to each stage, got {list(num_blocks)}.")
    if len(filters) != len(num_blocks):
        raise ValueError(f"{len(num_blocks)} stages need as many filters, got {list(filters)}.")

    def features(image: tf.Tensor, convention: ReferenceImplementation) -> tf.Tensor:
        clip = convention.resnet_e_clip if clip_value is None else clip_value
        config = blocks.ConvConfig(convention, binary=binary, clip_value=clip)
        x = image
        if convention.input_batchnorm:
            x = tf.keras.layers.BatchNormalization(
                momentum=blocks.BATCHNORM_MOMENTUM,
                epsilon=_INPUT_EPSILON,
                gamma_constraint=UnitScale(),
                name="image_bn",
            )(x)
        x = blocks.batchnorm(blocks.stem(x, stem, config), "stem_output_bn")
        for stage, (count, width) in enumerate(zip(num_blocks, filters, strict=True), start=1):
            for block in range(1, 2 * count + 1):
                changes_shape = block == 1 and (stage > 1 or width != x.shape[-1])
                x = blocks.residual_block(
                    x,
                    width,
                    2 if block == 1 and stage > 1 else 1,
                    config,
                    projection=changes_shape,
                    name=f"stage{stage}_block{block}",
                )
        return tf.keras.layers.Activation("relu", name="final_relu")(x)

    return ModelBuilder(
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        stem=stem,
        convention=convention,
        name=name,
        model_name=model_name,
        default_shape=default_shape,
    ).build(features)
