"""What an export needs before it converts: a model that can be deployed, and inputs to check it with."""

import os
from collections.abc import Sequence
from importlib.resources import as_file, files
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from larq_melius.converters.export.report import ExportError
from larq_melius.images import load_image
from larq_melius.preprocessing import Preprocessing
from larq_melius.weights.checks import first_line

_SAMPLE_IMAGES = ("china.jpg", "flower.jpg")
_RANDOM_SAMPLES = 4


def deployable_model(model: tf.keras.Model, input_size: tuple[int, int] | None) -> tf.keras.Model:
    """The model in float32 and with a fixed input size; the same object if it has both already.

    Args:
        model: A model with one image as input.
        input_size: Height and width, for a model that leaves them open.

    Raises:
        ExportError: If the model is of another kind, or cannot take images of that size.
    """
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
        copy.set_weights(model.get_weights())
    except ValueError as error:
        raise ExportError(f"{model.name} cannot take images of {size[0]}x{size[1]}: {first_line(error)}") from error
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


def check_weights(model: tf.keras.Model) -> None:
    """Raises ``ExportError`` if a weight is NaN or infinite."""
    for variable in model.weights:
        if not np.isfinite(variable.numpy()).all():
            raise ExportError(f"The weights {variable.name} are not finite numbers.")


def float_warnings(model: tf.keras.Model) -> tuple[str, ...]:
    """One sentence for each layer with binary weights that Larq Compute Engine has no binary operator for."""
    warnings = []
    for layer in model.submodules:
        binary = {
            name
            for name in ("input_quantizer", "kernel_quantizer", "depthwise_quantizer", "pointwise_quantizer")
            if getattr(getattr(layer, name, None), "precision", None) == 1
        }
        convolution = isinstance(layer, lq.layers.QuantConv2D) and not isinstance(layer, lq.layers.QuantConv2DTranspose)
        if binary - {"input_quantizer"} and not (convolution and "input_quantizer" in binary):
            reason = "its input is not binary" if convolution else "Larq Compute Engine has no binary operator for it"
            warnings.append(f"{layer.name} ({type(layer).__name__}) runs in 32 bits: {reason}.")
    return tuple(warnings)


def image_shape(model: tf.keras.Model) -> tuple[int, int, int]:
    """Height, width and channels of the model's input."""
    height, width, channels = model.inputs[0].shape[1:]
    return height, width, channels


def check_labels(model: tf.keras.Model, labels: Sequence[str]) -> None:
    """Raises ``ExportError`` if there are labels, but not one for each output."""
    outputs = model.outputs[0].shape
    if labels and (len(outputs) != 2 or outputs[1] != len(labels)):
        raise ExportError(f"There are {len(labels)} labels, but the model's output has the shape {tuple(outputs)}.")


def sample_inputs(
    shape: tuple[int, int, int], preprocessing: Preprocessing, images: Sequence[str | os.PathLike[str]]
) -> np.ndarray:
    """Inputs to compare the model and the flatbuffer on: photographs, each also mirrored, and random images.

    Args:
        shape: Height, width and channels.
        preprocessing: How they become inputs.
        images: Image files to use in place of the package's own photographs.

    Returns:
        Normalized images, ``(samples, height, width, channels)``, float32.

    Raises:
        OSError: If an image cannot be read.
    """
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
