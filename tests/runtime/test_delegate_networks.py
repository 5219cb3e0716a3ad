"""Whole networks in the delegate: against LCE's interpreter, and against themselves run in other ways."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from network_checks import check_network
from PIL import Image

from larq_melius import get_model, list_models, models
from larq_melius.converters.export.convert import convert

# A trained QuickNet and a photograph, which are not part of the repository.
SHARED = Path(__file__).parents[3] / "shared/data"


@pytest.mark.parametrize(
    ("build", "stages"),
    [
        (lambda: models.MeliusNetTiny(weights=None), 2),
        (
            lambda: models.MeliusNet([1, 2], [64], 2, input_shape=(45, 37, 3), stem="grouped", convention="larq_zoo"),
            2,
        ),
        # A residual network takes the signs of its maps as they are.
        (lambda: models.ResNetE([1, 1], [64, 96], input_shape=(48, 48, 3), stem="conv7x7"), 0),
    ],
    ids=["MeliusNetTiny", "grouped stem, larq_zoo", "residual, conv7x7 stem"],
)
def test_small_networks(build, stages, run_delegate, randomize, capfd):
    model = build()
    randomize(model)
    plan = check_network(convert(model), run_delegate, capfd)
    assert "concatenate(" not in plan
    # What a stage begins with is compared once for all of its layers, the rest by the convolutions that make it.
    assert plan.count("compared") == stages


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "convention", "stem"),
    product(
        [name for name in list_models() if name != "MeliusNetTiny"], ["authors", "larq_zoo"], ["grouped", "conv7x7"]
    ),
)
def test_networks_at_full_size(name, convention, stem, run_delegate, randomize, capfd):
    model = get_model(name, weights=None, convention=convention, stem=stem)
    randomize(model)
    plan = check_network(convert(model), run_delegate, capfd)
    assert "concatenate(" not in plan
    tf.keras.backend.clear_session()


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
