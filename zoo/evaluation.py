"""Measures how often a network is right on a data set."""

import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from larq_melius.zoo.classifiers import Classifier, load_classifier
from larq_melius.zoo.data import ImageDataset, evaluation_batches

_KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")


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


@dataclass(frozen=True)
class DatasetEvaluation:
    """How often a network is right on one split of a data set.

    Attributes:
        data: What was measured on, in words.
        images: Number of images.
        top1: Share of right answers, 0 to 1.
        top5: Share of answers among whose five best is the right one; ``None`` with five classes or fewer.
        classes: The same by class.
        confusion: Images by right class (rows) and answer (columns), ``(classes, classes)``.
        images_per_second: Rate, with reading and decoding.
    """

    data: str
    images: int
    top1: float
    top5: float | None
    classes: tuple[ClassScore, ...]
    confusion: np.ndarray
    images_per_second: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary that JSON can hold, and that ``weights publish`` takes as a report."""
        return {**asdict(self), "confusion": self.confusion.tolist()}


def load_network(
    source: str, data: ImageDataset, *, weights: str | None = None, num_threads: int = 1, trust: bool = False
) -> Classifier:
    """Loads what ``source`` names, to be evaluated.

    Args:
        source: Name of a network of the zoo, a saved Keras model, or a ``.tflite`` file.
        data: Gives the preprocessing and the classes of a saved Keras model, which does not tell them.
        weights: Tag or file of a network's weights; its own by default.
        num_threads: Threads for a ``.tflite`` file.
        trust: Whether to load a saved Keras model that may run code of its own.

    Raises:
        ImportError: If a ``.tflite`` file is to run where Larq Compute Engine has no wheel.
        OSError: If the file or the weights cannot be had.
        ValueError: If it is neither, or no classifier of images.
    """
    if Path(source).suffix not in _KERAS_SUFFIXES:
        return load_classifier(source, weights, num_threads=num_threads)
    if weights is not None:
        raise ValueError(f"{source} has weights of its own: leave out --weights.")
    from larq_melius.converters import load_keras_model

    model = load_keras_model(source, trust=trust)
    shape = model.input_shape[1:]
    if len(model.outputs) != 1 or len(model.output_shape) != 2 or len(shape) != 3 or None in shape:
        raise ValueError(f"{source} is no classifier of images of one size.")
    labels = data.classes if model.output_shape[-1] == len(data.classes) else ()
    return Classifier(shape, data.preprocessing, labels, model.predict_on_batch)


def evaluate(
    network: Classifier,
    data: ImageDataset,
    split: str = "validation",
    *,
    batch_size: int = 64,
    limit: int | None = None,
) -> DatasetEvaluation:
    """Classifies the images of a split; on a terminal, stderr shows the progress.

    The images are prepared as the network wants them, whatever the data set's own way is.

    Args:
        network: The network, as ``load_network`` gives it.
        data: The images.
        split: ``"validation"``, ``"train"`` or another one of the data set.
        batch_size: Images at a time.
        limit: Largest number of images.

    Raises:
        ValueError: If there is no such split, the network knows other classes, or its scores are no numbers.
    """
    data.check_split(split)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}.")
    if network.input_shape[2] != data.input_shape[2]:
        raise ValueError(
            f"The network takes images of {network.input_shape[2]} channels, those of {data.name} have "
            f"{data.input_shape[2]}."
        )
    indices = _class_indices(network, data)
    prepared = replace(data, input_shape=network.input_shape, preprocessing=network.preprocessing)
    total = min(limit or data.sizes[split], data.sizes[split])
    confusion = np.zeros((len(data.classes), len(data.classes)), "int64")
    counts, right, among_five = (np.zeros(len(data.classes), "int64") for _ in range(3))
    started = time.monotonic()
    done = 0
    with tqdm(total=total, unit=" images", file=sys.stderr, disable=not sys.stderr.isatty(), leave=False) as progress:
        for images, labels, mask in evaluation_batches(prepared, split, batch_size=batch_size):
            wanted = min(int(mask.numpy().sum()), total - done)
            scores = np.asarray(network.scores(images.numpy()))[:wanted]
            if not np.isfinite(scores).all():
                raise ValueError("The network's scores are not finite numbers: its weights are damaged.")
            truth = labels.numpy()[:wanted]
            ranks = _ranks(scores, indices[truth])
            answers = _answers(scores, indices)
            np.add.at(counts, truth, 1)
            np.add.at(right, truth, ranks < 1)
            np.add.at(among_five, truth, ranks < 5)
            np.add.at(confusion, (truth[answers >= 0], answers[answers >= 0]), 1)
            done += wanted
            progress.update(wanted)
            if done == total:
                break
    seconds = time.monotonic() - started
    return DatasetEvaluation(
        data=f"{data.name}, {split}" + (f", the first {total} images" if total < data.sizes[split] else ""),
        images=total,
        top1=float(right.sum() / total),
        top5=float(among_five.sum() / total) if scores.shape[1] > 5 else None,
        classes=tuple(
            ClassScore(name, int(images), int(hits))
            for name, images, hits in zip(data.classes, counts, right, strict=True)
        ),
        confusion=confusion,
        images_per_second=total / seconds,
    )


def _class_indices(network: Classifier, data: ImageDataset) -> np.ndarray:
    """The network's output for each class of the data."""
    labels = network.labels
    if labels == data.classes:
        return np.arange(len(labels))
    if not labels:
        raise ValueError(f"The network does not have the {len(data.classes)} classes of {data.name}.")
    missing = [name for name in data.classes if labels.count(name) != 1]
    if missing:
        raise ValueError(
            f"The network knows no class {missing[0]!r}, or several: {data.name} is not what it was made for."
        )
    return np.array([labels.index(name) for name in data.classes])


def _ranks(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How many classes come before the right one; of equal scores, the first comes first."""
    own = np.take_along_axis(scores, truth[:, np.newaxis], axis=1)
    lower = np.arange(scores.shape[1])[np.newaxis] < truth[:, np.newaxis]
    return ((scores > own) | ((scores == own) & lower)).sum(axis=1)


def _answers(scores: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """The answers as classes of the data, -1 for one that the data does not have."""
    classes = np.full(scores.shape[1], -1)
    classes[indices] = np.arange(len(indices))
    return classes[scores.argmax(axis=1)]
