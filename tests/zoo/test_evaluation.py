"""``larq-melius evaluate`` beside counting by hand."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from command_line import run, run_process
from training_runs import SMALL, set_options

import larq_melius
from larq_melius.converters import read_metadata
from larq_melius.preprocessing import Preprocessing
from larq_melius.zoo.classifiers import Classifier, load_classifier
from larq_melius.zoo.data import load_data
from larq_melius.zoo.data.digits import load_digits_split
from larq_melius.zoo.evaluation import evaluate, read_evaluation


@pytest.fixture(scope="module")
def by_hand() -> np.ndarray:
    """The confusion of the shipped network on the test digits."""
    test = load_digits_split().test
    data = load_data("digits")
    answers = larq_melius.MeliusNetTiny()(data.preprocessing.normalize(test.images)).numpy().argmax(1)
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (test.labels, answers), 1)
    return confusion


@pytest.mark.parametrize("kind", ["name", "keras", "tflite"])
def test_every_kind_of_network(kind, by_hand, tmp_path) -> None:
    model = "meliusnettiny"
    if kind == "keras":
        model = tmp_path / "digits.keras"
        larq_melius.MeliusNetTiny().save(model)
    elif kind == "tflite":
        model = tmp_path / "digits.tflite"
        assert run("export", "MeliusNetTiny", "-o", model).returncode == 0
    report = tmp_path / "report.json"
    result = run("evaluate", model, "--dataset", "digits", "--split", "test", "--json", "--report", report)
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["confusion"] == by_hand.tolist()
    assert facts["images"] == 450
    assert facts["top1"] == pytest.approx(np.trace(by_hand) / 450)
    assert facts["top5"] >= facts["top1"]
    assert [c["images"] for c in facts["classes"]] == by_hand.sum(1).tolist()
    assert [c["right"] for c in facts["classes"]] == np.diag(by_hand).tolist()
    assert facts["images_per_second"] > 0
    # What is written is a report that a release can be made with.
    assert read_evaluation(report).top1 == facts["top1"]


@pytest.mark.long
def test_network_exported_as_its_training_says(tmp_path, monkeypatch) -> None:
    """Digits are enlarged in another way than images of ImageNet, which the exported file has to know."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "a run"
    settings = set_options([*SMALL, "epochs=2", "batch_size=64", "image_size=16", "warmup_epochs=0"])
    trained = run_process("train", "meliusnettiny", "-o", folder, *settings)
    assert trained.returncode == 0, trained.stderr
    for line in trained.stdout.splitlines()[-2:]:
        done = run(*shlex.split(line)[1:])
        assert done.returncode == 0, done.stderr
    assert Path("accuracy.png").exists()
    told, expected = read_metadata(Path("model.tflite").read_bytes()).preprocessing, load_data("digits").preprocessing
    assert (told.mean, told.std) == (pytest.approx(expected.mean), pytest.approx(expected.std))
    assert (told.crop_fraction, told.interpolation) == (expected.crop_fraction, expected.interpolation)
    keras, lce = (
        json.loads(run("evaluate", file, "--dataset", "digits", "--split", "test", "--json").stdout)
        for file in (folder / "best.keras", "model.tflite")
    )
    # A rounding that turns a sign may change an answer.
    assert lce["top1"] == pytest.approx(keras["top1"], abs=2 / 450)


@pytest.mark.process
def test_table_of_few_classes(by_hand) -> None:
    result = run_process("evaluate", "MeliusNetTiny", "--dataset", "digits", "--split", "test")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[2].split() == ["top-1", f"{np.trace(by_hand) / 450:.2%}"]
    rows = [line.split() for line in lines[-10:]]
    assert [[int(value) for value in row[1:11]] for row in rows] == by_hand.tolist()


def test_limit_and_ties() -> None:
    data = load_data("digits")
    even = Classifier(data.input_shape, data.preprocessing, data.classes, lambda images: np.zeros((len(images), 10)))
    result = evaluate(even, data, "validation", batch_size=7, limit=40)
    labels = load_digits_split().validation.labels[:40]
    # At equal scores the first class is the answer, and the first five are the five best.
    assert result.images == 40
    assert result.top1 == np.mean(labels == 0)
    assert result.top5 == np.mean(labels < 5)
    assert result.data == "digits, validation, the first 40 images"


def test_classes_go_by_their_names() -> None:
    data = load_data("digits")
    shuffled = ("9", "other", "0", "1", "2", "3", "4", "5", "6", "7", "8")
    shipped = load_classifier("MeliusNetTiny")

    def scores(batch: np.ndarray) -> np.ndarray:
        own = shipped.scores(batch)
        return np.concatenate([own[:, 9:], np.zeros((len(own), 1)), own[:, :9]], axis=1)

    network = Classifier(data.input_shape, data.preprocessing, shuffled, scores)
    assert evaluate(network, data).top1 == evaluate(shipped, data).top1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MeliusNetTiny", "--dataset", "synthetic"], "takes images of 1 channels, those of synthetic have 3"),
        (["MeliusNetTiny", "--dataset", "digits", "--split", "dev"], "digits has no split 'dev'"),
        (["none.keras", "--dataset", "digits"], "none.keras does not exist"),
        (["none.tflite", "--dataset", "digits"], "none.tflite"),
        (["MeliusNet99", "--dataset", "digits"], "Unknown model"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_get_one_line(arguments, message) -> None:
    result = run("evaluate", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


def test_networks_that_do_not_fit() -> None:
    data = load_data("digits")
    gray = Preprocessing((0.0,), (1.0,))
    with pytest.raises(ValueError, match="does not have the 10 classes of digits"):
        evaluate(Classifier((8, 8, 1), gray, (), lambda images: np.zeros((len(images), 3))), data)
    with pytest.raises(ValueError, match="has no class '0'"):
        evaluate(Classifier((8, 8, 1), gray, ("a", "b"), lambda images: np.zeros((len(images), 2))), data)
    with pytest.raises(ValueError, match="not finite"):
        evaluate(Classifier((8, 8, 1), gray, data.classes, lambda images: np.full((len(images), 10), np.nan)), data)
    with pytest.raises(ValueError, match="limit must be at least 1"):
        evaluate(Classifier((8, 8, 1), gray, data.classes, lambda images: images), data, limit=0)
