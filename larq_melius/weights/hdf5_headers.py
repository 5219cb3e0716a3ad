"""Reads the attributes of HDF5 objects as the bytes that stand in the file.

HDF5 makes room for a text as long as its attribute claims, and only then looks for it: a few damaged bytes take any
memory. It has no function that tells the length beforehand. The layout is that of "HDF5 File Format Specification
Version 3.0", sections III.C and IV.A.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

_ATTRIBUTE, _CONTINUATION, _ATTRIBUTE_INFO = 0x0C, 0x10, 0x15
_UNDEFINED = b"\xff" * 8
#: A text in an attribute: its length, and where it stands.
_TEXT = struct.Struct("<I12x")


def read_attributes(stream: BinaryIO, address: int) -> dict[str, bytes]:
    """Reads the values of an object's attributes, as they stand in the file.

    Args:
        stream: The file, whose addresses take 8 bytes.
        address: Where the object's header stands in it.

    Returns:
        The values by their names. Bytes without meaning may follow a value.

    Raises:
        ValueError: If the header is damaged, or stores attributes in a way that small files of arrays have no use for.
    """
    attributes: dict[str, bytes] = {}
    for kind, shared, message in _messages(stream, address):
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
    return attributes


def text_lengths(value: bytes, count: int) -> list[int]:
    """The lengths in bytes that the first texts of an attribute's value claim.

    Raises:
        ValueError: If the value has fewer texts.
    """
    if len(value) < count * _TEXT.size:
        raise ValueError(f"an attribute has fewer than {count} texts")
    return [length for (length,) in _TEXT.iter_unpack(value[: count * _TEXT.size])]


def _messages(stream: BinaryIO, address: int) -> Iterator[tuple[int, bool, bytes]]:
    """The kind of each message in an object's header, whether it stands elsewhere, and its bytes."""
    start = _read(stream, address, 6)
    if start[:4] == b"OHDR":  # the header of HDF5 1.8 and later, if it is asked for
        flags = start[5]
        first = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        chunks = [(first + width, int.from_bytes(_read(stream, first, width), "little"))]
        layout, margin = struct.Struct("<BHB2x" if flags & 4 else "<BHB"), 4
    else:
        (length,) = struct.unpack("<I", _read(stream, address + 8, 4))
        chunks = [(address + 16, length)]
        layout, margin = struct.Struct("<HHB3x"), 0
    left = stream.seek(0, 2)
    while chunks:
        at, length = chunks.pop()
        left -= max(length, 1)
        if left < 0:  # chunks do not overlap
            raise ValueError("the header of an object is larger than the file")
        chunk = _read(stream, at, length)
        offset = 0
        while offset + layout.size <= length:
            kind, size, flags = layout.unpack_from(chunk, offset)
            offset += layout.size
            if offset + size > length:
                raise ValueError("the header of an object is damaged")
            message = chunk[offset : offset + size]
            offset += size
            if kind == _CONTINUATION:
                # In the later header a chunk has a signature and a checksum around its messages.
                following, room = struct.unpack("<QQ", message[:16])
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


def _read(stream: BinaryIO, address: int, length: int) -> bytes:
    stream.seek(address)
    data = stream.read(length)
    if len(data) != length:
        raise ValueError("the header of an object goes beyond the end of the file")
    return data
