"""A compact weight file: one bit per binary weight, float32 for everything else.

The file is a NumPy ``.npz`` archive with one array per variable, under ``<layer>/<variable>``. The kernel of a binary
convolution is stored as its signs, eight to a byte, under ``<layer>/<variable>.bits``. The network computes the same
from it, but training cannot go on from it: the latent weights behind the signs are gone.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from larq_melius.files import write_atomically

_BITS = ".bits"
#: The eight signs of each byte: one look-up is several times as fast as unpacking and choosing.
_SIGNS = np.unpackbits(np.arange(256, dtype="uint8")[:, None], axis=1).astype("float32") * 2 - 1


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
        values.append((variable, stored.pop(key), binary))
        _check(*values[-1], name, where)
    left_over = [name for name in stored if name.rpartition("/")[0] not in skip]
    if left_over:
        raise ValueError(f"{where} holds weights for {left_over[0]}, which the network does not have.")
    # One kernel at a time: all of them unpacked at once take the memory of the float weights once more.
    for variable, array, binary in values:
        variable.assign(_unpack(array, tuple(variable.shape)) if binary else array)


def _unpack(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return _SIGNS.take(array, axis=0).reshape(-1)[: int(np.prod(shape))].reshape(shape)


def _check(variable: tf.Variable, array: np.ndarray, binary: bool, name: str, where: str) -> None:
    shape = tuple(variable.shape)
    if not binary:
        if array.shape != shape:
            raise ValueError(f"{where}: {name} has the shape {array.shape}, but the network expects {shape}.")
        if array.dtype.kind != "f":
            raise ValueError(f"{where}: {name} holds {array.dtype}, but the network expects numbers of float32.")
        return
    count = int(np.prod(shape))
    if array.dtype != np.uint8 or array.shape != ((count + 7) // 8,):
        raise ValueError(f"{where}: {name} is not {count} bits, as the network expects for {shape}.")


def _read(source: str | os.PathLike[str] | bytes, where: str) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(source) if isinstance(source, bytes) else source, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged archives make zipfile and NumPy raise almost anything
        raise ValueError(f"{where} is not a packed weight file, or it is damaged: {error}") from error


def _variables(model: tf.keras.Model) -> dict[str, tuple[Any, bool]]:
    """The model's variables by ``<layer>/<variable>``, and whether each is a binary kernel.

    Layers of a model within the model are called ``<model>/<layer>``.

    Raises:
        ValueError: If two variables share a name.
    """
    variables = dict(_named_variables(model))
    if len(variables) != len(model.weights):
        raise ValueError(f"The weights of {model.name} cannot be told apart by the names of layers and variables.")
    return variables


def _named_variables(model: tf.keras.Model, prefix: str = "") -> Iterator[tuple[str, tuple[Any, bool]]]:
    for layer in model.layers:
        name = f"{prefix}{layer.name}"
        if isinstance(layer, tf.keras.Model):
            yield from _named_variables(layer, f"{name}/")
            continue
        # Other quantizers make of a weight something else than of its sign.
        binary = isinstance(layer, lq.layers.QuantConv2D) and isinstance(layer.kernel_quantizer, lq.quantizers.SteSign)
        for variable in layer.weights:
            short_name = variable.name.rpartition("/")[2].removesuffix(":0")
            yield f"{name}/{short_name}", (variable, binary and short_name == "kernel")
