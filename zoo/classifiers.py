"""From what a user names (a network, a saved Keras model, a ``.tflite`` file) to a network that can be used."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import tensorflow as tf

from larq_melius.imagenet import imagenet_names, top_indices
from larq_melius.images import load_image
from larq_melius.models.registry import find_variant
from larq_melius.models.safe_loading import KERAS_SUFFIXES, is_saved_model, load_model_safely
from larq_melius.preprocessing import IMAGENET, Preprocessing
from larq_melius.runtime import Interpreter, Runtime
from larq_melius.weights.loading import convention_of
from larq_melius.weights.records import WeightsRecord, find_record, list_records

#: What ``weights`` is to be for random weights.
RANDOM_WEIGHTS = "none"
TFLITE_SUFFIX = ".tflite"


@dataclass(frozen=True)
class Prediction:
    """One class of one image: its index among the outputs, its name and its score."""

    index: int
    label: str
    score: float


@dataclass(frozen=True)
class Classifier:
    """A network with all it takes to classify images.

    Attributes:
        input_shape: Height, width and channels.
        preprocessing: How an image becomes the input.
        labels: Names of the classes; empty if unknown.
        scores: Maps normalized images, ``(batch, height, width, channels)``, to scores, ``(batch, classes)``.
        assumptions: What was assumed because the source does not say it, one sentence each.
        runtime: What runs it: ``"keras"``, or ``Interpreter.runtime`` of a ``.tflite`` file.
    """

    input_shape: tuple[int, int, int]
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    scores: Callable[[np.ndarray], np.ndarray]
    assumptions: tuple[str, ...] = ()
    runtime: Literal["keras", "delegate", "lce"] = "keras"

    def finite_scores(self, images: np.ndarray) -> np.ndarray:
        """The scores, ``(batch, classes)``, of normalized images, ``(batch, height, width, channels)``.

        Raises:
            ValueError: If a score is infinite or not a number.
        """
        scores = np.asarray(self.scores(images))
        if not np.isfinite(scores).all():
            raise ValueError("The network's scores are not finite numbers: its weights are damaged.")
        return scores

    def classify(self, image: str | os.PathLike[str] | BinaryIO, top: int = 5) -> list[Prediction]:
        """The ``top`` classes with the highest scores, the highest first.

        Args:
            image: Path of an image file, or an open one.
            top: Number of classes.

        Raises:
            OSError: If the image cannot be read.
            ValueError: If a score is infinite or not a number.
        """
        pixels = load_image(image, self.input_shape, self.preprocessing)
        scores = self.finite_scores(self.preprocessing.normalize(pixels[np.newaxis]))[0]
        return [
            Prediction(index, self.labels[index] if self.labels else str(index), float(scores[index]))
            for index in top_indices(scores, top)
        ]


@dataclass(frozen=True)
class ZooVariant:
    """Which network of the zoo a model is: its name in the zoo, its stem, and whose padding convention it follows."""

    name: str
    stem: str
    convention: str


@dataclass(frozen=True)
class Network:
    """A Keras model and what is known about it.

    Attributes:
        model: The model.
        source: Where its weights come from: a file, a tag, or ``"none"``.
        variant: The network of the zoo that it is; ``None`` for a saved model.
        record: The registry's entry of its weights, if they have one.
        labels: Names of the classes in the order of the outputs; empty if unknown.
        preprocessing: How an image becomes the input; ``None`` if unknown.
        assumptions: What was assumed because the source does not say it, one sentence each.
    """

    model: tf.keras.Model
    source: str
    variant: ZooVariant | None
    record: WeightsRecord | None
    labels: tuple[str, ...]
    preprocessing: Preprocessing | None
    assumptions: tuple[str, ...] = ()

    def known_preprocessing(self) -> Preprocessing:
        """The preprocessing.

        Raises:
            ValueError: If it is unknown.
        """
        if self.preprocessing is None:
            raise ValueError(_channels_message(self.model))
        return self.preprocessing

    def classifier(self, input_size: int | None = None) -> Classifier:
        """The network as a classifier of images.

        Args:
            input_size: Height and width in pixels for a model that leaves them open.

        Raises:
            ValueError: If the model does not map images of one size to scores, or the preprocessing is unknown.
        """
        shape = _image_shape(self.model, input_size)
        if shape is None or len(self.model.outputs) != 1 or len(self.model.output_shape) != 2:
            raise ValueError(f"{self.model.name} does not classify images of one size.")
        model = self.model
        return Classifier(
            shape,
            self.known_preprocessing(),
            self.labels,
            lambda images: np.asarray(model(images, training=False)),
            self.assumptions,
        )


def load_classifier(
    source: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    *,
    labels: Sequence[str] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    num_threads: int = 1,
    runtime: Runtime = "auto",
    **options: Any,
) -> Classifier:
    """Loads what ``source`` names, ready to classify images.

    Args:
        source: Name of a network of the zoo, or path of a saved Keras model or a ``.tflite`` file.
        weights: As in ``load_network``.
        labels: As in ``load_network``; override those in a ``.tflite`` file.
        preprocessing: As in ``load_network``; overrides that in a ``.tflite`` file.
        num_threads: Threads for a ``.tflite`` file.
        runtime: What is to run a ``.tflite`` file; see ``larq_melius.runtime.Interpreter``.
        **options: Further arguments of ``load_network``.

    Raises:
        ImportError: If what is to run a ``.tflite`` file is not installed.
        OSError: If the file or the weights are not available.
        ValueError: If there is no such network or file, an argument does not fit it, or it does not classify images.
    """
    check_source(source)
    if Path(source).suffix == TFLITE_SUFFIX:
        _refuse_variants(source, {"weights": weights, **options})
        default_labels = options.get("default_labels")
        return _tflite_classifier(Path(source), labels, preprocessing or {}, default_labels, num_threads, runtime)
    network = load_network(source, weights, labels=labels, preprocessing=preprocessing, **options)
    return network.classifier(options.get("input_size"))


def load_network(
    source: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    *,
    stem: str | None = None,
    convention: str | None = None,
    classes: int | None = None,
    input_size: int | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    default_labels: Sequence[str] | None = None,
    default_preprocessing: Preprocessing | None = None,
    trust: bool = False,
) -> Network:
    """Loads the Keras model that ``source`` names.

    Args:
        source: Name of a network of the zoo, or path of a saved Keras model (``.keras``, HDF5 or a SavedModel folder).
        weights: Tag or file of a network's weights, ``"none"`` for random ones; defaults to the network's own.
        stem: Stem of a network; defaults to its own, unless the weights are there for one other stem only.
        convention: Padding convention of a network; defaults to that of its weights.
        classes: Number of classes of a network; defaults to that of ``labels``, or else to its own.
        input_size: Height and width of a network's image in pixels; defaults to its own. A saved model keeps its shape.
        labels: Names of the classes; defaults to those in the registry's entry of the weights.
        preprocessing: Fields of ``Preprocessing`` that differ from those in the registry's entry of the weights.
        default_labels: Names for the classes of weights without an entry, if there are as many; by default, ImageNet's
            are assumed.
        default_preprocessing: Preprocessing of weights without an entry; by default, ImageNet's is assumed.
        trust: Whether to load a saved model that may run code of its own; see ``load_model_safely``.

    Raises:
        OSError: If the file or the weights are not available.
        ValueError: If there is no such network or file, or an argument does not fit it.
    """
    check_source(source)
    notes: list[str]
    if is_saved_model(source):
        _refuse_variants(source, {"weights": weights, "stem": stem, "convention": convention, "classes": classes})
        model, origin, variant, record, notes = load_model_safely(source, trust=trust), str(source), None, None, []
    else:
        classes = len(labels) if classes is None and labels is not None else classes
        model, variant, record, notes = _build(str(source), weights, stem, convention, classes, input_size)
        origin = str(weights or variant.name)
    told = record is not None or weights == RANDOM_WEIGHTS
    names, assumed = _labels(model, labels, record, default_labels)
    if assumed and not told:
        notes.append(f"{origin} does not name its {len(names):,} classes: ImageNet's are assumed (--labels).")
    chosen, assumed = _preprocessing(model, preprocessing or {}, record, default_preprocessing)
    if assumed and not told:
        notes.append(
            f"{origin} does not say how images are normalized: ImageNet's mean and standard deviation are assumed "
            "(--mean, --std)."
        )
    return Network(model, origin, variant, record, names, chosen, tuple(notes))


def check_source(source: str | os.PathLike[str]) -> None:
    """Checks quickly what a user names, before anything that takes long.

    Raises:
        ValueError: If it is neither a network of the zoo nor a file or folder that exists.
    """
    if Path(source).suffix in (*KERAS_SUFFIXES, TFLITE_SUFFIX) and not Path(source).exists():
        raise ValueError(f"{source} does not exist.")
    if not is_saved_model(source) and Path(source).suffix != TFLITE_SUFFIX:
        find_variant(str(source))


def stem_with_weights(model: str, tag: str, default: str) -> str:
    """The stem to use: the network's own, unless the registry has the weights for one other stem only.

    Args:
        model: Name of the network.
        tag: Tag of the weights.
        default: The network's own stem.
    """
    stems = {record.stem for record in list_records() if (record.model, record.tag) == (model, tag)}
    return stems.pop() if len(stems) == 1 else default


def imagenet_labels(classes: int | None) -> tuple[str, ...]:
    """The names of ImageNet's classes if there are that many, or else none."""
    return imagenet_names() if classes == len(imagenet_names()) else ()


