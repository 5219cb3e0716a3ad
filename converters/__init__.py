"""TFLite export through Larq Compute Engine, and the reading and running of the files it writes."""

from larq_melius.converters.flatbuffer import count_operators
from larq_melius.converters.interpreter import make_interpreter
from larq_melius.converters.tflite_export import (
    ExportError,
    ExportReport,
    VerificationError,
    export_tflite,
    load_keras_model,
)
from larq_melius.converters.tflite_metadata import TFLiteMetadata, read_metadata
from larq_melius.converters.verification import Verification, verify
from larq_melius.converters.weight_import import import_weights, recognise_format

__all__ = [
    "ExportError",
    "ExportReport",
    "TFLiteMetadata",
    "Verification",
    "VerificationError",
    "count_operators",
    "export_tflite",
    "import_weights",
    "load_keras_model",
    "make_interpreter",
    "read_metadata",
    "recognise_format",
    "verify",
]
