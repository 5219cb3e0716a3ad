"""TFLite Metadata: what a flatbuffer says about its input, its output and its labels.

Android's and MediaPipe's tools and Netron read it (https://ai.google.dev/edge/litert/models/metadata). It is a
flatbuffer of its own inside the model's, by the schema ``metadata_schema.fbs``; the labels are files in a zip archive
behind the model. Nothing maintained and light writes it, so this module does, in the handful of tables an image
classifier needs. What the schema has no place for (crop and interpolation) stands in a second block, as JSON.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from larq_melius.converters.tflite import flatbuffer as fb
from larq_melius.converters.tflite.flatbuffer_tables import Int8, TableReader, TableWriter, UInt32, Value
from larq_melius.preprocessing import Preprocessing

_METADATA_NAME = "TFLITE_METADATA"
_OWN_NAME = "LARQ_MELIUS"
_IDENTIFIER = b"M001"
_MIN_PARSER_VERSION = "1.0.0"
_LABELS_FILE = "labels.txt"

# Members of the schema's enumerations and unions.
_LABELS_OF_AXIS = 2
_COLOR_SPACES = {3: 1, 1: 2}
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2
_NORMALIZATION_OPTIONS = 1


@dataclass(frozen=True)
class TFLiteMetadata:
    """What a file says about itself.

    Attributes:
        name: Name of the network.
        description: What the network does, for people.
        input_shape: Height, width and channels of the image.
        preprocessing: How an image becomes the input.
        labels: Names of the classes in the order of the outputs; empty if the file names none.
        license: SPDX identifier, or empty.
        version: Version of the software that wrote the file.
    """

    name: str
    description: str
    input_shape: tuple[int, int, int]
    preprocessing: Preprocessing
    labels: tuple[str, ...] = ()
    license: str = ""
    version: str = ""


def add_metadata(data: bytes, metadata: TFLiteMetadata) -> bytes:
    """Writes metadata and labels into a TFLite flatbuffer, which stays as runnable as it was."""
    model = fb.parse(data)
    fb.name_tensors(model, inputs="image", outputs="predictions")
    fb.add_model_metadata(model, _METADATA_NAME, _encode(metadata))
    own = {
        "crop_fraction": metadata.preprocessing.crop_fraction,
        "interpolation": metadata.preprocessing.interpolation,
    }
    fb.add_model_metadata(model, _OWN_NAME, json.dumps(own).encode())
    data = fb.serialize(model)
    return _append_file(data, _LABELS_FILE, "\n".join(metadata.labels) + "\n") if metadata.labels else data


def read_metadata(data: bytes) -> TFLiteMetadata | None:
    """Reads the metadata of an image classifier, by whichever tool it was written.

    Returns:
        The metadata, or ``None`` if the file has none or it does not describe one image as input.

    Raises:
        ValueError: If the bytes are not a TFLite flatbuffer, or the metadata is damaged.
    """
    model = fb.parse(data)
    encoded = fb.get_model_metadata(model, _METADATA_NAME)
    if encoded is None:
        return None
    graph = model.subgraphs[0]
    shape = tuple(int(size) for size in graph.tensors[graph.inputs[0]].shape)
    if encoded[4:8] != _IDENTIFIER:
        raise ValueError("the TFLite metadata is damaged")
    own = json.loads(fb.get_model_metadata(model, _OWN_NAME) or b"{}")
    root = TableReader.root(encoded)
    subgraph = next(root.tables(3), None)
    image = next(subgraph.tables(2), None) if subgraph else None
    scores = next(subgraph.tables(3), None) if subgraph else None
    normalization = _normalization(image) if image else None
    if normalization is None or len(shape) != 4:
        return None
    mean, std = normalization
    channels = shape[3]
    return TFLiteMetadata(
        name=root.text(0),
        description=root.text(1),
        input_shape=(shape[1], shape[2], channels),
        preprocessing=Preprocessing(
            mean=_per_channel(mean, channels),
            std=_per_channel(std, channels),
            crop_fraction=own.get("crop_fraction", 1.0),
            interpolation=own.get("interpolation", "bilinear"),
        ),
        labels=_labels(data, scores) if scores else (),
        license=root.text(5),
        version=root.text(2),
    )


def _per_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    # One number stands for all channels.
    values = tuple(values) * channels if len(values) == 1 else tuple(values)
    if len(values) != channels:
        raise ValueError(f"the TFLite metadata normalizes {len(values)} channels, but the input has {channels}")
    return values


def _normalization(image: TableReader) -> tuple[list[float], list[float]] | None:
    for unit in image.tables(4):
        if unit.byte(0) == _NORMALIZATION_OPTIONS:
            options = unit.table(1)
            return (options.floats(0), options.floats(1)) if options else None
    return None


def _labels(data: bytes, scores: TableReader) -> tuple[str, ...]:
    for file in scores.tables(6):
        if file.byte(2) == _LABELS_OF_AXIS:
            try:
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    return tuple(archive.read(file.text(0)).decode("utf-8").splitlines())
            except (zipfile.BadZipFile, KeyError) as error:
                raise ValueError(f"the label file of the TFLite metadata is missing: {error}") from error
    return ()


def _append_file(data: bytes, name: str, text: str) -> bytes:
    """Appends a zip archive; flatbuffers are read from the front and zip archives from the back."""
    buffer = io.BytesIO(data)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        # A fixed date makes the same model the same bytes.
        archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


def _encode(metadata: TFLiteMetadata) -> bytes:
    writer = TableWriter()
    height, width, channels = metadata.input_shape
    mean, std = metadata.preprocessing.mean, metadata.preprocessing.std
    size = writer.table({0: UInt32(width), 1: UInt32(height)})
    properties = writer.table({0: Int8(_COLOR_SPACES.get(channels, 0)), 1: size})
    options = writer.table({0: writer.floats(mean), 1: writer.floats(std)})
    statistics = {
        0: writer.floats([(255 - m) / s for m, s in zip(mean, std, strict=True)]),
        1: writer.floats([-m / s for m, s in zip(mean, std, strict=True)]),
    }
    image: dict[int, Value] = {
        0: writer.text("image"),
        1: writer.text(f"Image of {height}x{width} pixels, {channels} channels, normalized from 0..255."),
        3: writer.table({0: Int8(_IMAGE_PROPERTIES), 1: properties}),
        4: writer.tables([writer.table({0: Int8(_NORMALIZATION_OPTIONS), 1: options})]),
        5: writer.table(statistics),
    }
    outputs: dict[int, Value] = {
        0: writer.text("predictions"),
        1: writer.text("One score per class."),
        3: writer.table({0: Int8(_FEATURE_PROPERTIES), 1: writer.table({})}),
    }
    if metadata.labels:
        labels: dict[int, Value] = {
            0: writer.text(_LABELS_FILE),
            1: writer.text("Names of the classes, one a line."),
            2: Int8(_LABELS_OF_AXIS),
        }
        outputs[6] = writer.tables([writer.table(labels)])
    subgraph = writer.table({2: writer.tables([writer.table(image)]), 3: writer.tables([writer.table(outputs)])})
    root: dict[int, Value] = {
        0: writer.text(metadata.name),
        1: writer.text(metadata.description),
        2: writer.text(metadata.version),
        3: writer.tables([subgraph]),
        5: writer.text(metadata.license),
        7: writer.text(_MIN_PARSER_VERSION),
    }
    return writer.finish(writer.table(root), _IDENTIFIER)
