"""Exports Keras models to TFLite flatbuffers for Larq Compute Engine, and checks each against its model."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from larq_melius.converters.export.convert import convert
from larq_melius.converters.export.page import report_page
from larq_melius.converters.export.prepare import (
    check_labels,
    check_weights,
    deployable_model,
    float_warnings,
    image_shape,
    sample_inputs,
)
from larq_melius.converters.export.report import ExportError, ExportReport, VerificationError
from larq_melius.converters.export.verify import Verification, batch_problems, verify
from larq_melius.converters.quantization.weight_only import check_quantization, quantize_weights
from larq_melius.converters.tflite.batching import with_batch
from larq_melius.converters.tflite.flatbuffer import count_operators
from larq_melius.converters.tflite.metadata import TFLiteMetadata, add_metadata
from larq_melius.files import check_writable, write_atomically
from larq_melius.models.safe_loading import load_model_safely
from larq_melius.preprocessing import IMAGENET, Preprocessing
from larq_melius.runtime.lce_interpreter import make_interpreter
from larq_melius.version import __version__
from larq_melius.weights.checks import first_line

_STORED_AS = {"weights": "8 bits", "float16": "16 bits"}


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
    quantize: str | None = None,
    batch: int | None = 1,
    page: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> ExportReport:
    """Converts a model to a ``.tflite`` file and checks the file against the model before it is put in place.

    The check runs both on photographs and on random images, compares logits and top-1 classes, and counts the
    ``LceBconv2d`` operators: a binary convolution that the converter does not recognize silently becomes a 32-bit one.
    See ``verify`` for what passes.

    Args:
        model: A Keras model with one image as input, or the path of a saved one (``.keras``, HDF5, SavedModel).
        path: The file to write.
        preprocessing: How an image becomes the model's input; goes into the file's metadata.
        labels: Names of the classes in the order of the outputs; go into the file.
        input_size: Height and width, for a model that leaves them open.
        images: Image files to check with, in place of the package's own photographs.
        name: Name of the network in the metadata; defaults to the model's.
        license: SPDX identifier of the weights' license.
        trust: Whether to load a saved model that may run code of its own; see ``load_model_safely``.
        quantize: How the weights of 32-bit layers are stored: ``"weights"`` for 8-bit integers, ``"float16"``, or
            ``None`` for 32 bits; see ``larq_melius.converters.quantization``.
        batch: How many images the file takes at once; ``None`` for as many as an interpreter is told by
            ``resize_tensor_input``, which Larq Compute Engine's does not have: that takes one image then.
        page: An HTML file to write about the export: sizes, signs that flip, latency, images, operators.
        progress: Called with a line about each step.

    Raises:
        ExportError: If the model cannot be exported.
        VerificationError: If the flatbuffer does not compute what the model does.
        ImportError: If Larq Compute Engine has no wheel for this machine, or ``quantize`` is given and
            ai-edge-quantizer is not installed.
        OSError: If an image cannot be read or the file cannot be written; nothing is left behind then.
    """
    check_writable(path)
    if page is not None:
        check_writable(page)
    if batch is not None and batch < 1:
        raise ValueError(f"batch must be a number of images from 1, or None, not {batch}.")
    if quantize is not None:
        check_quantization(quantize)
    report = progress or (lambda line: None)
    if not isinstance(model, tf.keras.Model):
        report(f"Loading {model}")
        try:
            model = load_model_safely(model, trust=trust)
        except (FileNotFoundError, ValueError) as error:
            raise ExportError(str(error)) from error
    check_weights(model)
    model = deployable_model(model, input_size)
    shape = image_shape(model)
    check_labels(model, labels)
    if shape[2] != len(preprocessing.mean):
        raise ExportError(
            f"The model wants {shape[2]} channels, but the mean and standard deviation are for "
            f"{len(preprocessing.mean)}: give those the model was trained with."
        )
    inputs = sample_inputs(shape, preprocessing, images)
    report(f"Converting {model.name}")
    stored = "" if quantize is None else f" Its 32-bit layers' weights are stored in {_STORED_AS[quantize]}."
    metadata = TFLiteMetadata(
        name=name or model.name,
        description=f"Image classifier, exported by larq-melius {__version__} for Larq Compute Engine.{stored}",
        input_shape=shape,
        preprocessing=preprocessing,
        labels=tuple(labels),
        license=license,
        version=__version__,
    )
    network = convert(model)
    if quantize is not None:
        # Beside Keras, the quantized network can only agree roughly; the one it is made from has to agree exactly.
        _verified(model, network, inputs, None, progress)
        report(f"Storing weights in {_STORED_AS[quantize]}")
        network = quantize_weights(network, quantize)
    flatbuffer = add_metadata(network, metadata)
    verification = _verified(model, flatbuffer, inputs, quantize, progress)
    shipped = make_interpreter(flatbuffer).predict(inputs[:1])  # with the softmax, which the comparison leaves out
    if tuple(shipped.shape[1:]) != tuple(model.outputs[0].shape[1:]):
        raise VerificationError(f"The flatbuffer of {model.name} gives outputs of the shape {shipped.shape[1:]}.")
    if batch != 1:
        report(f"Running batches of {batch or 'any number of'} images")
        single, flatbuffer = flatbuffer, add_metadata(with_batch(network, batch), metadata)
        _refuse(model, batch_problems(single, flatbuffer, batch, inputs))
    exported = ExportReport(
        path=write_atomically(path, flatbuffer),
        bytes=len(flatbuffer),
        operators=dict(count_operators(flatbuffer).most_common()),
        metadata=metadata,
        verification=verification,
        batch=batch,
        warnings=float_warnings(model),
    )
    if page is not None:
        report("Writing the page about it")
        text = report_page(exported, model, network, inputs)
        write_atomically(page, text.encode())
    return exported


def _verified(
    model: tf.keras.Model,
    flatbuffer: bytes,
    inputs: np.ndarray,
    quantization: str | None,
    progress: Callable[[str], None] | None,
) -> Verification:
    try:
        verification = verify(model, flatbuffer, inputs, quantization=quantization, progress=progress)
    except ValueError as error:  # The converter lets operators pass that no runtime has.
        raise ExportError(f"The flatbuffer of {model.name} cannot be run: {first_line(error)}") from error
    _refuse(model, verification.problems)
    return verification


def _refuse(model: tf.keras.Model, problems: Sequence[str]) -> None:
    if problems:
        raise VerificationError(f"The flatbuffer of {model.name} is not right: {'; '.join(problems)}.")
