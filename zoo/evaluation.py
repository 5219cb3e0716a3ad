"""Measures how often a classifier is right: on a data set, or on image files in folders named after their classes."""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator
from tqdm import tqdm

from larq_melius.imagenet import imagenet_classes, imagenet_names
from larq_melius.images import load_image
from larq_melius.validation import Share, checked
from larq_melius.zoo.classifiers import Classifier
from larq_melius.zoo.data import ImageDataset, evaluation_batches

_TOP = 5
#: Normalized images, ``(batch, height, width, channels)``, and their classes, ``(batch,)``.
_Batch = tuple[np.ndarray, np.ndarray]


@checked
class Evaluation:
    """The accuracy of a network on images that took no part in its training.

    Attributes:
        images: Number of images.
        top1: Share of correct answers, 0 to 1.
        top5: Share of images whose class is among the five with the highest scores; ``None`` if unknown, or if there
            are no more than five classes.
        data: What was measured on, in words.
    """

    images: Annotated[int, Field(ge=1)]
    top1: Share
    top5: Share | None = None
    data: str = ""

    @model_validator(mode="after")
    def _check_order(self) -> "Evaluation":
        if self.top5 is not None and self.top5 < self.top1:
            raise ValueError(f"top5 cannot be below top1, got {self.top5} and {self.top1}")
        return self

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary that JSON can hold, and that ``read_evaluation`` reads."""
        return asdict(self)


@dataclass(frozen=True)
class ClassScore:
    """How often a network is right about the images of one class.

    Attributes:
        name: Name of the class.
        images: Number of its images.
        right: How many of them were recognized.
    """

    name: str
    images: int
    right: int


@dataclass(frozen=True, kw_only=True)
class DetailedEvaluation(Evaluation):
    """The accuracy of a network, also by class.

    Attributes:
        classes: The score of each class.
        confusion: Number of images by right class (rows) and answer (columns), ``(classes, classes)``.
        images_per_second: Rate, including reading and decoding.
    """

    classes: tuple[ClassScore, ...]
    confusion: list[list[int]] = field(repr=False)
    images_per_second: float


def read_evaluation(path: str | os.PathLike[str]) -> Evaluation:
    """Reads a report, ``{"images": …, "top1": …, "top5": …, "data": …}`` in JSON; further fields are ignored.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no such report, or a number cannot be right.
    """
    try:
        report = json.loads(Path(path).read_text("utf-8"))
        if not isinstance(report, dict):
            raise ValueError("it holds no JSON object.")
        return Evaluation(**{each.name: report[each.name] for each in fields(Evaluation) if each.name in report})
    except ValueError as error:
        raise ValueError(f"{Path(path)} is not an evaluation report: {error}") from error


def evaluate(
    classifier: Classifier,
    data: ImageDataset,
    split: str = "validation",
    *,
    batch_size: int = 64,
    limit: int | None = None,
) -> DetailedEvaluation:
    """Classifies the images of one split of a data set. On a terminal, stderr shows the progress.

    Images are prepared as the network expects them, not as the data set would by itself.

    Args:
        classifier: The network.
        data: The images.
        split: ``"validation"``, ``"train"`` or another split of the data set.
        batch_size: Images at a time.
        limit: Largest number of images.

    Raises:
        ValueError: If there is no such split, the network has other classes, or its scores are not finite.
    """
    data.check_split(split)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}.")
    if classifier.input_shape[2] != data.input_shape[2]:
        raise ValueError(
            f"The network takes images of {classifier.input_shape[2]} channels, those of {data.name} have "
            f"{data.input_shape[2]}."
        )
    outputs = _outputs_of_classes(classifier, data)
    total = min(limit or data.sizes[split], data.sizes[split])
    return _measure(
        classifier,
        _dataset_batches(classifier, data, split, batch_size, total),
        classes=data.classes,
        outputs=outputs,
        total=total,
        data=f"{data.name}, {split}" + (f", the first {total} images" if total < data.sizes[split] else ""),
    )


def evaluate_folder(
    classifier: Classifier, folder: str | os.PathLike[str], *, batch_size: int = 32, data: str = ""
) -> DetailedEvaluation:
    """Classifies image files in folders named after their classes. On a terminal, stderr shows the progress.

    A class folder has the name of a class or, for ImageNet's classes, its WordNet ID. All files in it count as images,
    except hidden ones.

    Args:
        classifier: The network; its ``labels`` are the classes.
        folder: The folder that holds the class folders.
        batch_size: Images in memory at a time.
        data: What the images are, in words; defaults to the folder's name.

    Raises:
        OSError: If the folder or an image cannot be read.
        ValueError: If a folder belongs to no class, there is no image, or the network's scores are not finite.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    samples = _find_samples(Path(folder), classifier.labels)
    return _measure(
        classifier,
        _file_batches(classifier, samples, batch_size),
        classes=classifier.labels,
        outputs=np.arange(len(classifier.labels)),
        total=len(samples),
        data=data or Path(folder).resolve().name,
    )


