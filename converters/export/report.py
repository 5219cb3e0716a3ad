"""What an export comes to: a report, or an error."""

from dataclasses import dataclass
from pathlib import Path

from larq_melius.converters.export.verify import Verification
from larq_melius.converters.tflite.metadata import TFLiteMetadata


class ExportError(ValueError):
    """A model that cannot be exported as it is."""


class VerificationError(RuntimeError):
    """A flatbuffer that does not compute what its model does."""


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote, and how it compares with Keras.

    Attributes:
        path: The file.
        bytes: Its size.
        operators: Number of operators of each kind, the most frequent first.
        metadata: What the file says about itself.
        verification: Comparison with the Keras model.
        batch: How many images it takes at once; ``None`` for as many as an interpreter is told.
        warnings: What a user should know of it, one sentence each.
    """

    path: Path
    bytes: int
    operators: dict[str, int]
    metadata: TFLiteMetadata
    verification: Verification
    batch: int | None = 1
    warnings: tuple[str, ...] = ()
