"""Binary DenseNet (Bethge et al., 2019), the dense baselines of the paper's Table 2."""

import os
from typing import Any

import tensorflow as tf

from larq_melius.models import configs
from larq_melius.models.meliusnet import meliusnet_builder
from larq_melius.models.model_builder import Shape
from larq_melius.reference_implementations import ReferenceImplementation


def BinaryDenseNet28(
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
    name: str = "binarydensenet28",
) -> tf.keras.Model:
    """Binary DenseNet 28, a MeliusNet22 of the same size without Improvement Blocks (paper, Table 2).

    5.15 million parameters, 4.03 MiB, 2.09e8 operations (3.59e9 binary, 1.53e8 32-bit); 62.6% top-1 on ImageNet in
    the paper.

    ``weights="imagenet"`` with ``stem="conv7x7"`` loads the Larq Zoo's weights, 60.9% top-1. ``MeliusNet`` explains
    the arguments.
    """
    return meliusnet_builder(configs.BINARY_DENSENET28).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )


def BinaryDenseNet37(
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
    name: str = "binarydensenet37",
) -> tf.keras.Model:
    """Binary DenseNet 37, a MeliusNet29 of the same size without Improvement Blocks (paper, Table 2).

    8.73 million parameters, 5.12 MiB, 2.20e8 operations (4.51e9 binary, 1.50e8 32-bit); 64.2% top-1 on ImageNet in
    the paper.

    ``weights="imagenet"`` with ``stem="conv7x7"`` loads the Larq Zoo's weights, 62.9% top-1. ``MeliusNet`` explains
    the arguments.
    """
    return meliusnet_builder(configs.BINARY_DENSENET37).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )


def BinaryDenseNet45(
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
    name: str = "binarydensenet45",
) -> tf.keras.Model:
    """Binary DenseNet 45, the largest of them (BinaryDenseNet; Bethge et al., 2019).

    13.94 million parameters, 7.33 MiB, 2.94e8 operations (6.43e9 binary, 1.94e8 32-bit).

    ``weights="imagenet"`` with ``stem="conv7x7"`` loads the Larq Zoo's weights, 64.6% top-1. ``MeliusNet`` explains
    the arguments.
    """
    return meliusnet_builder(configs.BINARY_DENSENET45).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )
