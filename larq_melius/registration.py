"""Registers weight files of the user's own, so that ``weights=`` finds them by a tag on this machine."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from filelock import FileLock

from larq_melius.files import write_atomically
from larq_melius.imagenet import imagenet_names
from larq_melius.models.registry import find_variant
from larq_melius.preprocessing import IMAGENET, Preprocessing
from larq_melius.stems import Stem
from larq_melius.weights.records import WeightsRecord, check_tag, read_user_registry, user_registry
from larq_melius.weights.store import cached_path, file_hash, shipped_path

_Records = tuple[WeightsRecord, ...]


def add_weights(
    path: str | os.PathLike[str],
    model: str,
    tag: str,
    *,
    stem: str | None = None,
    convention: str = "authors",
    include_top: bool = True,
    input_shape: tuple[int, int, int] | None = None,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing = IMAGENET,
    top1: float | None = None,
    top5: float | None = None,
    trained_on: str = "",
    source: str = "",
    license: str = "",
    measured_by: str = "",
) -> WeightsRecord:
    """Copies a weight file into the cache and registers it.

    An entry of the same network, tag, stem and top is replaced. Several processes may add at the same time.

    Args:
        path: A file of any kind that ``weights=`` takes.
        model: Name of the network.
        tag: What ``weights=`` will find it by.
        stem: The network's stem; defaults to the network's own.
        convention: Padding convention the weights were trained under.
        include_top: Whether the file holds the classifier.
        input_shape: Height, width and channels of the images; defaults to the network's own.
        classes: Names of the classes; defaults to ImageNet's.
        preprocessing: How images become inputs; defaults to ImageNet's.

    The others are the fields of ``WeightsRecord``.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If the file does not fit the network.
    """
    path = Path(path)
    check_tag(tag)
    variant = find_variant(model)
    stem = stem or variant.stem
    shape = input_shape or variant.input_shape
    if len(preprocessing.mean) != shape[2] or len(preprocessing.std) != shape[2]:
        raise ValueError(f"The images of {variant.name} have {shape[2]} channels: give mean and std of as many.")
    names = tuple(classes) if classes is not None else imagenet_names()
    # Only what loads is registered.
    variant.function(
        include_top=include_top,
        weights=path,
        input_shape=shape,
        classes=len(names),
        stem=stem,
        convention=convention,
    )
    digest = file_hash(path)
    top = "" if include_top else "_notop"
    suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".weights.h5") else path.suffix
    record = WeightsRecord(
        model=variant.name,
        tag=tag,
        stem=cast(Stem, stem),  # the network was built with it
        convention=convention,
        file=f"{variant.name}_{tag}_{stem}{top}_{digest[:8]}{suffix}".lower(),
        sha256=digest,
        input_shape=shape,
        classes=names,
        preprocessing=preprocessing,
        top1=top1,
        trained_on=trained_on,
        source=source,
        license=license,
        include_top=include_top,
        bytes=path.stat().st_size,
        top5=top5,
        measured_by=measured_by,
    )
    target = cached_path(record)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, path.read_bytes())
    _change_registry(lambda records: (*(r for r in records if r.key != record.key), record))
    return record


def remove_weights(record: WeightsRecord) -> None:
    """Removes a file from the cache, and its entry if it is the user's own.

    Raises:
        ValueError: If the file is part of the package, or there is nothing to remove.
    """
    if shipped_path(record) is not None:
        raise ValueError(f"{record.file} is part of the package, and cannot be removed.")
    own = record in read_user_registry()
    if not own and not cached_path(record).exists():
        raise ValueError(f"{record.file} is not on this machine.")
    if own:
        _change_registry(lambda records: tuple(r for r in records if r != record))
    cached_path(record).unlink(missing_ok=True)


def _change_registry(change: Callable[[_Records], _Records]) -> None:
    path = user_registry()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock"), timeout=30):
        records = change(read_user_registry())
        text = json.dumps([record.to_dict() for record in records], indent=2, ensure_ascii=False)
        write_atomically(path, (text + "\n").encode())
