"""What ``weights=`` accepts, and how it gets into a model."""

import os
from pathlib import Path

import tensorflow as tf

from larq_melius.weights.packed import load_packed
from larq_melius.weights.records import WeightsRecord, find_record, list_records

CLASSIFIER = "predictions"


def check_weights(weights: str | os.PathLike[str] | None, model: str | None, stem: str) -> WeightsRecord | None:
    """Looks up what ``weights=`` names, before anything is built.

    Args:
        weights: ``None``, a tag such as ``"imagenet"``, or the path of a file.
        model: Name of the network, or ``None`` if it is no network of the zoo.
        stem: The network's stem.

    Returns:
        The record of a tag; ``None`` for a file or no weights at all.

    Raises:
        ValueError: If it is neither a known tag nor a file.
    """
    if weights is None:
        return None
    record = find_record(model, str(weights), stem)
    if record is None and not Path(weights).exists():
        raise ValueError(_unavailable(str(weights), model, stem))
    return record


def load_weights(
    model: tf.keras.Model, weights: str | os.PathLike[str], record: WeightsRecord | None, *, include_top: bool
) -> None:
    """Loads weights into a model.

    Args:
        model: The model.
        weights: A tag, if ``record`` is given, or the path of a packed (``.npz``) or Keras file.
        record: What ``check_weights`` returned.
        include_top: Whether the model has a classifier; if not, the one in the weights is passed over.

    Raises:
        ValueError: If the weights do not fit the model, or the file is damaged.
    """
    skip = () if include_top else (CLASSIFIER,)
    if record is not None:
        load_packed(model, record.read(), skip=skip)
    elif Path(weights).suffix == ".npz":
        load_packed(model, weights, skip=skip)
    else:
        try:
            model.load_weights(str(weights))
        except (OSError, KeyError) as error:
            raise ValueError(f"{weights} is not a weight file that Keras can read: {error}") from error


def _unavailable(weights: str, model: str | None, stem: str) -> str:
    name = model or "a custom configuration"
    if os.sep in weights or "." in weights:
        return f"The weight file {weights} does not exist."
    available = [f"{r.model}(weights={r.tag!r}, stem={r.stem!r})" for r in list_records()]
    return (
        f"There are no {weights!r} weights for {name} with the {stem} stem; available: {', '.join(available)}. "
        "Pass weights=None (--weights none) for random ones, or the path of a weight file."
    )
