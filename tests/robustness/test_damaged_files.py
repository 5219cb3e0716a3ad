"""Thousands of damaged files of every format: each is refused in one line, or is none the worse.

No file runs code, crashes or hangs the process, ends in a traceback, takes a gigabyte more than it needs, or gives
weights that are not finite. Other numbers may come of a damaged file only where docs/weights.md says that its format
has no checksum.
"""

import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mutations
import numpy as np
import pytest
import tensorflow as tf
from isolated_loading import LOADERS, Loader, Outcome, small_network

from larq_melius.converters import TFLiteMetadata
from larq_melius.converters.tflite.metadata import add_metadata
from larq_melius.preprocessing import Preprocessing
from larq_melius.weights import save_packed

Files = dict[str, bytes]

#: Formats in which no damage goes unnoticed, as docs/weights.md says.
WITH_CHECKSUM = ("weights.npz", "model.keras", "whole.keras", "net.tflite", "net.pth", "state.data-00000-of-00001")

#: Loads that give other numbers than the whole file: of a file damaged at random, and of one written anew.
DAMAGED, REWRITTEN = "other numbers", "other numbers, written anew"

#: Format: the loader and the mutations.
FORMATS: dict[str, tuple[str, list[mutations.Mutation]]] = {
    "weights.npz": ("weights", mutations.NPZ),
    "model.keras": ("weights", mutations.KERAS),
    "model.h5": ("weights", mutations.HDF5),
    "weights.h5": ("weights", mutations.HDF5),
    "new.weights.h5": ("weights", mutations.HDF5),
    "whole.keras": ("model", mutations.KERAS),
    "whole.h5": ("model", mutations.HDF5),
    "net.tflite": ("tflite", mutations.RANDOM),
    "labels.tflite": ("labels", mutations.RANDOM),
    "net.params": ("params", mutations.FLAT),
    "net.pth": ("torch", [*mutations.RANDOM, *mutations.ARCHIVES]),
    "registry.json": ("registry", mutations.JSON),
    "progress.json": ("checkpoint", mutations.JSON),
    "state.index": ("checkpoint", mutations.RANDOM),
    "state.data-00000-of-00001": ("checkpoint", mutations.FLAT),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory, randomize: Callable[..., None]) -> Files:
    """A whole file of every format."""
    folder = tmp_path_factory.mktemp("originals")
    network = small_network()
    randomize(network)
    save_packed(network, folder / "weights.npz")
    for name in ("model.keras", "model.h5"):
        network.save(folder / name)
    for name in ("weights.h5", "new.weights.h5"):
        network.save_weights(folder / name)
    (folder / "whole.keras").write_bytes((folder / "model.keras").read_bytes())
    (folder / "whole.h5").write_bytes((folder / "model.h5").read_bytes())
    (folder / "net.tflite").write_bytes(flatbuffer())
    (folder / "labels.tflite").write_bytes(flatbuffer(without_hash=True))
    (folder / "net.params").write_bytes(params({name: np.ones((4, 5), "float32") for name in ("a", "b", "c")}))
    (folder / "registry.json").write_text(json.dumps([entry()]))
    progress = {"epoch": 1, "batch": 0, "seconds": 0.0, "log": [], "flips": []}
    (folder / "progress.json").write_text(json.dumps(progress))
    tf.train.Checkpoint(variable=tf.Variable(np.zeros(100, "float32"))).write(str(folder / "state"))
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.save({name: torch.ones(4, 5) for name in "abc"}, folder / "net.pth")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def flatbuffer(*, without_hash: bool = False) -> bytes:
    image = tf.keras.Input((4, 4, 3))
    model = tf.keras.Model(image, tf.keras.layers.Dense(2, "softmax")(tf.keras.layers.Flatten()(image)))
    data = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    metadata = TFLiteMetadata(
        name="net",
        description="",
        input_shape=(4, 4, 3),
        preprocessing=Preprocessing((0.0,) * 3, (1.0,) * 3),
        labels=("a", "b"),
    )
    data = add_metadata(data, metadata)
    return data.replace(b'"sha256"', b'"sha255"') if without_hash else data


