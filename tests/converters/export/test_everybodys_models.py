"""Models of others: what Larq Compute Engine leaves in 32 bits is named, and what cannot be exported is refused."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from command_line import run

from larq_melius.converters import ExportError, export_tflite, inspect_tflite
from larq_melius.runtime import make_interpreter

BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "use_bias": False}


def check(model, path, size):
    """Exports a model, and compares the file with Keras on images that the export has not seen."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 1, layer.moving_mean.shape))
            layer.beta.assign(rng.normal(0, 0.5, layer.beta.shape))
    report = export_tflite(model, path)
    images = rng.normal(size=(4, *size, 3)).astype("float32")
    expected = model.predict(images, verbose=0)
    actual = make_interpreter(path.read_bytes()).predict(images)
    assert (np.abs(actual - expected).max(axis=1) < 1e-4 * np.abs(expected).max()).sum() >= 2
    return report


def test_layers_without_a_binary_operator_are_named(tmp_path):
    image = tf.keras.Input((12, 12, 3))
    x = lq.layers.QuantConv2D(32, 3, kernel_quantizer="ste_sign", name="first")(image)
    x = tf.keras.layers.BatchNormalization()(x)
    x = lq.layers.QuantDepthwiseConv2D(3, input_quantizer="ste_sign", depthwise_quantizer="ste_sign", name="depthwise")(
        x
    )
    x = tf.keras.layers.BatchNormalization()(x)
    x = lq.layers.QuantConv2D(32, 3, padding="same", pad_values=1.0, name="binary", **BINARY)(x)
    x = tf.keras.layers.BatchNormalization()(x)
    x = lq.layers.QuantDense(5, name="dense", **BINARY)(tf.keras.layers.Flatten()(x))
    report = check(tf.keras.Model(image, x), tmp_path / "network.tflite", (12, 12))
    assert report.operators["LceBconv2d"] == 1
    assert sorted(text.split(":")[0] for text in report.warnings) == [
        "dense (QuantDense) runs in 32 bits",
        "depthwise (QuantDepthwiseConv2D) runs in 32 bits",
        "first (QuantConv2D) runs in 32 bits",
    ]
    assert any("FULLY_CONNECTED" in text for text in inspect_tflite(report.path).warnings)


def larq_zoo_like(kind):
    """The blocks of the Larq Zoo's architectures, as its documentation describes them, with few channels."""

    def conv(x, filters, **options):
        return lq.layers.QuantConv2D(filters, 3, padding="same", pad_values=1.0, **{**BINARY, **options})(x)

    def norm(x):
        return tf.keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    image = tf.keras.Input((32, 32, 3))
    x = norm(tf.keras.layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(image))
    for stage in range(2):
        if kind == "BinaryAlexNet":
            x = norm(tf.keras.layers.MaxPool2D()(conv(x, 64)))
        elif kind == "BiRealNet":
            magnitude = {"input_quantizer": "approx_sign", "kernel_quantizer": "magnitude_aware_sign"}
            x = tf.keras.layers.add([norm(conv(x, 32, **magnitude)), x])
        elif kind == "QuickNet":
            x = tf.keras.layers.add([norm(conv(x, 32, activation="relu")), x])
            pooled = tf.keras.layers.MaxPool2D()(x)
            x = norm(tf.keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(pooled))
        elif kind == "XNORNet":
            scaled = {"input_quantizer": lq.quantizers.SteSign(clip_value=1.0), "kernel_quantizer": "ste_sign"}
            x = tf.keras.layers.MaxPool2D(3, 2)(tf.keras.layers.Activation("relu")(norm(conv(x, 48, **scaled))))
        else:
            grown = conv(norm(x), 32)
            x = tf.keras.layers.concatenate([x, grown])
            if stage == 0:
                x = tf.keras.layers.Conv2D(32, 1)(tf.keras.layers.Activation("relu")(tf.keras.layers.MaxPool2D()(x)))
    x = tf.keras.layers.Activation("relu")(x)
    x = tf.keras.layers.Dense(7)(tf.keras.layers.GlobalAveragePooling2D()(x))
    return tf.keras.Model(image, tf.keras.layers.Activation("softmax", dtype="float32")(x))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["BinaryAlexNet", "BiRealNet", "QuickNet", "XNORNet", "BinaryDenseNet"])
def test_architectures_of_the_larq_zoo(kind, tmp_path):
    report = check(larq_zoo_like(kind), tmp_path / "network.tflite", (32, 32))
    assert report.verification.lce_bconv2d == report.verification.binary_convolutions == 2
    assert report.warnings == ()


def small() -> tf.keras.Model:
    return tf.keras.Sequential(
        [tf.keras.layers.Conv2D(4, 3, input_shape=(8, 8, 3)), tf.keras.layers.GlobalAveragePooling2D()]
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_before_conversion(value, tmp_path, monkeypatch):
    monkeypatch.setattr("larq_melius.converters.export.exporter.convert", lambda model: pytest.fail("converted"))
    model = small()
    model.layers[0].kernel[0, 0, 0, 0].assign(value)
    with pytest.raises(ExportError, match=r"conv2d.*/kernel.* are not finite numbers"):
        export_tflite(model, tmp_path / "model.tflite")
    assert list(tmp_path.iterdir()) == []


def test_several_inputs_or_outputs_are_refused(tmp_path):
    a, b = tf.keras.Input((8, 8, 3)), tf.keras.Input((8, 8, 3))
    for model, counts in ((tf.keras.Model([a, b], a + b), "2 and 1"), (tf.keras.Model(a, [a + 1, a + 2]), "1 and 2")):
        with pytest.raises(ExportError, match=f"one input and one output.*{counts}"):
            export_tflite(model, tmp_path / "model.tflite")
    assert list(tmp_path.iterdir()) == []


def test_operators_that_no_runtime_has_are_one_line(tmp_path):
    image = tf.keras.Input((8, 8, 3))
    x = tf.keras.layers.Lambda(lambda x: tf.math.igamma(1 + tf.abs(x), 2 + tf.abs(x)))(image)
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    with pytest.raises(ExportError, match=r"cannot be run: .*Igamma") as error:
        export_tflite(tf.keras.Model(image, x), tmp_path / "model.tflite")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_bad_targets_and_files_end_the_command_with_one_line(tmp_path):
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(b"PK\x03\x04 no zip")
    small().save(tmp_path / "small.keras")
    before = sorted(tmp_path.iterdir())
    for arguments in (
        (damaged, "-o", tmp_path / "x.tflite"),
        (tmp_path / "small.keras", "-o", ""),
        (tmp_path / "small.keras", "-o", tmp_path),
        (tmp_path / "small.keras", "-o", tmp_path / "none" / "x.tflite"),
        (tmp_path / "small.keras", "-o", tmp_path / "x.tflite", "--quantize", "int8"),
    ):
        result = run("export", *arguments)
        assert result.returncode == 2, arguments
        assert result.stderr.splitlines()[-1].startswith("Error: ")
        assert len(result.stderr.splitlines()) == 1, result.stderr
    assert sorted(tmp_path.iterdir()) == before
