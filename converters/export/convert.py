"""Conversion of a Keras model by Larq Compute Engine."""

import tempfile
import warnings

import tensorflow as tf

from larq_melius.converters.export.report import ExportError
from larq_melius.weights.checks import first_line


def convert(model: tf.keras.Model) -> bytes:
    """Converts a model to a TFLite flatbuffer with LCE's operators.

    Raises:
        ExportError: If Larq Compute Engine cannot convert the model.
        ImportError: If it has no wheel for this machine.
    """
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
        raise ExportError(f"Larq Compute Engine cannot convert {model.name}: {first_line(error)}") from error
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
