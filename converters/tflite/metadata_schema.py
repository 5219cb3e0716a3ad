"""The tables and enumerations of ``metadata_schema.fbs`` (version 1.5) that describe an image classifier, by name.

Each ``...Field`` numbers the fields of one table in the order in which the schema declares them. A union takes up two
fields: which table it holds, and that table. The schema is MediaPipe's (``mediapipe/tasks/metadata``).
"""

from enum import IntEnum

FILE_IDENTIFIER = b"M001"


class ModelMetadataField(IntEnum):
    """Fields of ``ModelMetadata``, the root."""

    NAME = 0
    DESCRIPTION = 1
    VERSION = 2
    SUBGRAPH_METADATA = 3
    AUTHOR = 4
    LICENSE = 5
    ASSOCIATED_FILES = 6
    MIN_PARSER_VERSION = 7


class SubGraphMetadataField(IntEnum):
    """Fields of ``SubGraphMetadata`` up to the tensors: one such table per graph of the model."""

    NAME = 0
    DESCRIPTION = 1
    INPUT_TENSOR_METADATA = 2
    OUTPUT_TENSOR_METADATA = 3


class TensorMetadataField(IntEnum):
    """Fields of ``TensorMetadata``: an input or an output."""

    NAME = 0
    DESCRIPTION = 1
    DIMENSION_NAMES = 2
    CONTENT = 3
    PROCESS_UNITS = 4
    STATS = 5
    ASSOCIATED_FILES = 6


class ContentField(IntEnum):
    """Fields of ``Content``: what a tensor holds."""

    CONTENT_PROPERTIES_TYPE = 0
    CONTENT_PROPERTIES = 1
    RANGE = 2


class ContentProperties(IntEnum):
    """Members of the union ``ContentProperties``; ``FeatureProperties`` is a table without fields."""

    FEATURE_PROPERTIES = 1
    IMAGE_PROPERTIES = 2


class ImagePropertiesField(IntEnum):
    """Fields of ``ImageProperties``."""

    COLOR_SPACE = 0
    DEFAULT_SIZE = 1


class ColorSpaceType(IntEnum):
    """How many channels an image has, and what they are."""

    UNKNOWN = 0
    RGB = 1
    GRAYSCALE = 2


class ImageSizeField(IntEnum):
    """Fields of ``ImageSize``, in pixels."""

    WIDTH = 0
    HEIGHT = 1


class ProcessUnitField(IntEnum):
    """Fields of ``ProcessUnit``: one step of the preprocessing."""

    OPTIONS_TYPE = 0
    OPTIONS = 1


class ProcessUnitOptions(IntEnum):
    """Members of the union ``ProcessUnitOptions``."""

    NORMALIZATION_OPTIONS = 1


class NormalizationOptionsField(IntEnum):
    """Fields of ``NormalizationOptions``: one number per channel, or one for all of them."""

    MEAN = 0
    STD = 1


class StatsField(IntEnum):
    """Fields of ``Stats``: the extremes of a normalized tensor, per channel."""

    MAX = 0
    MIN = 1


class AssociatedFileField(IntEnum):
    """Fields of ``AssociatedFile``: a file in the zip archive behind the model."""

    NAME = 0
    DESCRIPTION = 1
    TYPE = 2
    LOCALE = 3
    VERSION = 4


class AssociatedFileType(IntEnum):
    """What an associated file holds; ``TENSOR_AXIS_LABELS`` names the entries of an axis, one a line."""

    UNKNOWN = 0
    DESCRIPTIONS = 1
    TENSOR_AXIS_LABELS = 2