def ranks(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """How many classes come before the right one; of equal scores, the lower class comes first, as in ``top_indices``.

    Args:
        scores: Scores, ``(batch, classes)``.
        classes: The right classes, ``(batch,)``.

    Returns:
        Ranks from 0, ``(batch,)``.
    """
    own = np.take_along_axis(scores, classes[:, np.newaxis], axis=1)
    lower = np.arange(scores.shape[1])[np.newaxis] < classes[:, np.newaxis]
    return ((scores > own) | ((scores == own) & lower)).sum(axis=1)


def _measure(
    classifier: Classifier,
    batches: Iterable[_Batch],
    *,
    classes: Sequence[str],
    outputs: np.ndarray,
    total: int,
    data: str,
) -> DetailedEvaluation:
    """Counts right answers.

    Args:
        classifier: The network.
        batches: The images.
        classes: Names of the classes of the images.
        outputs: The network's output for each of them, ``(classes,)``.
        total: Number of images.
        data: What the images are, in words.
    """
    confusion = np.zeros((len(classes), len(classes)), "int64")
    images_of, right, among_five = (np.zeros(len(classes), "int64") for _ in range(3))
    started = time.monotonic()
    with tqdm(total=total, unit=" images", file=sys.stderr, disable=not sys.stderr.isatty(), leave=False) as progress:
        for images, truth in batches:
            scores = classifier.finite_scores(images)
            # The network may have outputs for classes that no image is of: those answers are -1.
            class_of_output = np.full(scores.shape[1], -1)
            class_of_output[outputs] = np.arange(len(outputs))
            answers = class_of_output[scores.argmax(axis=1)]
            rank = ranks(scores, outputs[truth])
            np.add.at(images_of, truth, 1)
            np.add.at(right, truth, rank < 1)
            np.add.at(among_five, truth, rank < _TOP)
            np.add.at(confusion, (truth[answers >= 0], answers[answers >= 0]), 1)
            progress.update(len(truth))
    return DetailedEvaluation(
        data=data,
        images=total,
        top1=float(right.sum() / total),
        top5=float(among_five.sum() / total) if scores.shape[1] > _TOP else None,
        classes=tuple(
            ClassScore(name=name, images=int(count), right=int(hits))
            for name, count, hits in zip(classes, images_of, right, strict=True)
        ),
        confusion=confusion.tolist(),
        images_per_second=total / (time.monotonic() - started),
    )


def _dataset_batches(
    classifier: Classifier, data: ImageDataset, split: str, batch_size: int, total: int
) -> Iterator[_Batch]:
    """The first ``total`` images of a split, prepared for the network."""
    prepared = replace(data, input_shape=classifier.input_shape, preprocessing=classifier.preprocessing)
    left = total
    for images, labels, mask in evaluation_batches(prepared, split, batch_size=batch_size):
        count = min(int(mask.numpy().sum()), left)
        yield images.numpy()[:count], labels.numpy()[:count]
        left -= count
        if not left:
            return


def _file_batches(classifier: Classifier, samples: list[tuple[Path, int]], batch_size: int) -> Iterator[_Batch]:
    """Image files, prepared for the network."""
    for start in range(0, len(samples), batch_size):
        paths, labels = zip(*samples[start : start + batch_size], strict=True)
        pixels = np.stack([load_image(path, classifier.input_shape, classifier.preprocessing) for path in paths])
        yield classifier.preprocessing.normalize(pixels), np.asarray(labels)


def _find_samples(folder: Path, labels: tuple[str, ...]) -> list[tuple[Path, int]]:
    """The image files and their classes, sorted by name."""
    classes = _classes_by_folder_name(labels)
    samples: list[tuple[Path, int]] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        if path.name not in classes:
            raise ValueError(f"{path} belongs to no class of the network: name it after one, such as {labels[0]!r}.")
        files = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        samples += [(file, classes[path.name]) for file in sorted(files)]
    if not samples:
        raise ValueError(f"{folder} holds no images in folders named after classes.")
    return samples


def _classes_by_folder_name(labels: tuple[str, ...]) -> dict[str, int]:
    """The class of each name that a folder may have. Names that several classes share are left out."""
    if not labels:
        raise ValueError("The names of the network's classes are not known.")
    classes = {label: index for index, label in enumerate(labels) if labels.count(label) == 1}
    if labels == imagenet_names():
        classes |= {wordnet_id: index for index, (wordnet_id, _) in enumerate(imagenet_classes())}
    return classes


def _outputs_of_classes(classifier: Classifier, data: ImageDataset) -> np.ndarray:
    """The network's output for each class of the data, ``(classes,)``."""
    labels = classifier.labels
    if labels == data.classes:
        return np.arange(len(labels))
    if not labels:
        raise ValueError(f"The network does not have the {len(data.classes)} classes of {data.name}.")
    missing = [name for name in data.classes if labels.count(name) != 1]
    if missing:
        raise ValueError(
            f"The network has no class {missing[0]!r}, or several: it was not made for the classes of {data.name}."
        )
    return np.array([labels.index(name) for name in data.classes])
