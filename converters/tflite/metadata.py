"""TFLite Metadata: what a flatbuffer says about its input, its output and its labels.

Android's and MediaPipe's tools and Netron read it (https://ai.google.dev/edge/litert/models/metadata). It is a
flatbuffer of its own inside the model's; the labels are a file in a zip archive behind the model. Of maintained
packages only mediapipe has the schema's generated code, and it brings OpenCV, Matplotlib and an audio library along, so
``metadata_schema`` names the few tables that an image classifier needs. What the schema has no field for (crop and
interpolation) goes into a second block, as JSON.
"""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from larq_melius.content_hash import UNSEALED, seal
from larq_melius.converters.tflite import flatbuffer as fb
from larq_melius.converters.tflite.flatbuffer_tables import Int8, TableReader, TableWriter, UInt32, Value
from larq_melius.converters.tflite.metadata_schema import (
    FILE_IDENTIFIER,
    AssociatedFileField,
    AssociatedFileType,
    ColorSpaceType,
    ContentField,
    ContentProperties,
    ImagePropertiesField,
    ImageSizeField,
    ModelMetadataField,
    NormalizationOptionsField,
    ProcessUnitField,
    ProcessUnitOptions,
    StatsField,
    SubGraphMetadataField,
    TensorMetadataField,
)
from larq_melius.preprocessing import Preprocessing
from larq_melius.weights.checks import read_member

_METADATA_NAME = "TFLITE_METADATA"
_OWN_NAME = "LARQ_MELIUS"
_MIN_PARSER_VERSION = "1.0.0"
_LABELS_FILE = "labels.txt"
#: Bytes of the labels; ImageNet's take 10 kB.
_LONGEST_LABELS = 1 << 22

_COLOR_SPACES = {1: ColorSpaceType.GRAYSCALE, 3: ColorSpaceType.RGB}


@dataclass(frozen=True)
class TFLiteMetadata:
    """What a file says about its network.

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
    """Writes metadata, labels and a hash of the result into a TFLite flatbuffer, whose network stays the same."""
    model = fb.parse(data)
    fb.name_tensors(model, inputs="image", outputs="predictions")
    fb.add_model_metadata(model, _METADATA_NAME, _encode(metadata))
    own = {
        "crop_fraction": metadata.preprocessing.crop_fraction,
        "interpolation": metadata.preprocessing.interpolation,
        "sha256": UNSEALED,
    }
    fb.add_model_metadata(model, _OWN_NAME, json.dumps(own).encode())
    data = fb.serialize(model)
    if metadata.labels:
        data = _append_file(data, _LABELS_FILE, "\n".join(metadata.labels) + "\n")
    return seal(data)


def read_metadata(data: bytes) -> TFLiteMetadata | None:
    """Reads the metadata of an image classifier, whichever tool wrote it.

    Returns:
        The metadata, or ``None`` if the file has none or it does not describe one image as input.

    Raises:
        ValueError: If the bytes are not a TFLite flatbuffer, or the metadata is damaged.
    """
    model = fb.parse(data)
    encoded = fb.get_model_metadata(model, _METADATA_NAME)
    if encoded is None:
        return None
    if encoded[4:8] != FILE_IDENTIFIER:
        raise ValueError("the TFLite metadata is damaged: it does not begin as such")
    own = fb.get_model_metadata(model, _OWN_NAME) or b"{}"
    try:
        graph = model.subgraphs[0]
        shape = tuple(int(size) for size in graph.tensors[graph.inputs[0]].shape)
        return _decode(encoded, json.loads(own), shape, data)
    except (
        *(struct.error, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError),
        *(UnicodeDecodeError, json.JSONDecodeError),
    ) as error:
        raise ValueError(f"the TFLite metadata is damaged: {error}") from error


def _decode(encoded: bytes, own: dict[str, Any], shape: tuple[int, ...], data: bytes) -> TFLiteMetadata | None:
    """The metadata in its two blocks, of a model with an input of that shape, in a file with these bytes."""
    root = TableReader.root(encoded)
    subgraph = next(root.tables(ModelMetadataField.SUBGRAPH_METADATA), None)
    image = next(subgraph.tables(SubGraphMetadataField.INPUT_TENSOR_METADATA), None) if subgraph else None
    scores = next(subgraph.tables(SubGraphMetadataField.OUTPUT_TENSOR_METADATA), None) if subgraph else None
    normalization = _normalization(image) if image else None
    if normalization is None or len(shape) != 4:
        return None
    mean, std = normalization
    channels = shape[3]
    return TFLiteMetadata(
        name=root.text(ModelMetadataField.NAME),
        description=root.text(ModelMetadataField.DESCRIPTION),
        input_shape=(shape[1], shape[2], channels),
        preprocessing=Preprocessing(
            mean=_per_channel(mean, channels),
            std=_per_channel(std, channels),
            crop_fraction=own.get("crop_fraction", 1.0),
            interpolation=own.get("interpolation", "bilinear"),
        ),
        labels=_labels(data, scores) if scores else (),
        license=root.text(ModelMetadataField.LICENSE),
        version=root.text(ModelMetadataField.VERSION),
    )


def _per_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    # A single number applies to all channels.
    values = tuple(values) * channels if len(values) == 1 else tuple(values)
    if len(values) != channels:
        raise ValueError(f"the TFLite metadata normalizes {len(values)} channels, but the input has {channels}")
    return values


def _normalization(image: TableReader) -> tuple[list[float], list[float]] | None:
    """The means and standard deviations of an image's normalization, or ``None`` if it has none."""
    for unit in image.tables(TensorMetadataField.PROCESS_UNITS):
        if unit.byte(ProcessUnitField.OPTIONS_TYPE) == ProcessUnitOptions.NORMALIZATION_OPTIONS:
            options = unit.table(ProcessUnitField.OPTIONS)
            if options is None:
                return None
            return options.floats(NormalizationOptionsField.MEAN), options.floats(NormalizationOptionsField.STD)
    return None


