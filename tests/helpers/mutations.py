"""Ways to damage a file: at random, and in the places that matter to its format."""

import functools
import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

Mutation = Callable[[bytes, random.Random], bytes]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    # Half of them in the first kilobytes, where most formats describe themselves.
    for _ in range(rng.choice([1, 1, 4, 64])):
        changed[rng.randrange(min(len(data), 4096) if rng.random() < 0.5 else len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def splice(data: bytes, rng: random.Random) -> bytes:
    start, stop, target = sorted(rng.randrange(len(data)) for _ in range(3))
    return data[:start] + data[stop:target] + data[start:stop] + data[target:]


def overwrite(data: bytes, rng: random.Random) -> bytes:
    length = rng.choice([1, 4, 8, 64])
    at = rng.randrange(max(1, len(data) - length))
    values = [bytes(length), b"\xff" * length, b"\x00\x00\xc0\x7f" * length, rng.randbytes(length)]
    return data[:at] + rng.choice(values)[:length] + data[at + length :]


RANDOM: list[Mutation] = [flip_bits, truncate, splice, overwrite]


def edit_zip(edit: Callable[[dict[str, bytes], random.Random], None]) -> Mutation:
    """A mutation that changes the members of an archive, whose checksums are then right again."""

    def mutate(data: bytes, rng: random.Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        edit(members, rng)
        changed = io.BytesIO()
        with zipfile.ZipFile(changed, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return changed.getvalue()

    return mutate


def swap_members(members: dict[str, bytes], rng: random.Random) -> None:
    first, second = rng.sample(sorted(members), 2)
    members[first], members[second] = members[second], members[first]


def damage_member(members: dict[str, bytes], rng: random.Random) -> None:
    name = rng.choice(sorted(members))
    members[name] = rng.choice(RANDOM)(members[name] or b"x", rng)


def inflate_member(members: dict[str, bytes], rng: random.Random) -> None:
    members[rng.choice(sorted(members))] = bytes(1 << 25)


def rename_member(members: dict[str, bytes], rng: random.Random) -> None:
    name = rng.choice(sorted(members))
    members[rng.choice(["../x", "/etc/x", name * 2, "x"])] = members.pop(name)


@functools.cache
def bomb(size: int) -> bytes:
    """Zeros, compressed as zip archives are."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = compressor.compress(bytes(1 << 24)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return block * (size >> 24) + compressor.flush()


def understate_member(data: bytes, rng: random.Random) -> bytes:
    """Puts two gigabytes in the place of a member, and lets the archive claim as many bytes as the member had."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    return understated(members, name, bomb(1 << 31))


def understated(members: dict[str, bytes], bomb_name: str, compressed: bytes) -> bytes:
    """An archive in which one member decompresses to far more than it claims."""
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, compressed if name == bomb_name else content)
        # What stands in the central directory is what readers go by.
        info = archive.getinfo(bomb_name)
        info.compress_type, info.file_size, info.CRC = zipfile.ZIP_DEFLATED, len(members[bomb_name]), 0
    return changed.getvalue()


ARCHIVES: list[Mutation] = [
    *(edit_zip(edit) for edit in (swap_members, damage_member, inflate_member, rename_member)),
    understate_member,
]

#: What a file may name to have it called, and values that no setting has.
HOSTILE: list[Any] = [
    {"module": "os", "class_name": "function", "config": "abort", "registered_name": "abort"},
    {"class_name": "Lambda", "config": {"name": "x", "function": "abort"}, "module": "keras.layers"},
    {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}},
    *(None, [], {}, "", "x", -1, 0, 1 << 40, float("nan"), 1e308, [[]], True, [1 << 30] * 4),
]


def edit_config(config: Any, rng: random.Random) -> Any:
    """Puts something else in a random place of JSON."""
    places: list[tuple[Any, Any]] = []
    pending = [config]
    while pending:
        item = pending.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else []
        places += [(item, key) for key in keys]
        pending += [item[key] for key in keys]
    if not places:
        return rng.choice(HOSTILE)
    parent, key = rng.choice(places)
    other_parent, other_key = rng.choice(places)
    parent[key] = rng.choice([rng.choice(HOSTILE), json.loads(json.dumps(other_parent[other_key]))])
    return config


def json_edited(text: bytes, rng: random.Random) -> bytes:
    return json.dumps(edit_config(json.loads(text), rng)).encode()


def _config_member(members: dict[str, bytes], rng: random.Random) -> None:
    members["config.json"] = json_edited(members["config.json"], rng)


def _weights_member(members: dict[str, bytes], rng: random.Random) -> None:
    members["model.weights.h5"] = edit_hdf5(members["model.weights.h5"], rng)


def edit_hdf5(data: bytes, rng: random.Random) -> bytes:
    """Replaces an array by one from elsewhere, of another kind or with numbers that are none, or edits the names."""
    stored = io.BytesIO(data)
    with h5py.File(stored, "a") as file:
        datasets: list[str] = []
        file.visititems(lambda name, item: datasets.append(name) if isinstance(item, h5py.Dataset) else None)
        if "model_config" in file.attrs and rng.random() < 0.5:
            file.attrs["model_config"] = json_edited(file.attrs["model_config"].encode(), rng).decode()
            return _closed(file, stored)
        name = rng.choice(datasets)
        array = file[name][()]
        del file[name]
        group, leaf = file.require_group(name.rpartition("/")[0] or "/"), name.rpartition("/")[2]
        match rng.randrange(9):
            case 0:
                group[leaf] = h5py.ExternalLink("/etc/passwd", "/x")
            case 1:
                group[leaf] = h5py.SoftLink("/" + rng.choice(datasets))
            case 2:
                group.create_dataset(leaf, array.shape, "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
            case 3:
                layout = h5py.VirtualLayout(array.shape, "f4")
                if array.shape:
                    layout[:] = h5py.VirtualSource("other.h5", "x", array.shape)
                group.create_virtual_dataset(leaf, layout)
            case 4:
                array = np.array(array, copy=True)
                array.reshape(-1)[rng.randrange(max(1, array.size))] = rng.choice([np.nan, np.inf, -np.inf])
                group[leaf] = array
            case 5:
                group.create_dataset(leaf, (1 << rng.randrange(20, 50),), "f4", chunks=(1,))
            case 6:
                group[leaf] = np.array([b"text"] * 3)
            case 7:
                group.create_group(leaf)[leaf] = h5py.SoftLink(".")
            case 8:
                group[leaf] = file[rng.choice([other for other in datasets if other != name])]
        return _closed(file, stored)


def _closed(file: h5py.File, stored: io.BytesIO) -> bytes:
    file.close()
    return stored.getvalue()


def _nan_member(members: dict[str, bytes], rng: random.Random) -> None:
    name = rng.choice(sorted(members))
    header = members[name][:128]
    numbers = np.frombuffer(members[name][128:], "u1").copy()
    if len(numbers) >= 4:
        numbers[:4] = np.frombuffer(np.float32(np.nan).tobytes(), "u1")
    members[name] = header + numbers.tobytes()


def _shape_member(members: dict[str, bytes], rng: random.Random) -> None:
    name = rng.choice(sorted(members))
    shape = f"({1 << rng.randrange(20, 60)},)"
    text = f"{{'descr': '{rng.choice(['<f4', '|O', '<f8', '|V9999999'])}', 'fortran_order': False, 'shape': {shape}, }}"
    members[name] = b"\x93NUMPY\x01\x00\x80\x00" + text.ljust(127).encode() + b"\n" + members[name][128:]


def nan_in_floats(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) // 4) * 4
    return data[:at] + np.float32(rng.choice([np.nan, np.inf])).tobytes() + data[at + 4 :]


NPZ: list[Mutation] = [*RANDOM, *ARCHIVES, edit_zip(_nan_member), edit_zip(_shape_member)]
HDF5: list[Mutation] = [*RANDOM, edit_hdf5, edit_hdf5]
KERAS: list[Mutation] = [
    *RANDOM,
    *ARCHIVES,
    edit_zip(_config_member),
    edit_zip(_config_member),
    edit_zip(_weights_member),
]
JSON: list[Mutation] = [*RANDOM, json_edited, json_edited]
FLAT: list[Mutation] = [*RANDOM, nan_in_floats]
