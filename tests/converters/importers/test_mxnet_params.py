"""The reader of MXNet's ``.params`` files, on files that MXNet 1.9.1 wrote and on damaged ones.

``python tests/interop/bmxnet_reference.py formats tests/data`` made the files in ``data``.
"""

import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from reference_data import DATA

from larq_melius.converters.importers.mxnet_params import read_params

TYPES = (DATA / "mxnet_types.params").read_bytes()
ARRAY = struct.pack("<Iii2qiii6f", 0xF993FAC9, 0, 2, 2, 3, 1, 0, 0, *range(6))


def params_file(arrays: list[bytes], names: list[bytes]) -> bytes:
    listed = b"".join(struct.pack("<Q", len(name)) + name for name in names)
    return struct.pack("<QQQ", 0x112, 0, len(arrays)) + b"".join(arrays) + struct.pack("<Q", len(names)) + listed


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], dict[str, np.ndarray]]:
    path = tmp_path / "net.params"

    def _read(data: bytes) -> dict[str, np.ndarray]:
        path.write_bytes(data)
        return read_params(path)

    return _read


def test_types() -> None:
    arrays = read_params(DATA / "mxnet_types.params")
    vector = arrays.pop("vector")
    np.testing.assert_array_equal(vector, np.array([-1.5, 2.25, 1e-40], np.float32))
    assert list(arrays) == ["float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool"]
    for name, array in arrays.items():
        assert array.dtype == np.dtype(name)
        assert array.flags.writeable
        np.testing.assert_array_equal(array, np.array([[0, 1, 0], [1, 0, 1]], name))


def test_numpy_shapes() -> None:
    arrays = read_params(str(DATA / "mxnet_numpy_shapes.params"))
    assert {name: array.shape for name, array in arrays.items()} == {"none": (0, 3), "scalar": (), "matrix": (2, 2)}
    assert arrays["scalar"] == 7


def test_first_version_of_the_format(read: Callable[[bytes], dict[str, np.ndarray]]) -> None:
    array = struct.pack("<Ii2qiii6f", 0xF993FAC8, 2, 2, 3, 1, 0, 0, *range(6))
    (name, values), *others = read(params_file([array], ["größe".encode()])).items()
    assert name == "größe"
    assert not others
    np.testing.assert_array_equal(values, np.arange(6, dtype=np.float32).reshape(2, 3))


def test_arrays_of_a_gpu(read: Callable[[bytes], dict[str, np.ndarray]]) -> None:
    array = struct.pack("<IiiqiiIf", 0xF993FAC9, 0, 1, 1, 2, 3, 0, 1.5)
    assert read(params_file([array], [b"a"]))["a"] == 1.5


def test_no_arrays(read: Callable[[bytes], dict[str, np.ndarray]]) -> None:
    assert read(params_file([], [])) == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mxnet_row_sparse", r"array 0 is sparse \(row_sparse\); only dense arrays can be read"),
        ("mxnet_csr", r"array 0 is sparse \(csr\); only dense arrays can be read"),
        ("mxnet_unnamed", r"the file holds 2 arrays without names"),
    ],
)
def test_what_cannot_be_read(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}\.params: {message}$"):
        read_params(DATA / f"{name}.params")


