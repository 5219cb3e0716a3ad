"""What HDF5 files claim, beside what h5py makes of them, and files with which HDF5 would not come to an end."""

import io
import re
import struct
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

from larq_melius.weights.hdf5 import check_arrays, open_hdf5
from larq_melius.weights.hdf5_headers import read_header, text_lengths

#: Of HDF5 before 1.8, as Keras writes it, and of later versions, with and without what they can keep besides.
LAYOUTS: list[dict[str, Any]] = [
    {},
    {"track_order": True},
    {"libver": "latest"},
    {"libver": "v108", "track_order": True},
    {"libver": "v110"},
]


#: How heaps and nodes of trees begin.
SIGNATURES = (b"GCOL", b"HEAP", b"TREE")


def written(layout: dict[str, Any], texts: dict[str, list[str]]) -> io.BytesIO:
    stream = io.BytesIO()
    with h5py.File(stream, "w", **layout) as file:
        group = file.create_group("layers")
        group.create_dataset("kernel", data=np.ones(5, "f4")).attrs["unit"] = "none"
        group.attrs.update({"number": 5, "flag": True, "fixed": np.array([b"a", b"bbb"]), "nothing": h5py.Empty("f4")})
        for name, values in texts.items():
            group.attrs[name] = values
    return stream


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_texts_are_as_long_as_their_attributes_say(layout: dict[str, Any]) -> None:
    texts = {"names": ["a", "bcd", "e" * 5000], "größe": ["äöü", ""], "many": [str(number) for number in range(2000)]}
    stream = written(layout, texts)
    with open_hdf5(stream) as file:
        stored = read_header(stream.getvalue(), h5py.h5o.get_info(file["layers"].id).addr).attributes
        assert stored.keys() == file["layers"].attrs.keys() == {*texts, "number", "flag", "fixed", "nothing"}
        for name, values in texts.items():
            assert text_lengths(stored[name], len(values)) == [len(value.encode()) for value in values]
            assert list(file["layers"].attrs[name]) == values
        assert stored["fixed"].startswith(b"a\0\0bbb")


def test_as_many_attributes_as_a_header_takes() -> None:
    """More than fit in the header's first piece."""
    stream = written({}, {f"names_{number}": ["x" * number] for number in range(500)})
    with open_hdf5(stream) as file:
        stored = read_header(stream.getvalue(), h5py.h5o.get_info(file["layers"].id).addr).attributes
    assert [text_lengths(stored[f"names_{number}"], 1)[0] for number in range(500)] == list(range(500))


def test_what_weight_files_have_no_use_for() -> None:
    with (
        pytest.raises(ValueError, match="too many or too large attributes"),
        open_hdf5(written({"libver": "latest"}, {f"names_{number}": ["x"] for number in range(20)})),
    ):
        pass
    stream = written({}, {})
    with h5py.File(stream, "a") as file:
        file.attrs["reference"] = file["layers"].ref
    with pytest.raises(ValueError, match="reference of / is neither text nor numbers"), open_hdf5(stream):
        pass
    stream = io.BytesIO()
    with h5py.File(stream, "w", userblock_size=512) as file:
        file.attrs["name"] = "x"
    with pytest.raises(ValueError, match="this is not HDF5"), open_hdf5(stream):
        pass


def test_texts_together_claim_no_more_than_the_file() -> None:
    data = bytearray(written({}, {"names": ["x" * 10_000, *"abcdefghij"]}).getvalue())
    # Of a text, the attribute has its length (4 bytes) and where it stands (12).
    first = data.index((10_000).to_bytes(4, "little"))
    for length in (100_000, 0xFFFFFFFF):
        longer = data[:first] + length.to_bytes(4, "little") + data[first + 4 :]
        with (
            pytest.raises(ValueError, match="attributes of /layers claim more bytes than the file has"),
            open_hdf5(io.BytesIO(longer)),
        ):
            pass
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.attrs["name"] = "x" * 10_000
    alone = stream.getvalue().replace((10_000).to_bytes(4, "little"), (100_000).to_bytes(4, "little"), 1)
    with pytest.raises(ValueError, match="attributes of / claim more bytes"), open_hdf5(io.BytesIO(alone)):
        pass
    # One long text in the file, which would be eleven in memory.
    data[first : first + 11 * 16] = data[first : first + 16] * 11
    with h5py.File(io.BytesIO(data)) as file:
        assert sum(map(len, file["layers"].attrs["names"])) == 110_000
    with (
        pytest.raises(ValueError, match="attributes of /layers claim more bytes than the file has"),
        open_hdf5(io.BytesIO(data)),
    ):
        pass


def text_of_no_bytes(data: bytearray) -> None:
    at = data.index(b"GCOL") + 16
    data[at : at + 16] = bytes(16)


def name_after_itself(data: bytearray) -> None:
    heap = data.index(b"HEAP")
    _, unused, place = struct.unpack_from("<QQQ", data, heap + 8)
    struct.pack_into("<Q", data, place + unused, unused)


def node_below_itself(kind: int, key_size: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        for start in nodes(data, kind):
            if data[start + 5]:
                struct.pack_into("<Q", data, start + 24 + key_size, start)

    return change


def node_beside_itself(data: bytearray) -> None:
    for start in nodes(data, 0):
        struct.pack_into("<Q", data, start + 16, start)


def nodes(data: bytearray, kind: int) -> list[int]:
    found = [match.start() for match in re.finditer(b"TREE" + bytes([kind]), data)]
    assert found
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (text_of_no_bytes, "a heap of texts never ends"),
        (name_after_itself, "a heap of names never ends"),
        (node_below_itself(0, 8), "the tree of a group never ends"),
        (node_below_itself(1, 24), "the tree of an array's chunks is damaged"),
        (node_beside_itself, "a row of nodes in a tree never ends"),
    ],
)
def test_what_hdf5_would_follow_for_ever(change: Callable[[bytearray], None], message: str) -> None:
    """HDF5 1.14.6 hangs with them, or takes its whole stack and crashes."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for number in range(300):
            file.create_group(f"layer_{number}").attrs["names"] = ["kernel", "bias"]
        file.create_dataset("kernel", data=np.ones(100, "f4"), chunks=(1,))
    data = bytearray(stream.getvalue())
    with open_hdf5(io.BytesIO(data)) as file:
        check_arrays(file, len(data))
        assert len(file) == 301
    change(data)
    with pytest.raises(ValueError, match=message), open_hdf5(io.BytesIO(data)):
        pass


def test_letters_of_heaps_and_trees_in_arrays_are_none() -> None:
    letters = [signature + bytes([0, level]) + b"kernel" * 9 for signature in SIGNATURES for level in (0, 1)]
    numbers = np.frombuffer(b"".join(letters), "f4")
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["kernel"] = numbers
    with open_hdf5(stream) as file:
        np.testing.assert_array_equal(file["kernel"][()], numbers)
