"""Reads HDF5 files that nobody vouches for.

HDF5 can do more than hold arrays: links and storage that point to other files (``/etc/passwd`` read as weights),
datasets put together from other files, filters loaded as plug-ins, arrays of any size that take no room in the file,
texts longer than the file, heaps and trees that never end. Keras writes none of these, so a file that has one is
refused before HDF5 reads it.
"""

import contextlib
import io
import os
import zlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from larq_melius.weights.checks import check_finite, first_line
from larq_melius.weights.hdf5_headers import Header, read_header, text_lengths
from larq_melius.weights.hdf5_loops import SIGNATURE, check_chunks, check_heaps_and_groups

#: Keras splits longer lists of names over several attributes.
_LONGEST_LIST = 1 << 16
#: Groups and datasets of a file; the largest network of this zoo has fewer than 3000.
_MOST_OBJECTS = 100_000
#: Filters that are read: gzip, which never gives more than a chunk is large, and shuffle in front of it.
_FILTERS = ([h5py.h5z.FILTER_DEFLATE], [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE])


@contextlib.contextmanager
def open_hdf5(source: str | os.PathLike[str] | io.BytesIO) -> Iterator[h5py.File]:
    """Opens an HDF5 file for reading, once it is known to hold nothing but arrays and attributes of its own.

    All attributes together are no larger than the file, whoever reads them.

    Args:
        source: Path of the file, or its bytes.

    Yields:
        The file. Whatever h5py raises while it is open becomes a ``ValueError``, too.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is not HDF5, is damaged, or refers to anything outside of itself.
    """
    data = _read(source)
    try:
        check_heaps_and_groups(data)
        with h5py.File(source, "r") as file:
            _check_members(file, data)
            del data
            yield file
    except ValueError:
        raise
    except Exception as error:  # damaged files make h5py raise almost anything
        raise ValueError(f"this is not HDF5, or it is damaged: {first_line(error)}") from error


def layers_root(file: h5py.File) -> h5py.Group:
    """The group of the layers in a file of Keras 2, which is one of several in a file of a whole model."""
    root = file.get("model_weights", file)
    if not isinstance(root, h5py.Group):
        raise ValueError("model_weights is no group of layers")
    return root


def read_names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names as Keras writes it: an attribute, or several numbered ones if it is long.

    Raises:
        ValueError: If there is no such list.
    """
    parts = [attribute]
    if attribute not in group.attrs:
        parts = [f"{attribute}{number}" for number in range(len(group.attrs))]
        parts = [part for part in parts if part in group.attrs]
    if not parts:
        raise ValueError(f"{group.name} has no list of {attribute}, as Keras' weight files have")
    return [name for part in parts for name in _read_list(group, part)]


def read_array(group: h5py.Group, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Reads an array of real numbers.

    Args:
        group: The group it stands in.
        name: Its path from there.
        shape: The shape it must have; any by default.

    Raises:
        ValueError: If there is none of that shape, or not all of its numbers are finite.
    """
    dataset = find_dataset(group, name)
    if shape is not None and dataset.shape != shape:
        raise ValueError(f"{dataset.name} has the shape {dataset.shape}, not {shape}")
    return check_finite(dataset[()], dataset.name)


def find_dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """The dataset of real numbers with that path, which can be read without taking more memory than its numbers.

    Raises:
        ValueError: If there is none.
    """
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype.kind != "f":
        raise ValueError(f"{name} is no array of real numbers")
    _check_storage(dataset)
    return dataset


def check_arrays(file: h5py.File, size: int) -> None:
    """Checks all arrays of a file that something else is to read.

    Args:
        file: The file, as ``open_hdf5`` gives it.
        size: Its size in bytes: no file holds more numbers than that.

    Raises:
        ValueError: If the arrays do not fit in the file, or not all numbers are finite.
    """
    members: list[Any] = []
    file.visititems(lambda name, member: members.append(member))
    for member in members:
        if isinstance(member, h5py.Dataset):
            size -= member.nbytes
            if size < 0:
                raise ValueError(f"{member.name} has {member.size} numbers, for which the file is too small")
            if member.dtype.kind == "f":
                check_finite(find_dataset(file, member.name)[()], member.name)
            else:
                _check_storage(member)


def _read_list(group: h5py.Group, attribute: str) -> list[str]:
    stored = group.attrs.get_id(attribute)
    if len(stored.shape) != 1 or stored.shape[0] * stored.dtype.itemsize > _LONGEST_LIST:
        raise ValueError(f"{attribute} of {group.name} is no list of names")
    return [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[attribute]]


def _read(source: str | os.PathLike[str] | io.BytesIO) -> bytes:
    if isinstance(source, io.BytesIO):
        return source.getvalue()
    with open(source, "rb") as file:
        start = file.read(8)
        return start + file.read() if start == SIGNATURE else start


def _check_members(root: h5py.File, data: bytes) -> None:
    """Raises ``ValueError`` if anything in a file stands elsewhere or twice, or attributes are larger than the file."""
    address = h5py.h5o.get_info(root.id).addr
    seen = {address}
    room = _room_beside_texts(root, read_header(data, address), len(data))
    groups = [root]
    while groups:
        group = groups.pop()
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            link = group.id.links.get_info(name.encode("utf-8", "surrogateescape"))
            if link.type != h5py.h5l.TYPE_HARD:
                raise ValueError(f"{where} is a link to somewhere else, which no weight file needs")
            if link.u in seen or len(seen) >= _MOST_OBJECTS:
                raise ValueError(f"{where} stands there twice, or there are too many objects")
            seen.add(link.u)
            header = read_header(data, link.u)
            if header.chunks is not None:
                check_chunks(data, header.chunks)
            member = group[name]
            if isinstance(member, h5py.Dataset) and (member.is_virtual or member.external):
                raise ValueError(f"{where} is stored in another file")
            room = _room_beside_texts(member, header, room)
            if isinstance(member, h5py.Group):
                groups.append(member)


def _room_beside_texts(member: h5py.Group | h5py.Dataset, header: Header, room: int) -> int:
    """How many bytes of a file are left beside the texts in the attributes of an object."""
    for name in member.attrs:
        attribute = member.attrs.get_id(name)
        kind = attribute.get_type()
        if isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
            count = attribute.get_space().get_simple_extent_npoints()
            room -= sum(text_lengths(header.attributes[name], count))
        elif attribute.dtype.hasobject:
            raise ValueError(f"attribute {name} of {member.name} is neither text nor numbers")
    if room < 0:
        raise ValueError(f"attributes of {member.name} claim more bytes than the file has")
    return room


def _check_storage(dataset: h5py.Dataset) -> None:
    if dataset.dtype.hasobject:
        raise ValueError(f"{dataset.name} is no array of numbers")
    if dataset.chunks is None:
        return
    if any(chunk > size for chunk, size in zip(dataset.chunks, dataset.shape, strict=True)):
        raise ValueError(f"{dataset.name} is stored in pieces larger than itself")
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
    if not filters:
        return
    if filters not in _FILTERS:
        raise ValueError(f"{dataset.name} is compressed by a filter other than gzip")
    whole = int(np.prod(dataset.chunks)) * dataset.dtype.itemsize
    for number in range(dataset.id.get_num_chunks()):
        _, compressed = dataset.id.read_direct_chunk(dataset.id.get_chunk_info(number).chunk_offset)
        # HDF5 itself would go on beyond the chunk's end.
        if len(zlib.decompressobj().decompress(compressed, whole + 1)) > whole:
            raise ValueError(f"{dataset.name} is damaged: a piece of it is larger than it says")
