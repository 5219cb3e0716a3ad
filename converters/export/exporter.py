"""Exports Keras models to TFLite flatbuffers for Larq Compute Engine, and proves that each is right."""

import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from larq_melius.converters.export.verification import Verification, verify
from larq_melius.converters.tflite.flatbuffer import count_operators
from larq_melius.converters.tflite.metadata import TFLiteMetadata, add_metadata
from larq_melius.files import check_writable, write_atomically
from larq_melius.images import load_image
from larq_melius.models.safe_loading import load_model_safely
from larq_melius.preprocessing import IMAGENET, Preprocessing
from larq_melius.runtime.lce_interpreter import make_interpreter
from larq_melius.version import __version__

_SAMPLE_IMAGES = ("china.jpg", "flower.jpg")
_RANDOM_SAMPLES = 4


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
        operators: How often each operator stands in it.
        metadata: What the file says about itself.
        verification: Comparison with the Keras model.
    """

    path: Path
    bytes: int
    operators: dict[str, int]
    metadata: TFLiteMetadata
    verification: Verification


def export_tflite(
    model: tf.keras.Model | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    preprocessing: Preprocessing = IMAGENET,
    labels: Sequence[str] = (),
    input_size: tuple[int, int] | None = None,
    images: Sequence[str | os.PathLike[str]] = (),
    name: str | None = None,
    license: str = "",
    trust: bool = False,
    progress: Callable[[str], None] | None = None,
) -> ExportReport:
    """Converts a model to a ``.tflite`` file and checks the file against the model before it is put in place.

    The check runs both on photographs and on random inputs, compares logits and top-1 classes, and counts the
    ``LceBconv2d`` operators: a binary convolution that the converter does not recognize becomes a 32-bit one without
    a word. See ``verify`` for what passes.

    Args:
        model: A Keras model with one image as input, or the path of a saved one (``.keras``, HDF5, SavedModel).
        path: The file to write.
        preprocessing: How an image becomes the model's input; goes into the file's metadata.
        labels: Names of the classes in the order of the outputs; go into the file.
        input_size: Height and width, for a model that leaves them open.
        images: Image files to check with, in the place of the package's own photographs.
        name: Name of the network in the metadata; defaults to the model's.
        license: SPDX identifier of the weights' license.
        trust: Whether to load a saved model that may run code of its own.
        progress: Called with a line about each step.

    Raises:
        ExportError: If the model cannot be exported.
        VerificationError: If the flatbuffer does not compute what the model does.
        ImportError: If Larq Compute Engine has no wheel for this machine.
        OSError: If an image cannot be read or the file cannot be written; nothing is left behind then.
    """
    check_writable(path)
    report = progress or (lambda line: None)
    if not isinstance(model, tf.keras.Model):
        report(f"Loading {model}")
        model = load_keras_model(model, trust=trust)
    model = _deployable(model, input_size)
    shape = _image_shape(model)
    _check_labels(model, labels)
    if shape[2] != len(preprocessing.mean):
        raise ExportError(
            f"The model wants {shape[2]} channels, but the mean and standard deviation are for "
            f"{len(preprocessing.mean)}: give those the model was trained with."
        )
    inputs = _inputs(shape, preprocessing, images)
    report(f"Converting {model.name}")
    metadata = TFLiteMetadata(
        name=name or model.name,
        description=f"Image classifier, exported by larq-melius {__version__} for Larq Compute Engine.",
        input_shape=shape,
        preprocessing=preprocessing,
        labels=tuple(labels),
        license=license,
        version=__version__,
    )
    flatbuffer = add_metadata(_convert(model), metadata)
    verification = verify(model, flatbuffer, inputs, progress=progress)
    if verification.problems:
        raise VerificationError(f"The flatbuffer of {model.name} is not right: {'; '.join(verification.problems)}.")
    _run_whole(flatbuffer, inputs[:1], model)
    return ExportReport(
        path=write_atomically(path, flatbuffer),
        bytes=len(flatbuffer),
        operators=dict(count_operators(flatbuffer).most_common()),
        metadata=metadata,
        verification=verification,
    )


def load_keras_model(path: str | os.PathLike[str], *, trust: bool = False) -> tf.keras.Model:
    """Loads a saved Keras model.

    Args:
        path: A ``.keras`` or HDF5 file, or a SavedModel folder.
        trust: Whether to load a file that may run code of its own; see ``load_model_safely``.

    Raises:
        ExportError: If there is none at ``path``, it cannot be read, or it needs ``trust``.
    """
    try:
        return load_model_safely(path, trust=trust)
    except (FileNotFoundError, ValueError) as error:
        raise ExportError(str(error)) from error


def _deployable(model: tf.keras.Model, input_size: tuple[int, int] | None) -> tf.keras.Model:
    """The model in float32 and at one size; the same object if it is so already."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ExportError(
            f"Only models with one input and one output can be exported; this one has {len(model.inputs)} and "
            f"{len(model.outputs)}."
        )
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3:
        raise ExportError(f"Only models of images (height, width, channels) can be exported; this one wants {shape}.")
    size = input_size or shape[:2]
    if None in size:
        raise ExportError("The model leaves the size of its input open: give an input size.")
    mixed = any(layer.compute_dtype != "float32" for layer in model.layers)
    if not mixed and size == shape[:2]:
        return model

    def in_float32(layer: Any) -> Any:
        return type(layer).from_config(_in_float32(layer.get_config()))

    image = tf.keras.layers.Input((*size, shape[2]), name=model.inputs[0].name)
    try:
        copy = tf.keras.models.clone_model(model, input_tensors=[image], clone_function=in_float32)
    except ValueError as error:
        raise ExportError(f"{model.name} cannot take images of {size[0]}x{size[1]}: {error}") from error
    copy.set_weights(model.get_weights())
    return copy


