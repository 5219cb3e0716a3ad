"""The registry of weight files: ``registry.json`` beside this module, one entry per file."""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from larq_melius.preprocessing import Preprocessing


@dataclass(frozen=True)
class WeightsRecord:
    """One file of trained weights.

    Attributes:
        model: Name of the network, as ``larq_melius.list_models`` gives it.
        tag: What users pass as ``weights=``, the data set by custom.
        stem: Stem the weights were trained with.
        convention: Padding convention the weights were trained under.
        file: File name within the package's data.
        sha256: Hash of the file.
        input_shape: Height, width and channels of the images.
        classes: Names of the classes, in the order of the outputs.
        preprocessing: How images become inputs.
        top1: Share of correct answers on the held-out test split, 0 to 1.
        trained_on: Data set and its split.
        source: How the file was made.
        licence: SPDX identifier.
    """

    model: str
    tag: str
    stem: str
    convention: str
    file: str
    sha256: str
    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    top1: float
    trained_on: str
    source: str
    licence: str

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "WeightsRecord":
        """Builds the record from an entry of the registry."""
        height, width, channels = fields["input_shape"]
        return cls(
            **{
                **fields,
                "input_shape": (height, width, channels),
                "classes": tuple(fields["classes"]),
                "preprocessing": Preprocessing.from_dict(fields["preprocessing"]),
            }
        )

    def read(self) -> bytes:
        """The bytes of the file."""
        return files("larq_melius").joinpath("data", self.file).read_bytes()


@lru_cache
def list_records() -> tuple[WeightsRecord, ...]:
    """All entries of the registry."""
    text = files("larq_melius").joinpath("weights", "registry.json").read_text("utf-8")
    return tuple(WeightsRecord.from_dict(entry) for entry in json.loads(text))


def find_record(model: str | None, tag: str, stem: str) -> WeightsRecord | None:
    """The entry for a network, a tag and a stem, or ``None``."""
    return next((r for r in list_records() if (r.model, r.tag, r.stem) == (model, tag, stem)), None)
