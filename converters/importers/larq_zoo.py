"""Builds networks of this zoo from the weight files that the Larq Zoo publishes."""

import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from larq_melius.models.registry import find_variant
from larq_melius.reference_implementations import LARQ_ZOO
from larq_melius.weights.larq_zoo_files import describe_larq_zoo_file, load_larq_zoo


def larq_zoo_to_keras(
    source: str | os.PathLike[str],
    model: str,
    *,
    stem: str | None = None,
    include_top: bool | None = None,
    input_shape: tuple[int | None, ...] | None = None,
    classifier_activation: Any = "softmax",
) -> tf.keras.Model:
    """Builds a network of the zoo, in the Larq Zoo's convention, with the weights of a file of the Larq Zoo.

    The result computes what the Larq Zoo's own network computes. In 32-bit arithmetic the two may round differently, so
    that in some images an activation that is almost zero gets the other sign.

    Args:
        source: The file (``.h5``).
        model: Name of the network, such as ``"MeliusNet22"``; the Larq Zoo's ``BinaryResNetE18`` is ``"ResNetE18"``.
        stem: The stem of the network in the file; recognized by default.
        include_top: Whether the network ends in its classifier; by default, it does if the file has one.
        input_shape: Height, width and channels of the image; by default the network's usual size, or any size
            without the top, and the file's channels.
        classifier_activation: Activation of the classifier; ``None`` for logits.

    Returns:
        The network, with as many classes as the file has.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If there is no such network, or the file is damaged or from another network.

    Example:
        >>> network = larq_zoo_to_keras("meliusnet22_weights.h5", "MeliusNet22")  # doctest: +SKIP
    """
    variant = find_variant(model)
    found = describe_larq_zoo_file(Path(source))
    if include_top and found.classes is None:
        raise ValueError(f"{source}: the file holds no classifier; pass include_top=False for the network without it")
    with_top = found.classes is not None if include_top is None else include_top
    size = variant.input_shape[:2] if with_top else (None, None)
    network = variant.function(
        include_top=with_top,
        weights=None,
        input_shape=input_shape or (*size, found.channels),
        classes=found.classes or 1,
        classifier_activation=classifier_activation,
        stem=stem or found.stem,
        convention=LARQ_ZOO.name,
    )
    load_larq_zoo(source, network, skip_classifier=not with_top)
    return network
