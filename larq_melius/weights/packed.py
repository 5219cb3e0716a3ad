"""A compact weight file: one bit per binary weight, float32 for everything else.

The file is a NumPy ``.npz`` archive with one array per variable, under ``<layer>/<variable>``. The kernel of a binary
convolution is stored as its signs, eight to a byte, under ``<layer>/<variable>.bits``. The network computes the same
from it, but training cannot go on from it: the latent weights behind the signs are gone.
"""

import io
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from larq_melius.files import write_atomically

_BITS = ".bits"


def save_packed(model: tf.keras.Model, path: str | os.PathLike[str]) -> Path:
    """Writes a model's weights to a packed file.

    Raises:
        OSError: If the file cannot be written; nothing is left behind then.
    """
    arrays = {}
    for name, (variable, binary) in _variables(model).items():
        value = variable.numpy()
        if binary:
            arrays[name + _BITS] = np.packbits(value.ravel() >= 0)
        else:
            arrays[name] = value.astype("float32")
    archive = io.BytesIO()
    np.savez_compressed(archive, **arrays)
    return write_atomically(path, archive.getvalue())


def load_packed(model: tf.keras.Model, source: str | os.PathLike[str] | bytes, *, skip: tuple[str, ...] = ()) -> None:
    """Sets a model's weights from a packed file.

    Args:
        model: The model; nothing of it changes unless everything fits.
        source: Path of the file, or its bytes.
        skip: Names of layers that may be in the file and not in the model.

    Raises:
        ValueError: If the file is damaged, or its variables are not those of the model.
    """
    where = "the given bytes" if isinstance(source, bytes) else str(source)
    stored = _read(source, where)
    values = []
    for name, (variable, binary) in _variables(model).items():
        key = name + _BITS if binary else name
        if key not in stored:
            raise ValueError(f"{where} holds no weights for {name}: they belong to another network.")
        values.append((variable, _unpack(stored.pop(key), variable, binary, name, where)))
    left_over = [name for name in stored if name.rpartition("/")[0] not in skip]
    if left_over:
        raise ValueError(f"{where} holds weights for {left_over[0]}, which the network does not have.")
    for variable, value in values:
        variable.assign(value)


def _unpack(array: np.ndarray, variable: tf.Variable, binary: bool, name: str, where: str) -> np.ndarray:
    shape = tuple(variable.shape)
    if not binary:
        if array.shape != shape:
            raise ValueError(f"{where}: {name} has the shape {array.shape}, but the network expects {shape}.")
        return array
    count = int(np.prod(shape))
    if array.dtype != np.uint8 or array.shape != ((count + 7) // 8,):
        raise ValueError(f"{where}: {name} is not {count} bits, as the network expects for {shape}.")
    return np.where(np.unpackbits(array, count=count).reshape(shape), 1.0, -1.0)


def _read(source: str | os.PathLike[str] | bytes, where: str) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(source) if isinstance(source, bytes) else source, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise
    except (OSError, ValueError, AttributeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{where} is not a packed weight file, or it is damaged: {error}") from error


def _variables(model: tf.keras.Model) -> dict[str, tuple[Any, bool]]:
    """The model's variables by ``<layer>/<variable>``, and whether each is a binary kernel."""
    variables = {}
    for layer in model.layers:
        binary = isinstance(layer, lq.layers.QuantConv2D) and layer.kernel_quantizer is not None
        for variable in layer.weights:
            short_name = variable.name.rpartition("/")[2].removesuffix(":0")
            variables[f"{layer.name}/{short_name}"] = (variable, binary and short_name == "kernel")
    return variables
