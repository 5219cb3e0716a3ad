"""Writes a model's weights in the format that the file's name asks for."""

import os
import tempfile
from pathlib import Path

import tensorflow as tf

from larq_melius.files import write_atomically
from larq_melius.weights.packed import save_packed


def save_weights(model: tf.keras.Model, path: str | os.PathLike[str]) -> Path:
    """Writes weights to a packed file (``.npz``), Keras' HDF5 (``.h5``), or the whole model (``.keras``).

    Raises:
        OSError: If the file cannot be written; nothing is left behind then.
        ValueError: If the name ends in none of these.
    """
    path = Path(path)
    if path.suffix == ".npz":
        return save_packed(model, path)
    if path.suffix not in (".h5", ".keras"):
        raise ValueError(f"{path} must end in .npz, .h5 or .keras.")
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / path.name
        (model.save if path.suffix == ".keras" else model.save_weights)(temporary)
        return write_atomically(path, temporary.read_bytes())
