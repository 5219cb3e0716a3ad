"""The classes of ImageNet, and the decoding of predictions over them."""

import csv
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np


@lru_cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """WordNet id and name of each of the 1000 classes, in the order of the networks' outputs."""
    text = files("larq_melius").joinpath("data", "imagenet_classes.tsv").read_text("utf-8")
    return tuple((synset, name) for synset, name in csv.reader(text.splitlines(), delimiter="\t"))


@lru_cache
def imagenet_names() -> tuple[str, ...]:
    """Name of each of the 1000 classes, in the order of the networks' outputs."""
    return tuple(name for _, name in imagenet_classes())


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Names the most probable ImageNet classes of each prediction.

    The names ship with the package; nothing is downloaded.

    Args:
        preds: Predictions of a network with its top, ``(batch, 1000)``: an array or a tensor.
        top: How many classes to name.

    Returns:
        For each sample, ``top`` tuples of WordNet id, class name and score, the most probable first.

    Raises:
        ValueError: If ``preds`` has another shape, or ``top`` is less than 1.

    Example:
        >>> decode_predictions(np.eye(1, 1000), top=1)
        [[('n01440764', 'tench', 1.0)]]
    """
    preds = np.asarray(preds)
    classes = imagenet_classes()
    if preds.ndim != 2 or preds.shape[1] != len(classes):
        raise ValueError(f"decode_predictions expects predictions of the shape (batch, 1000), got {preds.shape}.")
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}.")
    return [[(*classes[index], float(sample[index])) for index in top_indices(sample, top)] for sample in preds]


def top_indices(scores: np.ndarray, top: int) -> list[int]:
    """Indices of the ``top`` highest scores, the highest first, and the lower index first where scores are equal."""
    return [int(index) for index in np.argsort(-scores, kind="stable")[:top]]
