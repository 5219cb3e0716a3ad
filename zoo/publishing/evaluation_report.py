"""Measures how often a network is right about image files."""

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np

from larq_melius.imagenet import imagenet_classes, top_indices
from larq_melius.images import load_image
from larq_melius.zoo.classifiers import Classifier


@dataclass(frozen=True)
class Evaluation:
    """The accuracy of a network on images that took no part in its training.

    Attributes:
        images: Number of images.
        top1: Share of correct answers, 0 to 1.
        top5: Share of answers among whose five best is the correct one; ``None`` if unknown.
        data: What was measured on, in words.
    """

    images: int
    top1: float
    top5: float | None = None
    data: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.images, int) or isinstance(self.images, bool) or self.images < 1:
            raise ValueError(f"An evaluation is of at least one image, got images={self.images!r}.")
        if not isinstance(self.data, str):
            raise ValueError(f"data says in words what was measured on, got {self.data!r}.")
        _check_share("top1", self.top1)
        if self.top5 is not None:
            _check_share("top5", self.top5)
            if self.top5 < self.top1:
                raise ValueError(f"top5 cannot be below top1, got {self.top5} and {self.top1}.")

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary that JSON can hold."""
        return asdict(self)


def read_evaluation(path: str | os.PathLike[str]) -> Evaluation:
    """Reads a report, ``{"images": …, "top1": …, "top5": …, "data": …}`` in JSON; further fields are passed over.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no such report, or a number cannot be right.
    """
    try:
        fields = json.loads(Path(path).read_text("utf-8"))
        if not isinstance(fields, dict):
            raise ValueError("it holds no JSON object.")
        return Evaluation(fields["images"], fields["top1"], fields.get("top5"), fields.get("data", ""))
    except KeyError as error:
        raise ValueError(f"{Path(path)} is not an evaluation report: it has no {error}.") from error
    except ValueError as error:
        raise ValueError(f"{Path(path)} is not an evaluation report: {error}") from error


def evaluate_folder(
    classifier: Classifier, folder: str | os.PathLike[str], *, batch_size: int = 32, data: str = ""
) -> Evaluation:
    """Classifies the images of a folder that has one folder for each class.

    A class folder has the name of a class or, for ImageNet's classes, its WordNet id. All files in it count as images,
    but for hidden ones. On a terminal, stderr shows the progress.

    Args:
        classifier: The network; its ``labels`` are the classes.
        folder: The folder.
        batch_size: Images in memory at a time.
        data: What the images are, in words; defaults to the folder's name.

    Returns:
        The shares of right answers; without ``top5`` where there are only five classes or fewer.

    Raises:
        OSError: If the folder or an image cannot be read.
        ValueError: If a folder belongs to no class, there is no image, or the network's scores are no numbers.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    samples = _samples(Path(folder), classifier.labels)
    ranks: list[int] = []
    shown = sys.stderr.isatty()
    with click.progressbar(samples, file=sys.stderr) if shown else nullcontext(samples) as progress:
        for batch in _batches(progress, batch_size):
            ranks += _ranks(classifier, batch)
    return Evaluation(
        images=len(ranks),
        top1=ranks.count(0) / len(ranks),
        top5=sum(rank < 5 for rank in ranks) / len(ranks) if len(classifier.labels) > 5 else None,
        data=data or Path(folder).resolve().name,
    )


def _samples(folder: Path, labels: tuple[str, ...]) -> list[tuple[Path, int]]:
    """The image files and their classes, in the order of names."""
    indices = _class_indices(labels)
    samples = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        if path.name not in indices:
            raise ValueError(f"{path} belongs to no class of the network: name it after one, such as {labels[0]!r}.")
        files = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        samples += [(file, indices[path.name]) for file in sorted(files)]
    if not samples:
        raise ValueError(f"{folder} holds no images in folders named after classes.")
    return samples


def _class_indices(labels: tuple[str, ...]) -> dict[str, int]:
    """The index of each class by the names its folder may have, without names that several classes share."""
    if not labels:
        raise ValueError("The names of the network's classes are not known.")
    indices = {label: index for index, label in enumerate(labels) if labels.count(label) == 1}
    if labels == tuple(name for _, name in imagenet_classes()):
        indices |= {synset: index for index, (synset, _) in enumerate(imagenet_classes())}
    return indices


def _batches(samples: Iterable[tuple[Path, int]], size: int) -> Iterator[list[tuple[Path, int]]]:
    iterator = iter(samples)
    while batch := list(islice(iterator, size)):
        yield batch


def _ranks(classifier: Classifier, batch: list[tuple[Path, int]]) -> list[int]:
    """How many classes come before the right one, for each image."""
    pixels = np.stack([load_image(path, classifier.input_shape, classifier.preprocessing) for path, _ in batch])
    scores = classifier.scores(classifier.preprocessing.normalize(pixels))
    if not np.isfinite(scores).all():
        raise ValueError("The network's scores are not finite numbers: its weights are damaged.")
    return [top_indices(sample, len(sample)).index(label) for sample, (_, label) in zip(scores, batch, strict=True)]


def _check_share(name: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or math.isnan(value) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a share from 0 to 1, got {value!r}.")
