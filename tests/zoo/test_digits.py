"""The network that ships with its weights: what the registry says of it is so."""

import hashlib

import numpy as np
import pytest

import larq_melius as lm
from larq_melius.weights import find_record, locate
from larq_melius.zoo.data.digits import load_digits_split
from larq_melius.zoo.demo import demo
from larq_melius.zoo.digits.train import Outputs, run
from larq_melius.zoo.recipes import load_recipe


@pytest.fixture(scope="module")
def record():
    return find_record("MeliusNetTiny", "digits", "thumbnail")


def test_score_on_the_test_split(record):
    digits = load_digits_split().test
    scores = lm.MeliusNetTiny().predict(record.preprocessing.normalize(digits.images), verbose=0)
    top1 = (scores.argmax(axis=1) == digits.labels).mean()
    assert top1 == pytest.approx(record.top1, abs=1 / len(digits.labels))
    assert top1 >= 0.98


def test_shipped_file_is_the_registered_one(record):
    data = locate(record).read_bytes()
    assert hashlib.sha256(data).hexdigest() == record.sha256
    assert len(data) < 1_000_000


def test_parts_share_no_image_and_never_change():
    split = load_digits_split()
    parts = [{image.tobytes() for image in part.images} for part in (split.train, split.validation, split.test)]
    assert [len(part) for part in parts] == [1077, 270, 450]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    assert split.test.labels[:12].tolist() == [1, 9, 8, 4, 4, 1, 6, 0, 9, 5, 3, 1]


def test_features_of_the_trained_network(record):
    digits = load_digits_split().test
    backbone = lm.MeliusNetTiny(include_top=False, pooling="avg")
    features = backbone.predict(record.preprocessing.normalize(digits.images[:8]), verbose=0)
    logits = lm.MeliusNetTiny(classifier_activation=None)
    kernel, bias = logits.get_layer("predictions").get_weights()
    expected = logits.predict(record.preprocessing.normalize(digits.images[:8]), verbose=0)
    np.testing.assert_allclose(features @ kernel + bias, expected, atol=1e-4)


@pytest.mark.slow
def test_recipe_trains(tmp_path):
    record = run(load_recipe("MeliusNetTiny", settings=["epochs=4"]), Outputs.in_folder(tmp_path))
    assert record.top1 > 0.9
    assert {path.name for path in tmp_path.iterdir()} == {
        "MODEL_CARD.md",
        "meliusnet_tiny_digits.npz",
        "registry.json",
    }


def test_demo(tmp_path, capsys):
    demo(tmp_path / "demo")
    written = capsys.readouterr().out
    assert "100.00%" in written
    assert "8 of 8 binary convolutions are LceBconv2d" in written
    assert (tmp_path / "demo/digits.png").stat().st_size > 10_000
    assert len(list((tmp_path / "demo/digits").iterdir())) == 24
