"""A compact weight file: one bit per binary weight, float32 for everything else.

The file is a NumPy ``.npz`` archive with one array per variable, under ``<layer>/<variable>``. The kernel of a binary
convolution is stored as its signs, eight to a byte, under ``<layer>/<variable>.bits``. The network computes the same
from it, but training cannot go on from it: the latent weights behind the signs are gone.
"""

import contextlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from larq_melius.files import write_atomically
from larq_melius.weights.checks import check_finite, first_line, naming_file, read_member

_BITS = ".bits"
#: Bytes in front of an array's numbers.
_LONGEST_HEADER = 1 << 12
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
    expected = {
        name + _BITS if binary else name: (variable, binary) for name, (variable, binary) in _variables(model).items()
    }
    with _opened(source, where) as archive:
        names = _members(archive, where)
        missing = next((name for name in expected if name not in names), None)
        if missing is not None:
            raise ValueError(
                f"{where} holds no weights for {missing.removesuffix(_BITS)}: they belong to another network."
            )
        left_over = [name for name in names if name not in expected and name.rpartition("/")[0] not in skip]
        if left_over:
            raise ValueError(f"{where} holds weights for {left_over[0]}, which the network does not have.")
        values = []
        for key, (variable, binary) in expected.items():
            name = key.removesuffix(_BITS)
            array = _read(archive, names[key], 8 * int(np.prod(variable.shape)), where)
            _check(variable, array, binary, name, where)
            values.append((variable, array if binary else _finite(array, variable, name, where), binary))
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


def _finite(array: np.ndarray, variable: tf.Variable, name: str, where: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        array = array.astype(variable.dtype.as_numpy_dtype)
    with naming_file(where):
        return check_finite(array, name)


@contextlib.contextmanager
def _opened(source: str | os.PathLike[str] | bytes, where: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            yield archive
    except (FileNotFoundError, ValueError):
        raise
    except Exception as error:  # damaged archives make zipfile raise almost anything
        raise _damaged(where, _reason(source, error)) from error


def _reason(source: str | os.PathLike[str] | bytes, error: Exception) -> str:
    if isinstance(error, zipfile.BadZipFile):
        beginning = source[:6] if isinstance(source, bytes) else Path(source).read_bytes()[:6]
        if beginning == b"\x93NUMPY":
            return "it is a single array, or a pickle, and no archive"
    return first_line(error)


def _members(archive: zipfile.ZipFile, where: str) -> dict[str, zipfile.ZipInfo]:
    """The arrays of an archive by name."""
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    if len(members) != len(archive.infolist()):
        raise _damaged(where, "a name stands there twice")
    return members


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int, where: str) -> np.ndarray:
    """Reads an array of at most ``most`` bytes; nothing is set aside for what a file merely claims to hold."""
    if member.file_size > most + _LONGEST_HEADER:
        raise _damaged(where, f"{member.filename} claims {member.file_size:,} bytes")
    try:
        stream = io.BytesIO(read_member(archive, member, most + _LONGEST_HEADER))
        numpy_format: Any = np.lib.format
        read_header = {(1, 0): numpy_format.read_array_header_1_0, (2, 0): numpy_format.read_array_header_2_0}
        shape, fortran, dtype = read_header[numpy_format.read_magic(stream)](stream)
        if dtype.hasobject:
            raise ValueError("pickles are not loaded")
        # More than its header says, or less, makes NumPy raise, too.
        return np.frombuffer(stream.read(), dtype).reshape(shape, order="F" if fortran else "C")
    except Exception as error:  # NumPy's headers are Python, and lead to errors of many kinds
        raise _damaged(where, first_line(error)) from error


def _damaged(where: str, reason: str) -> ValueError:
    return ValueError(f"{where} is not a packed weight file, or it is damaged: {reason}")


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