def _build(
    name: str,
    weights: str | os.PathLike[str] | None,
    stem: str | None,
    convention: str | None,
    classes: int | None,
    input_size: int | None,
) -> tuple[tf.keras.Model, ZooVariant, WeightsRecord | None, list[str]]:
    """A network of the zoo, the registry's entry of its weights, and what was assumed."""
    variant = find_variant(name)
    tag = None if weights == RANDOM_WEIGHTS else str(weights or variant.weights)
    notes = []
    if stem is None:
        stem = variant.stem if tag is None else stem_with_weights(variant.name, tag, variant.stem)
        if stem != variant.stem:
            notes.append(f"The {tag!r} weights of {variant.name} are for the {stem} stem, which is used.")
    options: dict[str, Any] = {"weights": tag, "stem": stem, "convention": convention}
    if classes is not None:
        options["classes"] = classes
    if input_size is not None:
        options["input_shape"] = (input_size, input_size, variant.input_shape[2])
    record = None if tag is None else find_record(variant.name, tag, stem)
    model = variant.function(**options)
    return model, ZooVariant(variant.name, stem, convention or convention_of(tag, record)), record, notes


def _labels(
    model: tf.keras.Model, given: Sequence[str] | None, record: WeightsRecord | None, default: Sequence[str] | None
) -> tuple[tuple[str, ...], bool]:
    """The names of the classes, and whether ImageNet's were assumed."""
    shape = model.output_shape
    classes = shape[-1] if isinstance(shape, tuple) and len(shape) == 2 else None
    if given is not None:
        if len(given) != classes:
            raise ValueError(f"There are {len(given)} labels, but the network's output has the shape {shape}.")
        return tuple(given), False
    names = record.classes if record is not None else default
    if names is not None:
        return (tuple(names) if len(names) == classes else ()), False
    assumed = imagenet_labels(classes)
    return assumed, bool(assumed)


