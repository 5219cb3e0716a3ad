"""Networks for several images at once: each image of a batch gets the scores that it gets alone."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from command_line import run

import larq_melius as lm
from larq_melius import runtime
from larq_melius.converters import VerificationError, export_tflite, inspect_tflite
from larq_melius.converters.export import exporter
from larq_melius.preprocessing import Preprocessing

DIGIT = Preprocessing((80.0,), (95.0,))


def resized(path, images):
    interpreter = Interpreter(str(path), experimental_delegates=[runtime.delegate()])
    interpreter.resize_tensor_input(0, images.shape, strict=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("batch", [4, None])
def test_scores_of_a_batch_are_those_of_keras(batch, digits_flatbuffer, delegate_library, tmp_path, monkeypatch):
    monkeypatch.setenv("LARQ_MELIUS_DELEGATE", str(delegate_library))
    monkeypatch.setattr(exporter, "convert", lambda model: digits_flatbuffer)
    model, path = lm.MeliusNetTiny(weights="digits"), tmp_path / "digits.tflite"
    report = export_tflite(model, path, preprocessing=DIGIT, batch=batch, labels="0123456789")
    assert report.batch == batch
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    expected = np.asarray(model(images))
    np.testing.assert_allclose(resized(path, images), expected, atol=1e-4)
    found = inspect_tflite(path)
    assert found.inputs[0].shape == (batch or -1, 8, 8, 1)
    assert found.outputs[0].shape == (batch or -1, 10)
    assert found.binary_macs == lm.count_operations(model).binary_macs
    if batch is None:
        np.testing.assert_allclose(runtime.make_interpreter(path.read_bytes()).predict(images), expected, atol=1e-4)
    else:
        (scores,) = runtime.make_interpreter(path.read_bytes()).interpreter.predict([images])
        np.testing.assert_allclose(scores, expected, atol=1e-4)


def reshaping() -> tf.keras.Model:
    """A network that reshapes with a constant."""
    image = tf.keras.Input((6, 4, 3))
    x = tf.keras.layers.Conv2D(8, 3)(image)
    return tf.keras.Model(image, tf.keras.layers.Dense(5)(tf.keras.layers.Reshape((64,))(x)))


@pytest.mark.parametrize("library", [True, False])
def test_reshaping_networks(library, delegate_library, tmp_path, monkeypatch):
    monkeypatch.setenv("LARQ_MELIUS_DELEGATE", str(delegate_library))
    model, path = reshaping(), tmp_path / "network.tflite"
    if not library:
        monkeypatch.delenv("LARQ_MELIUS_DELEGATE")
    export_tflite(model, path, batch=None)
    monkeypatch.setenv("LARQ_MELIUS_DELEGATE", str(delegate_library))
    images = np.random.default_rng(0).normal(size=(3, 6, 4, 3)).astype("float32")
    np.testing.assert_allclose(resized(path, images), np.asarray(model(images)), atol=1e-4)


def test_batch_that_computes_something_else_is_refused(digits_flatbuffer, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "convert", lambda model: digits_flatbuffer)
    monkeypatch.setattr(exporter, "with_batch", lambda data, batch: data)
    with pytest.raises(VerificationError, match=r"does not run on 4 images at once|results"):
        export_tflite(lm.MeliusNetTiny(), tmp_path / "digits.tflite", preprocessing=DIGIT, batch=4)
    assert list(tmp_path.iterdir()) == []


def test_command_line(tmp_path):
    path = tmp_path / "small.tflite"
    model = tf.keras.Sequential(
        [tf.keras.layers.Conv2D(4, 3, input_shape=(None, None, 3)), tf.keras.layers.GlobalAveragePooling2D()]
    )
    model.save(tmp_path / "small.keras")
    arguments = ("export", tmp_path / "small.keras", "-o", path)
    result = run(*arguments, "--batch", "any", "--input-size", 12, 10)
    assert result.returncode == 0, result.stderr
    assert "cannot resize a network: it runs one image at a time" in result.stderr
    assert inspect_tflite(path).inputs[0].shape == (-1, 12, 10, 3)
    for value in ("0", "-1", "many"):
        result = run(*arguments, "--batch", value)
        assert result.returncode == 2
        assert "neither a number from 1 nor 'any'" in result.stderr
