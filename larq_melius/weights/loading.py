"""What ``weights=`` accepts, and how it gets into a model."""

import os
from pathlib import Path

import tensorflow as tf

from larq_melius.reference_implementations import AUTHORS, LARQ_ZOO
from larq_melius.weights.keras_files import load_keras
from larq_melius.weights.larq_zoo_files import is_larq_zoo_file, load_larq_zoo
from larq_melius.weights.packed import load_packed
from larq_melius.weights.records import WeightsRecord, find_record, list_records
from larq_melius.weights.store import locate

CLASSIFIER = "predictions"


def check_weights(
    weights: str | os.PathLike[str] | None, model: str | None, stem: str, *, include_top: bool = True
) -> WeightsRecord | None:
    """Looks up what ``weights=`` names, before anything is built.

    Args:
        weights: ``None``, a tag such as ``"imagenet"``, or the path of a file.
        model: Name of the network, or ``None`` if it is no network of the zoo.
        stem: The network's stem.
        include_top: Whether the weights of the classifier are needed.

    Returns:
        The record of a tag; ``None`` for a file or no weights at all.

    Raises:
        ValueError: If it is neither a known tag nor a file.
    """
    if weights is None:
        return None
    record = find_record(model, str(weights), stem, include_top=include_top)
    if record is None and not Path(weights).is_file():
        raise ValueError(_unavailable(str(weights), model, stem))
    return record


def load_weights(
    model: tf.keras.Model, weights: str | os.PathLike[str], record: WeightsRecord | None, *, include_top: bool
) -> None:
    """Loads weights into a model.

    Args:
        model: The model; nothing of it changes unless all weights fit.
        weights: A tag, if ``record`` is given, or the path of a file: packed (``.npz``), Keras' HDF5 or ``.keras``, or
            the Larq Zoo's HDF5.
        record: What ``check_weights`` returned.
        include_top: Whether the model has a classifier; if not, the one in the weights is passed over.

    Raises:
        OSError: If the file of the record cannot be had.
        ValueError: If the weights do not fit the model, or the file is damaged.
    """
    skip = () if include_top else (CLASSIFIER,)
    path = Path(weights) if record is None else locate(record)
    if path.suffix == ".npz":
        load_packed(model, path, skip=skip)
    elif _is_larq_zoo(path):
        load_larq_zoo(path, model, skip_classifier=not include_top)
    else:
        load_keras(model, path, skip=skip)


def convention_of(weights: str | os.PathLike[str] | None, record: WeightsRecord | None) -> str:
    """The padding convention that weights were trained under: that of a file which does not tell is the authors'."""
    if record is not None:
        return record.convention
    return LARQ_ZOO.name if weights is not None and _is_larq_zoo(Path(weights)) else AUTHORS.name


def _is_larq_zoo(path: Path) -> bool:
    if path.suffix not in (".h5", ".hdf5"):
        return False
    return is_larq_zoo_file(path)


def _unavailable(weights: str, model: str | None, stem: str) -> str:
    if os.sep in weights or "." in weights:
        return f"There is no weight file {weights}."
    records = [record for record in list_records() if record.include_top]
    stems = [record.stem for record in records if (record.model, record.tag) == (model, weights)]
    if stems:
        return (
            f"{model} has {weights!r} weights with the {' and the '.join(stems)} stem only, not with the {stem} one: "
            f"pass stem={stems[0]!r} (--stem {stems[0]})."
        )
    if (model, weights, stem) in {(record.model, record.tag, record.stem) for record in list_records()}:
        return (
            f"The {weights!r} weights of {model} are without the classifier: pass include_top=False (--no-top), or "
            "weights=None."
        )
    missing = f"There are no {weights!r} weights for {model or 'a network of your own'}."
    instead = "Pass weights=None (--weights none) to start from random weights, or the path of a file."
    return f"{missing} {instead}" + (_available(model, weights) if model else "")


def _available(model: str, tag: str) -> str:
    """What there is in the place of weights that there are not: others of the network, or networks with the tag."""
    records = [record for record in list_records() if record.include_top]
    if tags := sorted({record.tag for record in records if record.model == model}):
        return f" {model} has {', '.join(map(repr, tags))} weights."
    stems = sorted({(record.model, record.stem) for record in records if record.tag == tag})
    networks = [name if stem == "grouped" else f"{name} (stem={stem!r})" for name, stem in stems]
    return f" Networks with {tag!r} weights: {', '.join(networks)}." if networks else ""
