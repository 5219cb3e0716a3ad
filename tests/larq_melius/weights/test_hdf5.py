"""Attributes as they stand in HDF5 files, beside what h5py makes of them."""

import io
from typing import Any

import h5py
import numpy as np
import pytest

from larq_melius.weights.hdf5 import open_hdf5
from larq_melius.weights.hdf5_headers import read_attributes, text_lengths

#: Of HDF5 before 1.8, as Keras writes it, and of later versions, with and without what they can keep besides.
LAYOUTS: list[dict[str, Any]] = [
    {},
    {"track_order": True},
    {"libver": "latest"},
    {"libver": "v108", "track_order": True},
    {"libver": "v110"},
]


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
        stored = read_attributes(stream, h5py.h5o.get_info(file["layers"].id).addr)
        assert stored.keys() == file["layers"].attrs.keys() == {*texts, "number", "flag", "fixed", "nothing"}
        for name, values in texts.items():
            assert text_lengths(stored[name], len(values)) == [len(value.encode()) for value in values]
            assert list(file["layers"].attrs[name]) == values
        assert stored["fixed"].startswith(b"a\0\0bbb")


def test_as_many_attributes_as_a_header_takes() -> None:
    """More than fit in the header's first piece."""
    stream = written({}, {f"names_{number}": ["x" * number] for number in range(500)})
    with open_hdf5(stream) as file:
        stored = read_attributes(stream, h5py.h5o.get_info(file["layers"].id).addr)
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
    with pytest.raises(ValueError, match="from its beginning"), open_hdf5(stream):
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
    # One long text in the file, which would be eleven in memory.
    data[first : first + 11 * 16] = data[first : first + 16] * 11
    with h5py.File(io.BytesIO(data)) as file:
        assert sum(map(len, file["layers"].attrs["names"])) == 110_000
    with (
        pytest.raises(ValueError, match="attributes of /layers claim more bytes than the file has"),
        open_hdf5(io.BytesIO(data)),
    ):
        pass
