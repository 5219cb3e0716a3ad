"""Classifies image files with a network of the zoo or an exported TFLite file."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from larq_melius.imagenet import imagenet_classes, top_indices
from larq_melius.images import load_image
from larq_melius.models.registry import find_variant
from larq_melius.preprocessing import IMAGENET, Preprocessing
from larq_melius.weights.records import find_record


@dataclass(frozen=True)
class Prediction:
    """One class of one image: its index among the outputs, its name and its score."""

    index: int
    label: str
    score: float


@dataclass(frozen=True)
class Classifier:
    """A network with all it takes to classify image files.

    Attributes:
        input_shape: Height, width and channels.
        preprocessing: How an image becomes the input.
        labels: Names of the classes; empty if unknown.
        scores: Maps normalized images, ``(batch, height, width, channels)``, to scores, ``(batch, classes)``.
    """

    input_shape: tuple[int, int, int]
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    scores: Callable[[np.ndarray], np.ndarray]

    def classify(self, image: str | os.PathLike[str], top: int = 5) -> list[Prediction]:
        """The classes with the highest scores, the highest first.

        Raises:
            OSError: If the image cannot be read.
        """
        pixels = load_image(image, self.input_shape, self.preprocessing)
        scores = self.scores(self.preprocessing.normalize(pixels[None]))[0]
        return [
            Prediction(index, self.labels[index] if self.labels else str(index), float(scores[index]))
            for index in top_indices(scores, top)
        ]


def load_classifier(source: str, weights: str | None = None, num_threads: int = 1) -> Classifier:
    """Loads what ``source`` names.

    Args:
        source: Name of a network of the zoo, or path of a ``.tflite`` file.
        weights: Tag or file of a network's weights; defaults to the network's own.
        num_threads: Threads for a ``.tflite`` file.

    Raises:
        ImportError: If a ``.tflite`` file is to run where Larq Compute Engine has no wheel.
        OSError: If the file cannot be read.
        ValueError: If there is no such network, it has no weights, or the file is not one to classify images with.
    """
    if Path(source).suffix == ".tflite":
        return _tflite_classifier(Path(source), num_threads)
    variant = find_variant(source)
    model = variant.function(weights=weights or variant.weights)
    record = find_record(variant.name, weights or variant.weights, variant.stem)
    height, width, channels = model.input_shape[1:]
    labels = record.classes if record else imagenet_labels(model.output_shape[-1])
    preprocessing = record.preprocessing if record else IMAGENET
    return Classifier(
        (height, width, channels), preprocessing, labels, lambda images: np.asarray(model(images, training=False))
    )


def imagenet_labels(classes: int) -> tuple[str, ...]:
    """The names of the ImageNet classes, if that is how many there are; nothing otherwise."""
    names = tuple(name for _, name in imagenet_classes())
    return names if classes == len(names) else ()


def _tflite_classifier(path: Path, num_threads: int) -> Classifier:
    from larq_melius.converters import read_metadata
    from larq_melius.runtime import make_interpreter

    data = path.read_bytes()
    try:
        metadata = read_metadata(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}.") from error
    if metadata is None:
        raise ValueError(
            f"{path} does not say how to normalize an image: it has no TFLite metadata of an image classifier."
        )
    interpreter = make_interpreter(data, num_threads=num_threads)
    return Classifier(metadata.input_shape, metadata.preprocessing, metadata.labels, interpreter.predict)
