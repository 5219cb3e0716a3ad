"""Reads MXNet's ``.params`` files without MXNet.

A file is a list of arrays, followed by a list of their names, all little endian::

    u64 0x112, u64 0
    u64 number of arrays, then each array:
        u32 magic 0xF993FACA | 0xF993FAC9 | 0xF993FAC8 (the third, second or first version of the format)
        i32 storage type, 0 for dense (not in the first version)
        i32 number of dimensions, and each as i64
        i32 device type, i32 device number
        i32 data type, then the elements in C order
    u64 number of names, then each name: u64 bytes, the bytes
"""

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from larq_melius.weights.checks import naming_file

_FILE_MAGIC = 0x112
_ARRAY_V1, _ARRAY_V2, _ARRAY_V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DENSE = 0
_DTYPE_NAMES = (
    *("float32", "float64", "float16", "uint8", "int32", "int8"),
    *("int64", "bool", "int16", "uint16", "uint32", "uint64"),
)
_MAX_DIMENSIONS = 32  # NumPy's limit
# Magic and number of dimensions; the length of a name.
_SMALLEST_ARRAY, _SMALLEST_NAME = 8, 8
_MAX_BYTES = 2**62


def read_params(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the arrays of a ``.params`` file.

    Args:
        path: A file that Gluon's ``save_parameters`` or ``export``, ``mx.model.save_checkpoint`` or ``mx.nd.save``
            wrote, whether the arrays were on a GPU or not.

    Returns:
        The arrays by name, in the order of the file, in the machine's byte order, with the shapes and types that
        were saved. In exported files the names begin with ``arg:`` or ``aux:``.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged or not such a file, or if it holds arrays without names, sparse arrays or a type
            that NumPy lacks. Memory is only allocated for what the file is large enough to hold.
    """
    with naming_file(path):
        return _parse(Path(path).read_bytes())


@dataclass
class _Reader:
    """The bytes of a file and how far they have been read."""

    data: bytes
    position: int = 0

    @property
    def remaining(self) -> int:
        return len(self.data) - self.position

    def numbers(self, types: str, what: str) -> tuple[int, ...]:
        """The next little-endian numbers, of the types that ``struct`` abbreviates."""
        start = self.advance(struct.calcsize(f"<{types}"), what)
        return struct.unpack_from(f"<{types}", self.data, start)

    def count(self, what: str, smallest: int) -> int:
        """The next 64-bit count of items that take ``smallest`` bytes or more each."""
        (count,) = self.numbers("Q", f"the number of {what}")
        if count > self.remaining // smallest:
            raise ValueError(f"the file claims {count} {what}, which do not fit in its last {self.remaining} bytes")
        return count

    def advance(self, size: int, what: str) -> int:
        """Skips bytes, and returns the position of the first."""
        if size > self.remaining:
            raise ValueError(f"the file ends within {what}: it needs {size} more bytes, and {self.remaining} are left")
        start = self.position
        self.position += size
        return start


def _parse(data: bytes) -> dict[str, np.ndarray]:
    if len(data) < 16 or struct.unpack_from("<Q", data)[0] != _FILE_MAGIC:
        raise ValueError("this is not an MXNet .params file")
    reader = _Reader(data, position=16)
    arrays = [_read_array(reader, f"array {index}") for index in range(reader.count("arrays", _SMALLEST_ARRAY))]
    names = [_read_name(reader) for _ in range(reader.count("names", _SMALLEST_NAME))]
    if reader.remaining:
        raise ValueError(f"{reader.remaining} bytes follow the end of the list of arrays")
    if arrays and not names:
        raise ValueError(f"the file holds {len(arrays)} arrays without names")
    if len(arrays) != len(names):
        raise ValueError(f"the file holds {len(arrays)} arrays, but {len(names)} names")
    result: dict[str, np.ndarray] = {}
    for name, array in zip(names, arrays, strict=True):
        if name in result:
            raise ValueError(f"the name {name!r} appears twice")
        result[name] = array
    return result


def _read_name(reader: _Reader) -> str:
    (size,) = reader.numbers("Q", "the length of a name")
    start = reader.advance(size, "a name")
    try:
        return reader.data[start : start + size].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("a name is not UTF-8 text") from error


def _read_array(reader: _Reader, what: str) -> np.ndarray:
    (magic,) = reader.numbers("I", what)
    if magic not in (_ARRAY_V1, _ARRAY_V2, _ARRAY_V3):
        raise ValueError(f"{what} begins with {magic:#x}, which no known version of the format does")
    if magic != _ARRAY_V1:
        (storage,) = reader.numbers("i", what)
        if storage != _DENSE:
            kind = {-1: "empty", 1: "sparse (row_sparse)", 2: "sparse (csr)"}.get(storage, f"of storage type {storage}")
            raise ValueError(f"{what} is {kind}; only dense arrays can be read")
    shape = _read_shape(reader, what, scalars=magic == _ARRAY_V3)
    _, _, code = reader.numbers("iii", what)
    if not 0 <= code < len(_DTYPE_NAMES):
        raise ValueError(f"{what} has the data type {code}, which is unknown or not one of NumPy's")
    dtype, size = np.dtype(_DTYPE_NAMES[code]), math.prod(shape)
    if math.prod(max(dimension, 1) for dimension in shape) * dtype.itemsize > _MAX_BYTES:
        raise ValueError(f"{what} claims the impossible shape {shape}")
    start = reader.advance(size * dtype.itemsize, f"{what} of shape {shape}")
    # MXNet takes every byte but 0 as true; a NumPy bool must be 0 or 1.
    stored = np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("<")
    return np.frombuffer(reader.data, stored, size, start).astype(dtype).reshape(shape)


def _read_shape(reader: _Reader, what: str, *, scalars: bool) -> tuple[int, ...]:
    (dimensions,) = reader.numbers("i", what)
    # Without NumPy's shapes, which came with the third version, no dimensions mean no array.
    if dimensions < (0 if scalars else 1):
        raise ValueError(f"{what} is empty: it was saved before it had a shape")
    if dimensions > _MAX_DIMENSIONS:
        raise ValueError(f"{what} claims {dimensions} dimensions, more than NumPy's {_MAX_DIMENSIONS}")
    shape = reader.numbers(f"{dimensions}q", f"the shape of {what}")
    if min(shape, default=0) < 0:
        raise ValueError(f"{what} claims the impossible shape {shape}")
    return shape