def params(arrays: dict[str, np.ndarray]) -> bytes:
    """A file of MXNet's."""
    stream = io.BytesIO()
    stream.write(np.array([0x112, 0, len(arrays)], "<u8").tobytes())
    for array in arrays.values():
        stream.write(np.array([0xF993FAC9], "<u4").tobytes() + np.array([0, array.ndim], "<i4").tobytes())
        stream.write(np.array(array.shape, "<i8").tobytes() + np.array([1, 0, 0], "<i4").tobytes() + array.tobytes())
    stream.write(np.array([len(arrays)], "<u8").tobytes())
    for name in arrays:
        stream.write(np.array([len(name)], "<u8").tobytes() + name.encode())
    return stream.getvalue()


def entry() -> dict[str, Any]:
    return {
        "model": "MeliusNetTiny",
        "tag": "test",
        "stem": "thumbnail",
        "convention": "authors",
        "file": "net.npz",
        "sha256": "0" * 64,
        "input_shape": [8, 8, 1],
        "classes": ["a", "b"],
        "preprocessing": {"mean": [0.0], "std": [1.0]},
        "top1": 0.5,
        "trained_on": "",
        "source": "",
        "license": "",
    }


@pytest.fixture(scope="module")
def loader() -> Iterator[Loader]:
    loader = Loader()
    yield loader
    loader.close()


def damage_and_load(name: str, original: bytes, count: int, loader: Loader, folder: Path) -> None:
    kind, ways = FORMATS[name]
    assert kind in LOADERS
    folder.joinpath(name).write_bytes(original)
    whole = loader.load(kind, folder / name, folder / "ran")
    assert whole.kind == "loaded"
    found: Counter[str] = Counter()
    wrong: list[tuple[str, Outcome]] = []
    for seed in range(count):
        rng = random.Random(f"{name} {seed}")
        way = ways[seed % len(ways)]
        folder.joinpath(name).write_bytes(way(original, rng))
        outcome = loader.load(kind, folder / name, folder / "ran")
        allowed = ("refused", "loaded")
        if outcome.kind == "loaded" and outcome != whole:
            # Who writes a file anew makes its checksum anew.
            damaged = way in mutations.RANDOM
            outcome = Outcome(DAMAGED if damaged else REWRITTEN, outcome.details)
            allowed = (REWRITTEN,) if damaged and name in WITH_CHECKSUM else (DAMAGED, REWRITTEN)
        found[outcome.kind] += 1
        if outcome.kind not in allowed:
            wrong.append((f"{name}, mutation {seed} ({way.__qualname__})", outcome))
    # A row of the table in docs/weights.md.
    numbers = (count, *(found[kind] for kind in ("refused", "loaded", DAMAGED, REWRITTEN)))
    print(f"\n| {name} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
    assert not wrong, "\n".join(f"{what}: {outcome.kind} {outcome.details}" for what, outcome in wrong[:10])
    assert found["refused"] > count / 4 or name == "labels.tflite"


@pytest.mark.parametrize("name", FORMATS)
def test_a_sample_of_damaged_files(name: str, originals: Files, loader: Loader, tmp_path: Path) -> None:
    if name not in originals:
        pytest.skip("needs PyTorch")
    damage_and_load(name, originals[name], 12, loader, tmp_path)


@pytest.mark.parametrize("name", ["model.h5", "weights.h5", "whole.h5"])
def test_a_name_that_claims_gigabytes(name: str, originals: Files, loader: Loader, tmp_path: Path) -> None:
    """HDF5 makes room for a text, and only then looks for it."""
    data = bytearray(originals[name])
    # The lengths of the attribute's name, type and shape in the file; the length of the first text follows.
    at = data.index(b"layer_names\0") + 16 + 24 + 24
    assert int.from_bytes(data[at : at + 4], "little") == len("image")
    data[at : at + 4] = (0xF9040012).to_bytes(4, "little")
    (tmp_path / name).write_bytes(data)
    outcome = loader.load(FORMATS[name][0], tmp_path / name, tmp_path / "ran")
    assert outcome.kind == "refused", outcome
    assert "claim more bytes than the file has" in outcome.details


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_damaged_files(name: str, originals: Files, loader: Loader, tmp_path: Path) -> None:
    if name not in originals:
        pytest.skip("needs PyTorch")
    damage_and_load(name, originals[name], 2000, loader, tmp_path)