def _in_float32(config: Any) -> Any:
    """A layer's configuration with float32 for every reduced precision, that of Larq's quantizers included."""
    if isinstance(config, list):
        return [_in_float32(item) for item in config]
    if not isinstance(config, dict):
        return config
    return {
        key: "float32" if key == "dtype" and "float16" in str(value) else _in_float32(value)
        for key, value in config.items()
    }


def _image_shape(model: tf.keras.Model) -> tuple[int, int, int]:
    height, width, channels = model.inputs[0].shape[1:]
    return height, width, channels


def _check_labels(model: tf.keras.Model, labels: Sequence[str]) -> None:
    outputs = model.outputs[0].shape
    if labels and (len(outputs) != 2 or outputs[1] != len(labels)):
        raise ExportError(f"There are {len(labels)} labels, but the model's output has the shape {tuple(outputs)}.")


def _inputs(
    shape: tuple[int, int, int], preprocessing: Preprocessing, images: Sequence[str | os.PathLike[str]]
) -> np.ndarray:
    """Photographs, each also mirrored, and random images, normalized."""
    if images:
        pixels = [load_image(image, shape, preprocessing) for image in images]
    else:
        pixels = [_sample_image(name, shape, preprocessing) for name in _SAMPLE_IMAGES]
    pixels += [image[:, ::-1] for image in pixels]
    rng = np.random.default_rng(0)
    pixels += list(rng.integers(0, 256, (_RANDOM_SAMPLES, *shape), "uint8"))
    normalized: np.ndarray = preprocessing.normalize(np.stack(pixels))
    return normalized


def _sample_image(name: str, shape: tuple[int, int, int], preprocessing: Preprocessing) -> np.ndarray:
    with as_file(files("larq_melius").joinpath("data", name)) as path:
        return load_image(path, shape, preprocessing)


def _convert(model: tf.keras.Model) -> bytes:
    try:
        import larq_compute_engine as lce
    except ImportError as error:
        raise ImportError(
            "Export needs larq-compute-engine, which has wheels for Linux on x86-64 and for macOS: "
            f"pip install larq-compute-engine ({error})."
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with tempfile.TemporaryDirectory() as folder:
                _save_inference(model, folder)
                flatbuffer: bytes = lce.convert_saved_model(folder)
    except Exception as error:  # The converter raises whatever its layers raise.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(f"Larq Compute Engine cannot convert {model.name}: {reason[0]}") from error
    return flatbuffer


def _save_inference(model: tf.keras.Model, folder: str) -> None:
    """Writes the SavedModel that ``lce.convert_keras_model`` would convert, without what conversion ignores.

    Keras also traces every layer by itself, in inference and in training, which takes four times as long as all the
    rest of the conversion; the flatbuffer is the same to the last byte.
    """
    (image,) = model.inputs

    @tf.function(input_signature=[tf.TensorSpec(image.shape, image.dtype, name=model.input_names[0])])
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(images, training=False)
        return dict(zip(model.output_names, tf.nest.flatten(outputs), strict=True))

    module = tf.Module()
    module.weights = model.variables
    tf.saved_model.save(module, folder, signatures=serve)


def _run_whole(flatbuffer: bytes, inputs: np.ndarray, model: tf.keras.Model) -> None:
    """Runs the file as it will be shipped, its softmax included."""
    actual = make_interpreter(flatbuffer).predict(inputs)
    if tuple(actual.shape[1:]) != tuple(model.outputs[0].shape[1:]):
        raise VerificationError(f"The flatbuffer of {model.name} gives outputs of the shape {actual.shape[1:]}.")