def _labels(data: bytes, scores: TableReader) -> tuple[str, ...]:
    for file in scores.tables(TensorMetadataField.ASSOCIATED_FILES):
        if file.byte(AssociatedFileField.TYPE) == AssociatedFileType.TENSOR_AXIS_LABELS:
            name = file.text(AssociatedFileField.NAME)
            try:
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    return tuple(read_member(archive, name, _LONGEST_LABELS).decode("utf-8").splitlines())
            except (zipfile.BadZipFile, KeyError, EOFError, RuntimeError, zlib.error) as error:
                raise ValueError(f"the label file of the TFLite metadata is missing: {error}") from error
    return ()


def _append_file(data: bytes, name: str, text: str) -> bytes:
    """Appends a zip archive; flatbuffers are read from the front and zip archives from the back."""
    buffer = io.BytesIO(data)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        # A fixed date makes the file reproducible.
        archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


def _encode(metadata: TFLiteMetadata) -> bytes:
    """The metadata as a flatbuffer, without the labels themselves."""
    writer = TableWriter()
    image = _describe_image(writer, metadata)
    scores = _describe_scores(writer, metadata)
    subgraph = writer.table(
        {
            SubGraphMetadataField.INPUT_TENSOR_METADATA: writer.tables([writer.table(image)]),
            SubGraphMetadataField.OUTPUT_TENSOR_METADATA: writer.tables([writer.table(scores)]),
        }
    )
    root = writer.table(
        {
            ModelMetadataField.NAME: writer.text(metadata.name),
            ModelMetadataField.DESCRIPTION: writer.text(metadata.description),
            ModelMetadataField.VERSION: writer.text(metadata.version),
            ModelMetadataField.SUBGRAPH_METADATA: writer.tables([subgraph]),
            ModelMetadataField.LICENSE: writer.text(metadata.license),
            ModelMetadataField.MIN_PARSER_VERSION: writer.text(_MIN_PARSER_VERSION),
        }
    )
    return writer.finish(root, FILE_IDENTIFIER)


def _describe_image(writer: TableWriter, metadata: TFLiteMetadata) -> dict[int, Value]:
    """The fields of the input's ``TensorMetadata``."""
    height, width, channels = metadata.input_shape
    mean, std = metadata.preprocessing.mean, metadata.preprocessing.std
    size = writer.table({ImageSizeField.WIDTH: UInt32(width), ImageSizeField.HEIGHT: UInt32(height)})
    color_space = _COLOR_SPACES.get(channels, ColorSpaceType.UNKNOWN)
    properties = writer.table(
        {ImagePropertiesField.COLOR_SPACE: Int8(color_space), ImagePropertiesField.DEFAULT_SIZE: size}
    )
    normalization = writer.table(
        {NormalizationOptionsField.MEAN: writer.floats(mean), NormalizationOptionsField.STD: writer.floats(std)}
    )
    stats: dict[int, Value] = {
        StatsField.MAX: writer.floats([(255 - m) / s for m, s in zip(mean, std, strict=True)]),
        StatsField.MIN: writer.floats([-m / s for m, s in zip(mean, std, strict=True)]),
    }
    description = f"Image of {height}x{width} pixels, {channels} channels, normalized from 0..255."
    content: dict[int, Value] = {
        ContentField.CONTENT_PROPERTIES_TYPE: Int8(ContentProperties.IMAGE_PROPERTIES),
        ContentField.CONTENT_PROPERTIES: properties,
    }
    process_unit: dict[int, Value] = {
        ProcessUnitField.OPTIONS_TYPE: Int8(ProcessUnitOptions.NORMALIZATION_OPTIONS),
        ProcessUnitField.OPTIONS: normalization,
    }
    return {
        TensorMetadataField.NAME: writer.text("image"),
        TensorMetadataField.DESCRIPTION: writer.text(description),
        TensorMetadataField.CONTENT: writer.table(content),
        TensorMetadataField.PROCESS_UNITS: writer.tables([writer.table(process_unit)]),
        TensorMetadataField.STATS: writer.table(stats),
    }


def _describe_scores(writer: TableWriter, metadata: TFLiteMetadata) -> dict[int, Value]:
    """The fields of the output's ``TensorMetadata``."""
    scores: dict[int, Value] = {
        TensorMetadataField.NAME: writer.text("predictions"),
        TensorMetadataField.DESCRIPTION: writer.text("One score per class."),
        TensorMetadataField.CONTENT: writer.table(
            {
                ContentField.CONTENT_PROPERTIES_TYPE: Int8(ContentProperties.FEATURE_PROPERTIES),
                ContentField.CONTENT_PROPERTIES: writer.table({}),
            }
        ),
    }
    if metadata.labels:
        labels = writer.table(
            {
                AssociatedFileField.NAME: writer.text(_LABELS_FILE),
                AssociatedFileField.DESCRIPTION: writer.text("Names of the classes, one a line."),
                AssociatedFileField.TYPE: Int8(AssociatedFileType.TENSOR_AXIS_LABELS),
            }
        )
        scores[TensorMetadataField.ASSOCIATED_FILES] = writer.tables([labels])
    return scores
