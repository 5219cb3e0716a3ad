"""Finds what HDF5 would follow for ever in a damaged file, or until its stack is full.

HDF5 takes the pieces of its heaps and the nodes of its trees as they come: a piece of no bytes is followed by itself,
and a node can be below itself. The layout is that of "HDF5 File Format Specification Version 3.0", section III.
"""

import struct
from collections.abc import Iterator

from larq_melius.weights.hdf5_headers import ChunkTree

#: How a file begins.
SIGNATURE = b"\x89HDF\r\n\x1a\n"
_GROUP_NODE, _CHUNK_NODE = 0, 1
#: Of a node: its kind, its level, the number of its children, and the nodes beside it.
_NODE = struct.Struct("<4xBBHQQ")
#: The "next" of the last piece of a local heap.
_LAST_PIECE = 1


def check_heaps_and_groups(data: bytes) -> None:
    """Checks all heaps and the trees of all groups, wherever they stand.

    Args:
        data: The file.

    Raises:
        ValueError: If it is not HDF5 as Keras writes it, or HDF5 would not come to an end with it.
    """
    if data[:8] != SIGNATURE or len(data) < 16:
        raise ValueError("this is not HDF5")
    if data[13:15] != b"\x08\x08" if data[8] < 2 else data[9:11] != b"\x08\x08":
        raise ValueError("its addresses do not take 8 bytes")
    room = len(data)
    # An array may hold the same letters, but hardly a loop behind them.
    for signature, steps in ((b"GCOL", _global_heap), (b"HEAP", _local_heap), (b"TREE", _group_node)):
        for start in _occurrences(data, signature):
            for _ in steps(data, start):
                room -= 1
                if room < 0:  # they do not overlap, and a step is of more than a byte
                    raise ValueError("there are more heaps and trees than the file has room for")
    nodes = [start for start in _occurrences(data, b"TREE") if start + _NODE.size <= len(data)]
    beside = [_NODE.unpack_from(data, node)[3:] for node in nodes]
    for direction in (0, 1):
        _check_chains({node: neighbors[direction] for node, neighbors in zip(nodes, beside, strict=True)})


def check_chunks(data: bytes, tree: ChunkTree) -> None:
    """Checks the tree of a dataset's chunks.

    Raises:
        ValueError: If it is damaged.
    """
    room = len(data)
    pending = [(tree.address, 256)]
    while pending:
        address, above = pending.pop()
        room -= _NODE.size
        if room < 0 or data[address : address + 4] != b"TREE":
            raise ValueError("the tree of an array's chunks is damaged")
        kind, level, children, *_ = _NODE.unpack_from(data, address)
        if kind != _CHUNK_NODE or level >= above:
            raise ValueError("the tree of an array's chunks is damaged")
        if level:
            pending += [(child, level) for child in _children(data, address, children, 8 + 8 * tree.numbers)]


def _occurrences(data: bytes, signature: bytes) -> Iterator[int]:
    start = data.find(signature)
    while start >= 0:
        yield start
        start = data.find(signature, start + 1)


def _global_heap(data: bytes, start: int) -> Iterator[None]:
    """Steps over the texts of a heap for the whole file."""
    if start + 16 > len(data):
        return
    (size,) = struct.unpack_from("<Q", data, start + 8)
    offset, end = start + 16, min(start + size, len(data))
    while offset + 16 <= end:
        number, length = struct.unpack_from("<H6xQ", data, offset)
        step = 16 + (length + 7) // 8 * 8 if number else length
        if not 0 < step < 1 << 64:
            raise ValueError("a heap of texts never ends")
        offset += step
        yield


def _local_heap(data: bytes, start: int) -> Iterator[None]:
    """Steps over the unused pieces of a group's heap of names."""
    if start + 32 > len(data):
        return
    size, piece, place = struct.unpack_from("<QQQ", data, start + 8)
    seen = set()
    while piece != _LAST_PIECE and piece + 16 <= size and place + piece + 16 <= len(data):
        if piece in seen:
            raise ValueError("a heap of names never ends")
        seen.add(piece)
        (piece,) = struct.unpack_from("<Q", data, place + piece)
        yield


def _group_node(data: bytes, start: int) -> Iterator[None]:
    """Steps over the children of a node in a group's tree, unless they are groups' entries."""
    if start + _NODE.size > len(data):
        return
    kind, level, children, *_ = _NODE.unpack_from(data, start)
    if kind != _GROUP_NODE or not level:
        return
    for child in _children(data, start, children, 8):
        if data[child : child + 4] == b"TREE" and data[child + 5] >= level:
            raise ValueError("the tree of a group never ends")
        yield


def _check_chains(following: dict[int, int]) -> None:
    """Raises ``ValueError`` if a chain of nodes, of which each has another beside it, comes back to one of them."""
    ended: set[int] = set()
    for first in following:
        chain = set()
        node = first
        while node in following and node not in ended:
            if node in chain:
                raise ValueError("a row of nodes in a tree never ends")
            chain.add(node)
            node = following[node]
        ended |= chain


def _children(data: bytes, start: int, count: int, key_size: int) -> Iterator[int]:
    """The addresses of a node's children, with a key before each."""
    for number in range(count):
        place = start + _NODE.size + key_size + number * (key_size + 8)
        if place + 8 > len(data):
            return
        yield from struct.unpack_from("<Q", data, place)
