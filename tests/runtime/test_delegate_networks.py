"""Whole networks in the delegate: against LCE's interpreter, and against themselves run in other ways."""

from pathlib import Path

import larq_compute_engine as lce
import numpy as np
import pytest
from PIL import Image

from larq_melius import models
from larq_melius.converters.tflite.flatbuffer import without_softmax
from larq_melius.runtime import make_interpreter

# A trained QuickNet and a photograph, which are not part of the repository.
SHARED = Path(__file__).parents[3] / "shared/data"


def check_network(model, run_delegate, capfd):
    """Logits equal to LCE's to float rounding, and to the bit whether fused, on more threads or left to the runtime."""
    flatbuffer = without_softmax(lce.convert_keras_model(model))
    x = np.random.default_rng(1).normal(size=(1, *model.input_shape[1:])).astype("f4")
    capfd.readouterr()
    (fused,) = run_delegate(flatbuffer, x, dump="1")
    plan = capfd.readouterr().err
    expected = np.reshape(make_interpreter(flatbuffer).predict(x), fused.shape)
    np.testing.assert_allclose(fused, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    for options in ({"fuse": "0"}, {"num_threads": 2}, {"num_threads": 3}):
        np.testing.assert_array_equal(run_delegate(flatbuffer, x, **options)[0], fused, err_msg=str(options))
    (unclaimed,) = run_delegate(flatbuffer, x, glue="0")
    np.testing.assert_allclose(unclaimed, fused, rtol=0, atol=1e-5 * np.abs(expected).max())
    return plan


def test_tiny_meliusnet(run_delegate, randomize, capfd):
    model = models.MeliusNetTiny(weights=None)
    randomize(model)
    plan = check_network(model, run_delegate, capfd)
    assert "concatenate(" not in plan
    assert "compared, into map" in plan


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MeliusNet22", "MeliusNetC", "BinaryDenseNet28", "NaiveNet17", "ResNetE18"])
def test_networks_at_full_size(name, run_delegate, randomize, capfd):
    model = getattr(models, name)(weights=None)
    randomize(model)
    plan = check_network(model, run_delegate, capfd)
    assert "concatenate(" not in plan


@pytest.mark.skipif(not (SHARED / "quicknet.tflite").exists(), reason="QuickNet is not there")
def test_trained_quicknet_names_its_photograph(run_delegate, instruction_sets):
    image = Image.open(SHARED / "elephant.jpg").convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize([round(n * scale) for n in image.size], Image.Resampling.BILINEAR)
    left, top = ((n - 224) // 2 for n in image.size)
    x = np.asarray(image.crop((left, top, left + 224, top + 224)), "f4")[None] / 127.5 - 1
    for isa in instruction_sets:
        (y,) = run_delegate((SHARED / "quicknet.tflite").read_bytes(), x.astype("f4"), isa=isa)
        assert list(np.argsort(-y[0])[:3]) == [101, 386, 385]  # tusker, African elephant, Indian elephant
        np.testing.assert_allclose(y[0, [101, 386, 385]], [0.799, 0.157, 0.044], atol=5e-4)
