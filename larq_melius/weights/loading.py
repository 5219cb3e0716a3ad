"""How what ``weights=`` names gets into a model."""

import os
from pathlib import Path

import tensorflow as tf

from larq_melius.reference_implementations import AUTHORS, LARQ_ZOO
from larq_melius.weights.keras_files import load_keras
from larq_melius.weights.larq_zoo_files import is_larq_zoo_file, load_larq_zoo
from larq_melius.weights.packed import load_packed
from larq_melius.weights.records import WeightsRecord
from larq_melius.weights.store import locate

CLASSIFIER = "predictions"


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