def _preprocessing(
    model: tf.keras.Model, given: Mapping[str, Any], record: WeightsRecord | None, default: Preprocessing | None
) -> tuple[Preprocessing | None, bool]:
    """The preprocessing, ``None`` if it is unknown, and whether ImageNet's normalization was assumed."""
    known = record.preprocessing if record is not None else default
    chosen = replace(known or IMAGENET, **given)
    shape = model.input_shape
    channels = shape[-1] if isinstance(shape, tuple) else None
    if not len(chosen.mean) == len(chosen.std) == channels:
        if given:
            raise ValueError(_channels_message(model))
        return None, False
    return chosen, known is None and not {"mean", "std"} <= given.keys()


def _channels_message(model: tf.keras.Model) -> str:
    return f"The network's images have {model.input_shape[-1]} channels: give mean and std for as many (--mean, --std)."


def _image_shape(model: tf.keras.Model, input_size: int | None) -> tuple[int, int, int] | None:
    """Height, width and channels of a model's only input, or ``None`` if it is not an image of one size."""
    if len(model.inputs) != 1 or len(model.input_shape) != 4:
        return None
    height, width, channels = model.input_shape[1:]
    height, width = height or input_size, width or input_size
    if height is None or width is None or channels is None:
        return None
    return height, width, channels


def _refuse_variants(source: str | os.PathLike[str], options: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` if an option is set that chooses a variant of a network, while ``source`` is a file."""
    for name in ("weights", "stem", "convention", "classes"):
        if options.get(name) is not None:
            raise ValueError(f"--{name} is for networks of the zoo, and {source} is a saved model: leave it out.")


def _tflite_classifier(
    path: Path,
    labels: Sequence[str] | None,
    preprocessing: Mapping[str, Any],
    default_labels: Sequence[str] | None,
    num_threads: int,
    runtime: Runtime,
) -> Classifier:
    from larq_melius.converters import read_metadata

    data = path.read_bytes()
    try:
        metadata = read_metadata(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}.") from error
    if metadata is None:
        raise ValueError(
            f"{path} does not say how to normalize an image: it has no TFLite metadata of an image classifier."
        )
    interpreter = Interpreter(path, num_threads, runtime=runtime)
    images, scores = ([info.shape for info in tensors] for tensors in (interpreter.inputs, interpreter.outputs))
    if images != [(1, *metadata.input_shape)] or len(scores) != 1 or len(scores[0]) != 2:
        raise ValueError(f"{path} does not classify images of one size.")
    classes = scores[0][-1]
    if labels is not None and len(labels) != classes:
        raise ValueError(f"There are {len(labels)} labels, but {path} has {classes} classes.")
    names = labels or metadata.labels or default_labels or ()
    return Classifier(
        metadata.input_shape,
        replace(metadata.preprocessing, **preprocessing),
        tuple(names) if len(names) == classes else (),
        interpreter.predict,
        runtime=interpreter.runtime,
    )
