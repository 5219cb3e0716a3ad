"""Reads the headers of HDF5 objects as they stand in the file, for what HDF5 does not tell.

HDF5 makes room for a text as long as its attribute claims, and only then looks for it: a few damaged bytes take any
memory. The layout is that of "HDF5 File Format Specification Version 3.0", section IV.A.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

_LAYOUT, _ATTRIBUTE, _CONTINUATION, _ATTRIBUTE_INFO = 0x08, 0x0C, 0x10, 0x15
_UNDEFINED = b"\xff" * 8
#: A text in an attribute: its length, and where it stands.
_TEXT = struct.Struct("<I12x")


class ChunkTree(NamedTuple):
    """Where the tree of a dataset's chunks begins, and how many numbers name a chunk: one a dimension and one more."""

    address: int
    numbers: int


class Header(NamedTuple):
    """What the header of an object says.

    Attributes:
        attributes: The values of its attributes by their names. Bytes without meaning may follow a value.
        chunks: The chunks of a dataset, if they are kept in a tree of the kind that Keras' files have.
    """

    attributes: dict[str, bytes]
    chunks: ChunkTree | None


def read_header(data: bytes, address: int) -> Header:
    """Reads the header of a group or dataset.

    Args:
        data: The file, whose addresses take 8 bytes.
        address: Where the header stands in it.

    Raises:
        ValueError: If it is damaged, or stores attributes in a way that files of arrays have no use for.
    """
    attributes: dict[str, bytes] = {}
    chunks = None
    for kind, shared, message in _messages(data, address):
        if kind == _ATTRIBUTE:
            if shared:
                raise ValueError("an attribute is shared by several objects")
            name, value = _parse_attribute(message)
            if name in attributes:
                raise ValueError(f"there are two attributes {name}")
            attributes[name] = value
        elif kind == _ATTRIBUTE_INFO:
            heap = 4 if message[1] & 1 else 2
            if message[heap : heap + 8] != _UNDEFINED:
                raise ValueError("an object has too many or too large attributes")
        elif kind == _LAYOUT and message[0] < 4:
            chunks = _parse_layout(message)
    return Header(attributes, chunks)


def text_lengths(value: bytes, count: int) -> list[int]:
    """The lengths in bytes that the first texts of an attribute's value claim.

    Raises:
        ValueError: If the value has fewer texts.
    """
    if len(value) < count * _TEXT.size:
        raise ValueError(f"an attribute has fewer than {count} texts")
    return [length for (length,) in _TEXT.iter_unpack(value[: count * _TEXT.size])]


def _messages(data: bytes, address: int) -> Iterator[tuple[int, bool, bytes]]:
    """The kind of each message in an object's header, whether it stands elsewhere, and its bytes."""
    if data[address : address + 4] == b"OHDR":  # the header of HDF5 1.8 and later, if it is asked for
        flags = data[address + 5]
        first = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        chunks = [(first + width, int.from_bytes(data[first : first + width], "little"))]
        layout, margin = struct.Struct("<BHB2x" if flags & 4 else "<BHB"), 4
    else:
        (length,) = struct.unpack_from("<I", data, address + 8)
        chunks = [(address + 16, length)]
        layout, margin = struct.Struct("<HHB3x"), 0
    left = len(data)
    while chunks:
        offset, length = chunks.pop()
        end = offset + length
        left -= max(length, 1)
        if left < 0 or end > len(data):  # chunks do not overlap
            raise ValueError("the header of an object is larger than the file")
        while offset + layout.size <= end:
            kind, size, flags = layout.unpack_from(data, offset)
            offset += layout.size
            if offset + size > end:
                raise ValueError("the header of an object is damaged")
            message = data[offset : offset + size]
            offset += size
            if kind == _CONTINUATION:
                # In the later header a chunk has a signature and a checksum around its messages.
                following, room = struct.unpack_from("<QQ", message)
                chunks.append((following + margin, max(0, room - 2 * margin)))
            else:
                yield kind, bool(flags & 2), message


def _parse_attribute(message: bytes) -> tuple[str, bytes]:
    version, flags, *sizes = struct.unpack_from("<BBHHH", message)
    if version > 1 and flags & 3:
        raise ValueError("an attribute shares its type with others")
    padded = [(size + 7) // 8 * 8 for size in sizes] if version == 1 else sizes
    start = 9 if version == 3 else 8
    name = message[start : start + sizes[0]].partition(b"\0")[0]
    return name.decode("utf-8", "surrogateescape"), message[start + sum(padded) :]


def _parse_layout(message: bytes) -> ChunkTree | None:
    """The chunks of a layout of the third version and earlier."""
    if message[0] == 3:
        kind, numbers, place = message[1], message[2], 3
    else:
        numbers, kind, place = message[1], message[2], 8
    (address,) = struct.unpack_from("<Q", message, place) if kind == 2 else (0,)
    return ChunkTree(address, numbers) if kind == 2 and message[place : place + 8] != _UNDEFINED else None