def _array(
    magic: int = 0xF993FAC9, storage: int = 0, shape: tuple[int, ...] = (1,), ndim: int | None = None, dtype: int = 0
) -> bytes:
    ndim = len(shape) if ndim is None else ndim
    return struct.pack(f"<Iii{len(shape)}qiiif", magic, storage, ndim, *shape, 1, 0, dtype, 1.0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an MXNet .params file"),
        (b"PK\3\4" + bytes(100), "not an MXNet .params file"),
        (b"\x12\x01" + bytes(10), "not an MXNet .params file"),
        (struct.pack("<QQQ", 0x112, 0, 2**64 - 1), "claims 18446744073709551615 arrays, which do not fit"),
        (struct.pack("<QQQ", 0x112, 0, 2**40) + bytes(1000), "claims 1099511627776 arrays, which do not fit"),
        (params_file([_array(magic=0xF993FACB)], [b"a"]), "array 0 begins with 0xf993facb"),
        (params_file([_array(magic=2)], [b"a"]), "array 0 begins with 0x2"),
        (params_file([_array(storage=-1)], [b"a"]), "array 0 is empty"),
        (params_file([_array(storage=9)], [b"a"]), "array 0 is of storage type 9"),
        (params_file([_array(ndim=0)], [b"a"]), "array 0 is empty"),
        (params_file([_array(ndim=-1)], [b"a"]), "array 0 is empty"),
        (params_file([_array(ndim=2**31 - 1)], [b"a"]), "claims 2147483647 dimensions"),
        (params_file([_array(shape=(-1,))], [b"a"]), r"impossible shape \(-1,\)"),
        (params_file([_array(shape=(2**40,))], [b"a"]), "needs 4398046511104 more bytes"),
        (params_file([_array(shape=(2**62, 2**62))], [b"a"]), "impossible shape"),
        (params_file([_array(shape=(0, 2**62))], [b"a"]), "impossible shape"),
        (params_file([_array(dtype=12)], [b"a"]), "array 0 has the data type 12"),
        (params_file([_array(dtype=-1)], [b"a"]), "array 0 has the data type -1"),
        (params_file([ARRAY, ARRAY], [b"a"]), "2 arrays, but 1 names"),
        (params_file([ARRAY], [b"a", b"b"]), "1 arrays, but 2 names"),
        (params_file([ARRAY, ARRAY], [b"a", b"a"]), "the name 'a' appears twice"),
        (params_file([ARRAY], [b"\xff"]), "not UTF-8"),
        (params_file([ARRAY], [b"a"]) + b"\0", "1 bytes follow"),
        (
            params_file([ARRAY], [])[:-8] + struct.pack("<QQ", 1, 2**63) + bytes(99),
            "needs 9223372036854775808 more bytes",
        ),
        (params_file([ARRAY], [])[:-8] + struct.pack("<Q", 2**60) + bytes(99), "claims 1152921504606846976 names"),
    ],
)
def test_damaged_files(data: bytes, message: str, read: Callable[[bytes], dict[str, np.ndarray]]) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"net\.params: .*{message}"):
        read(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_every_truncation_is_noticed(read: Callable[[bytes], dict[str, np.ndarray]]) -> None:
    for size in range(len(TYPES)):
        with pytest.raises(ValueError, match=r"net\.params: "):
            read(TYPES[:size])


def _mutate(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        start = rng.randrange(len(changed))
        kind = rng.randrange(4)
        if kind == 0:
            changed[start] = rng.randrange(256)
        elif kind == 1:
            number = rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1])
            changed[start : start + 8] = struct.pack("<Q", number)
        elif kind == 2:
            del changed[start : start + rng.randrange(1, 64)]
        else:
            changed[start:start] = changed[rng.randrange(len(changed)) :][: rng.randrange(1, 64)]
        if not changed:
            break
    return bytes(changed)


def _outcome(read: Callable[[bytes], dict[str, np.ndarray]], data: bytes) -> str | int:
    """The error, or else the number of bytes in the arrays."""
    try:
        return sum(array.nbytes for array in read(data).values())
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("name", ["mxnet_types", "mxnet_numpy_shapes", "mxnet_csr"])
def test_random_damage(name: str, read: Callable[[bytes], dict[str, np.ndarray]]) -> None:
    data, rng = (DATA / f"{name}.params").read_bytes(), random.Random(name)
    refused = 0
    for _ in range(1500):
        damaged = _mutate(data, rng)
        outcome = _outcome(read, damaged)
        if isinstance(outcome, int):
            assert outcome <= len(damaged)
        else:
            refused += 1
            assert "net.params: " in outcome
            assert "\n" not in outcome
    assert refused > 500


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_params(tmp_path / "none.params")
