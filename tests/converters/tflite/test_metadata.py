"""TFLite Metadata: what goes in comes out, and what is not there or damaged is told."""

import contextlib
import hashlib
import io
import random
import re
import tracemalloc
import zipfile

import mutations
import numpy as np
import pytest
import tensorflow as tf

from larq_melius.converters import read_metadata
from larq_melius.converters.tflite.flatbuffer import get_model_metadata, parse, serialize
from larq_melius.converters.tflite.metadata import TFLiteMetadata, add_metadata
from larq_melius.preprocessing import Preprocessing
from larq_melius.runtime import make_interpreter

METADATA = TFLiteMetadata(
    name="net",
    description="A network, größer als keines.",
    input_shape=(6, 5, 3),
    preprocessing=Preprocessing((1.5, 2.5, 3.5), (0.5, 0.25, 128.0), 0.875, "bicubic"),
    labels=("a", "b c", "dé", "e"),
    license="Apache-2.0",
    version="1.2.3",
)


@pytest.fixture(scope="module")
def plain() -> bytes:
    model = tf.keras.Sequential(
        [tf.keras.layers.Conv2D(4, 3, input_shape=(6, 5, 3)), tf.keras.layers.GlobalAveragePooling2D()]
    )
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


def test_round_trip_leaves_the_network_as_it_is(plain):
    data = add_metadata(plain, METADATA)
    assert read_metadata(data) == METADATA
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype("float32")
    np.testing.assert_array_equal(make_interpreter(data).predict(x), make_interpreter(plain).predict(x))


def test_stock_interpreter_runs_the_file(plain):
    interpreter = tf.lite.Interpreter(model_content=add_metadata(plain, METADATA))
    assert interpreter.get_input_details()[0]["name"] == "image"
    runner = interpreter.get_signature_runner()
    (name,) = interpreter.get_signature_list()["serving_default"]["inputs"]
    (output,) = runner(**{name: np.zeros((1, 6, 5, 3), "float32")}).values()
    assert output.shape == (1, 4)


def test_labels_are_a_zip_archive_behind_the_model(plain):
    with zipfile.ZipFile(io.BytesIO(add_metadata(plain, METADATA))) as archive:
        assert archive.read("labels.txt").decode() == "a\nb c\ndé\ne\n"


def test_constants_are_aligned_for_every_runtime(plain):
    data = add_metadata(plain, METADATA)
    buffers = [np.asarray(buffer.data, np.uint8).tobytes() for buffer in parse(data).buffers if buffer.data is not None]
    weights = max(buffers[:-2], key=len)
    assert data.find(weights) % 64 == 0


def test_file_without_metadata(plain):
    assert read_metadata(plain) is None
    assert read_metadata(serialize(parse(plain))) is None


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x00" * 4 + b"TFL3" + b"\xff" * 64, b"PK\x03\x04" + b"0" * 100])
def test_what_is_no_flatbuffer_is_refused(data):
    with pytest.raises(ValueError, match="flatbuffer"):
        read_metadata(data)


def test_truncated_files_give_one_kind_of_error_or_what_is_left(plain):
    data = add_metadata(plain, METADATA)
    for length in range(0, len(data), 97):
        with contextlib.suppress(ValueError):
            read_metadata(data[:length])


def test_missing_label_file_is_told(plain):
    data = add_metadata(plain, METADATA)
    with pytest.raises(ValueError, match="label file"):
        read_metadata(data[: data.rindex(b"PK\x03\x04")])


def test_damaged_metadata_gives_one_kind_of_error_or_what_is_left(plain):
    data = add_metadata(plain, METADATA)
    block = get_model_metadata(parse(data), "TFLITE_METADATA")
    start = data.index(block)
    rng = random.Random(0)
    messages = []
    for _ in range(300):
        damaged = bytearray(data)
        damaged[start + rng.randrange(len(block))] ^= 1 << rng.randrange(8)
        try:
            read_metadata(bytes(damaged))
        except ValueError as error:
            messages.append(str(error))
    assert 0 < len(messages) < 300
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize("own", [b"{", b"[1]", b"\xff", b'{"crop_fraction": "all"}'])
def test_damaged_block_of_our_own(own, plain):
    data = add_metadata(plain, METADATA)
    original = get_model_metadata(parse(data), "LARQ_MELIUS")
    with pytest.raises(ValueError, match=r"damaged|crop_fraction"):
        read_metadata(data.replace(original, own.ljust(len(original))))


def test_a_file_carries_a_hash_of_its_own_contents(plain):
    data = add_metadata(plain, METADATA)
    digest = re.search(rb'"sha256": "([0-9a-f]{64})"', data)
    zeroed = data[: digest.start(1)] + b"0" * 64 + data[digest.end(1) :]
    assert hashlib.sha256(zeroed).hexdigest().encode() == digest[1]
    assert read_metadata(data) == METADATA
    rng = np.random.default_rng(0)
    for position in [*rng.integers(8, len(data), 50), digest.start(1), len(data) - 1]:
        if digest.start() <= position < digest.start(1):
            continue  # without its name there is no hash, and nothing else has changed
        changed = bytearray(data)
        changed[position] ^= 1 << int(rng.integers(8))
        with pytest.raises(ValueError, match="do not match the SHA-256 that it carries"):
            make_interpreter(bytes(changed))
    # What has been changed on purpose carries the hash of what it was no longer.
    make_interpreter(serialize(parse(data)))


def test_labels_that_claim_too_much_are_refused(plain):
    data = io.BytesIO(plain_with_place_for_labels(plain))
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", bytes(1 << 25))
    with pytest.raises(ValueError, match=r"labels\.txt claims 33,554,432 bytes, more than"):
        read_metadata(data.getvalue())


def test_an_input_without_a_shape_is_damage(plain):
    model = parse(add_metadata(plain, METADATA))
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].shape = None
    with pytest.raises(ValueError, match="the TFLite metadata is damaged"):
        read_metadata(serialize(model))


def test_labels_that_claim_too_little_are_not_decompressed(plain):
    data = plain_with_place_for_labels(plain) + mutations.understated(
        {"labels.txt": b"a" * 10}, "labels.txt", mutations.bomb(1 << 28)
    )
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"the label file .*Bad CRC-32"):
            read_metadata(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
    finally:
        tracemalloc.stop()


def plain_with_place_for_labels(plain: bytes) -> bytes:
    """A file that names labels and does not have them, without a hash."""
    return serialize(parse(add_metadata(plain, METADATA)))
