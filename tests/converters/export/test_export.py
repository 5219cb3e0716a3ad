"""Export to TFLite: what is written computes what Keras does, or nothing is written."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import larq_melius as lm
from larq_melius.converters import (
    ExportError,
    VerificationError,
    count_operators,
    export_tflite,
    read_metadata,
)
from larq_melius.converters.export import exporter, verify
from larq_melius.preprocessing import IMAGENET, Preprocessing
from larq_melius.runtime import make_interpreter

UNIT = Preprocessing(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))

SMALL = {
    "plain": lambda: lm.MeliusNet([2, 1], [96], classes=10, input_shape=(64, 64, 3)),
    "grouped transition": lambda: lm.MeliusNet(
        [1, 1], [64], transition_groups=4, classes=10, stem="conv7x7", input_shape=(64, 64, 3)
    ),
    "thumbnail": lambda: lm.MeliusNet([1, 1], [64], classes=10, stem="thumbnail", input_shape=(16, 16, 3)),
    "odd size": lambda: lm.MeliusNet([1, 1], [64], classes=10, input_shape=(65, 49, 3)),
    "odd size, 7x7 stem": lambda: lm.MeliusNet([1], [], classes=10, stem="conv7x7", input_shape=(65, 49, 3)),
    "dense": lambda: lm.MeliusNet([1, 1], [64], improvement=None, classes=10, input_shape=(64, 64, 3)),
    "naive": lambda: lm.MeliusNet([1, 1], [64], improvement="all", classes=10, input_shape=(64, 64, 3)),
    "residual": lambda: lm.ResNetE([1, 1, 1], [64, 128, 128], classes=10, input_shape=(64, 64, 3)),
    "residual, odd size": lambda: lm.ResNetE([1, 1], [64, 128], classes=10, input_shape=(68, 68, 3)),
    "32-bit": lambda: lm.MeliusNet([1, 1], [64], binary=False, classes=10, input_shape=(64, 64, 3)),
    "Larq Zoo's padding": lambda: lm.MeliusNet([1, 1], [64], convention="larq_zoo", input_shape=(64, 64, 3)),
    "Larq Zoo's padding, residual": lambda: lm.ResNetE(
        [1, 1], [64, 128], convention="larq_zoo", classes=10, input_shape=(64, 64, 3)
    ),
    "feature map": lambda: lm.MeliusNet([1, 1], [64], include_top=False, input_shape=(64, 64, 3)),
}


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=() if kind in ("plain", "residual") else pytest.mark.long) for kind in SMALL],
)
def test_every_kind_of_network_agrees_with_keras(kind, randomize, tmp_path):
    model = SMALL[kind]()
    randomize(model)
    report = export_tflite(model, tmp_path / "model.tflite")
    binary = sum(isinstance(layer, lq.layers.QuantConv2D) for layer in model.layers)
    assert report.operators.get("LceBconv2d", 0) == report.verification.binary_convolutions == binary
    assert report.verification.relative_differences[0] < 1e-4
    # The report is about the file that lies there: run it once more, softmax and all, from the disk.
    x = IMAGENET.normalize(np.random.default_rng(5).integers(0, 256, (4, *model.input_shape[1:])))
    actual = make_interpreter(report.path.read_bytes()).predict(x)
    expected = model.predict(x, verbose=0)
    scale = np.abs(expected).max()
    close = np.abs(actual - expected).reshape(4, -1).max(axis=1) < 1e-4 * scale
    assert close.sum() >= 2


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["grouped", "conv7x7"])
@pytest.mark.parametrize("name", [name for name in lm.list_models() if name != "MeliusNetTiny"])
def test_every_network_agrees_with_keras_at_full_size(name, stem, randomize, tmp_path):
    model = lm.get_model(name, weights=None, stem=stem)
    randomize(model)
    report = export_tflite(model, tmp_path / "model.tflite")
    assert report.verification.problems == ()
    assert report.verification.lce_bconv2d == report.verification.binary_convolutions > 0
    size = lm.count_operations(model).size_mib * 2**20
    assert report.bytes == pytest.approx(size, rel=0.12)


def test_digits_network_with_metadata(tmp_path):
    report = export_tflite(
        lm.MeliusNetTiny(),
        tmp_path / "digits.tflite",
        preprocessing=Preprocessing((80.0,), (95.0,), interpolation="box"),
        labels="0123456789",
    )
    metadata = read_metadata(report.path.read_bytes())
    assert metadata == report.metadata
    assert metadata.labels == tuple("0123456789")
    assert metadata.input_shape == (8, 8, 1)


def test_same_model_gives_the_same_bytes(tmp_path, randomize):
    model = SMALL["thumbnail"]()
    randomize(model)
    first = export_tflite(model, tmp_path / "a.tflite").path.read_bytes()
    assert export_tflite(model, tmp_path / "b.tflite").path.read_bytes() == first


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""])
def test_saved_models(suffix, randomize, tmp_path):
    model = SMALL["thumbnail"]()
    randomize(model)
    saved = tmp_path / f"saved{suffix}"
    model.save(saved)
    report = export_tflite(saved, tmp_path / "model.tflite", trust=not suffix)
    assert report.verification.lce_bconv2d == 4
    x = IMAGENET.normalize(np.random.default_rng(5).integers(0, 256, (1, 16, 16, 3)))
    actual = make_interpreter(report.path.read_bytes()).predict(x)
    np.testing.assert_allclose(actual, model.predict(x, verbose=0), atol=1e-4)


def test_mixed_precision_model_is_exported_in_float32(tmp_path):
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = SMALL["thumbnail"]()
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    report = export_tflite(model, tmp_path / "model.tflite")
    assert report.verification.lce_bconv2d == 4
    assert not any("CAST" in name or "FP16" in name for name in report.operators)


def test_open_input_size_must_be_given(tmp_path):
    model = lm.MeliusNet([1], [], include_top=False, pooling="avg")
    with pytest.raises(ExportError, match="input size"):
        export_tflite(model, tmp_path / "model.tflite")
    report = export_tflite(model, tmp_path / "model.tflite", input_size=(64, 64))
    assert report.metadata.input_shape == (64, 64, 3)


def test_own_images_are_used_for_the_check(tmp_path, monkeypatch):
    image = tmp_path / "image.png"
    Image.new("RGB", (40, 30), (255, 0, 51)).save(image)
    seen = []
    verify = exporter.verify

    def spy(model, flatbuffer, inputs, **options):
        seen.append(inputs)
        return verify(model, flatbuffer, inputs, **options)

    monkeypatch.setattr(exporter, "verify", spy)
    export_tflite(SMALL["thumbnail"](), tmp_path / "model.tflite", preprocessing=UNIT, images=[image])
    np.testing.assert_allclose(seen[0][0, 3, 4], [1, 0, 0.2])


def test_binary_convolution_that_became_a_float_one_is_refused(tmp_path):
    image = tf.keras.Input((16, 16, 3))
    x = tf.keras.layers.Conv2D(32, 3, padding="same")(image)
    x = lq.layers.QuantConv2D(
        32, 3, padding="same", pad_values=-1.0, input_quantizer="ste_sign", kernel_quantizer="ste_sign"
    )(x)
    model = tf.keras.Model(image, tf.keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(VerificationError, match=r"0 of 1 binary convolutions became LceBconv2d.*pads with -1"):
        export_tflite(model, tmp_path / "model.tflite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mistake", ["another padding", "another epsilon"])
def test_flatbuffer_of_a_slightly_different_network_is_refused(mistake, randomize, tmp_path, monkeypatch):
    model = SMALL["plain"]()
    randomize(model)
    wrong = lm.MeliusNet(
        [2, 1],
        [96],
        classes=10,
        input_shape=(64, 64, 3),
        convention="larq_zoo" if mistake == "another padding" else None,
    )
    wrong.set_weights(model.get_weights())
    if mistake == "another epsilon":
        for layer in wrong.layers:
            if isinstance(layer, tf.keras.layers.BatchNormalization):
                layer.epsilon = 1e-3
    convert = exporter.convert
    monkeypatch.setattr(exporter, "convert", lambda model: convert(wrong))
    with pytest.raises(VerificationError, match="no sample agrees to rounding"):
        export_tflite(model, tmp_path / "model.tflite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [None, "delegate"])
def test_the_delegate_agrees_with_lce_or_nothing_is_written(wrong, delegate_library, randomize, tmp_path, monkeypatch):
    class Wrong(verify.Interpreter):
        def predict(self, batch):
            return super().predict(batch)[:, ::-1]

    monkeypatch.setenv("LARQ_MELIUS_DELEGATE", str(delegate_library))
    model = SMALL["thumbnail"]()
    randomize(model)
    if wrong:
        monkeypatch.setattr(verify, "Interpreter", Wrong)
        with pytest.raises(VerificationError, match="not right: run by the delegate, no sample agrees to rounding"):
            export_tflite(model, tmp_path / "model.tflite")
        assert list(tmp_path.iterdir()) == []
    else:
        report = export_tflite(model, tmp_path / "model.tflite")
        assert len(report.verification.delegate_differences) == report.verification.samples
        assert report.verification.delegate_differences[0] < 1e-4


def test_flipped_signs_are_told_from_errors():
    expected = np.random.default_rng(0).normal(size=(8, 10))
    flipped = expected.copy()
    flipped[3:] *= 1.05
    result = verify._compare(expected, flipped, 4, 4)
    assert result.problems == ()
    assert result.flipped_samples == 5
    assert verify._compare(expected, -expected, 4, 4).problems
    assert verify._compare(expected, expected * np.nan, 4, 4).problems == ("the flatbuffer gives infinities or NaN",)
    flipped[7] += 10 * np.arange(10)
    assert "more than flipped signs explain" in verify._compare(expected, flipped, 4, 4).problems[0]


def test_bad_input_is_named_and_nothing_is_written(tmp_path):
    model = SMALL["thumbnail"]()
    target = tmp_path / "model.tflite"
    with pytest.raises(ExportError, match="3 labels"):
        export_tflite(model, target, labels=["a", "b", "c"])
    with pytest.raises(ExportError, match="3 channels"):
        export_tflite(model, target, preprocessing=Preprocessing((0.0,), (1.0,)))
    with pytest.raises(ExportError, match="does not exist"):
        export_tflite(tmp_path / "none.keras", target)
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(b"PK no zip")
    with pytest.raises(ExportError, match=r"damaged\.keras is not a saved Keras model"):
        export_tflite(damaged, target)
    a, b = tf.keras.Input((8, 8, 3)), tf.keras.Input((8, 8, 3))
    with pytest.raises(ExportError, match="one input"):
        export_tflite(tf.keras.Model([a, b], a + b), target)
    with pytest.raises(ExportError, match="images"):
        export_tflite(tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(4,))]), target)
    with pytest.raises(OSError, match="no_such_folder"):
        export_tflite(model, tmp_path / "no_such_folder" / "model.tflite")
    assert not target.exists()


def test_operators_are_counted_in_the_file(tmp_path):
    report = export_tflite(SMALL["thumbnail"](), tmp_path / "model.tflite")
    assert count_operators(report.path.read_bytes()) == report.operators
    assert report.operators["SOFTMAX"] == 1
