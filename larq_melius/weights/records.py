"""The registry of weight files: one entry per file, in ``registry.json`` beside this module and in the user's own."""

import json
import re
from dataclasses import asdict
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from larq_melius.imagenet import imagenet_names
from larq_melius.preprocessing import Preprocessing
from larq_melius.stems import Stem
from larq_melius.validation import Items, OrNone, Share, checked
from larq_melius.weights.cache import cache_dir

_IMAGENET = "imagenet"

Size = Annotated[int, Field(gt=0)]


def _class_names(names: Any) -> Any:
    return imagenet_names() if names == _IMAGENET else names


def _check_file_name(name: str) -> str:
    # A registry may come from elsewhere: it must not reach beyond the folder of the weights.
    if name in ("", ".", "..") or re.search(r"[/\\\x00-\x1f:]", name):
        raise ValueError("must be the plain name of a file, without folders")
    return name


@checked
class WeightsRecord:
    """One file of trained weights.

    Attributes:
        model: Name of the network, as ``larq_melius.list_models`` gives it.
        tag: What users pass as ``weights=``, the data set by custom.
        stem: Stem the weights were trained with.
        convention: Padding convention the weights were trained under.
        file: Name of the file.
        sha256: Hash of the file.
        input_shape: Height, width and channels of the images.
        classes: Names of the classes, in the order of the outputs; ``"imagenet"`` stands for ImageNet's.
        preprocessing: How images become inputs.
        top1: Share of correct answers on the held-out test or validation split, 0 to 1.
        trained_on: Data set and its split.
        source: How, or by whom, the file was made.
        license: SPDX identifier.
        include_top: Whether the file holds the classifier.
        urls: Where the file can be downloaded, the first that answers first; empty for files that are there already.
        bytes: Size of the file, if known.
        top5: Share of answers among whose five best is the correct one, if known.
        measured_by: Who measured the accuracy.
    """

    model: str
    tag: str
    stem: Stem
    convention: str
    file: Annotated[str, AfterValidator(_check_file_name)]
    sha256: str
    input_shape: Annotated[tuple[Size, Size, Size], Field(strict=False)]
    classes: Annotated[Items[str], BeforeValidator(_class_names)]
    preprocessing: Preprocessing
    top1: OrNone[Share]
    trained_on: str
    source: str
    license: str
    include_top: bool = True
    urls: Items[str] = ()
    bytes: OrNone[Size] = None
    top5: OrNone[Share] = None
    measured_by: str = ""

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "WeightsRecord":
        """Builds the record from an entry of a registry.

        Raises:
            ValueError: If a field is missing or unknown, or a value is wrong.
        """
        # Earlier versions wrote a format, which the file itself shows.
        values = {name: value for name, value in fields.items() if name != "format"}
        try:
            if isinstance(values.get("preprocessing"), dict):
                values["preprocessing"] = Preprocessing.from_dict(values["preprocessing"])
            return cls(**values)
        except ValueError as error:
            raise ValueError(f"The entry of {fields.get('file', 'a weight file')} is wrong: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """The entry of the registry."""
        classes = _IMAGENET if self.classes == imagenet_names() else list(self.classes)
        return {**asdict(self), "classes": classes}

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """What tells one record from another: model, tag, stem, and whether the classifier is in the file."""
        return self.model, self.tag, self.stem, self.include_top


def check_tag(tag: str) -> None:
    """Raises ``ValueError`` for what cannot be a tag: ``weights=`` takes what has a dot or a slash for a path."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", tag) or tag.lower() == "none":
        raise ValueError(f"A tag is made of letters, digits, - and _, and is not 'none'; got {tag!r}.")


def user_registry() -> Path:
    """The file of the user's own entries, which come before the package's."""
    return cache_dir() / "registry.json"


def list_records() -> tuple[WeightsRecord, ...]:
    """All entries: the user's own, then those of the package that they do not replace.

    Raises:
        ValueError: If the user's registry is damaged.
    """
    own = read_user_registry()
    replaced = {record.key for record in own}
    return (*own, *(record for record in _package_records() if record.key not in replaced))


def find_record(model: str | None, tag: str, stem: str, *, include_top: bool = True) -> WeightsRecord | None:
    """The entry for a network, a tag and a stem, or ``None``.

    The user's own come first. Without the top, a file that has none is better than one that has a classifier.
    """
    for records in (read_user_registry(), _package_records()):
        matching = {r.include_top: r for r in records if (r.model, r.tag, r.stem) == (model, tag, stem)}
        found = matching.get(True) if include_top else matching.get(False, matching.get(True))
        if found is not None:
            return found
    return None


def read_user_registry() -> tuple[WeightsRecord, ...]:
    """The user's own entries.

    Raises:
        ValueError: If the file is damaged.
    """
    path = user_registry()
    if not path.exists():
        return ()
    try:
        entries = json.loads(path.read_text("utf-8"))
        if not isinstance(entries, list):
            raise ValueError("It is not a list of entries.")
        return tuple(WeightsRecord.from_dict(entry) for entry in entries)
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"The registry {path} is damaged: {error} Repair or remove it.") from error


@lru_cache
def _package_records() -> tuple[WeightsRecord, ...]:
    text = files("larq_melius").joinpath("weights", "registry.json").read_text("utf-8")
    return tuple(WeightsRecord.from_dict(entry) for entry in json.loads(text))
