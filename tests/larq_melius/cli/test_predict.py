"""``larq-melius predict``: what it classifies with, and which images."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from click.testing import CliRunner
from command_line import COMMAND, run
from PIL import Image

import larq_melius as lm
from larq_melius.cli import cli
from larq_melius.converters import ExportError, TFLiteMetadata
from larq_melius.converters.tflite.metadata import add_metadata
from larq_melius.preprocessing import IMAGENET
from larq_melius.registration import add_weights
from larq_melius.weights import find_record
from larq_melius.zoo.data.digits import load_digits_split

#: What a file does not say about the digits network.
UNTOLD = ("--labels", "labels.txt", "--mean", 77.691, "--std", 95.758, "--crop-fraction", 1, "--interpolation", "box")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits network in several files, and four digits: 1, 9, 8 and 4."""
    folder = tmp_path_factory.mktemp("predict")
    model = lm.MeliusNetTiny(weights="digits")
    for name in ("digits.keras", "digits.h5", "saved"):
        model.save(folder / name)
    model.save_weights(folder / "weights.h5")
    (folder / "labels.txt").write_text("".join(f"digit {digit}\n" for digit in range(10)))
    (folder / "images" / "more").mkdir(parents=True)
    test = load_digits_split().test
    for name, image in zip(("a", "b", "more/c", "more/d"), test.images, strict=False):
        Image.fromarray(image[..., 0]).save(folder / "images" / f"{name}.png")
    (folder / "images" / "notes.txt").write_text("This is no image.")
    return folder


def predictions(result: subprocess.CompletedProcess[str]) -> list[Any]:
    return [entry["predictions"][0]["label"] for entry in json.loads(result.stdout)]


@pytest.mark.parametrize(
    "model",
    [["digits.keras"], ["digits.h5"], ["saved", "--trust"], ["MeliusNetTiny", "--weights", "weights.h5"]],
    ids=" ".join,
)
def test_saved_models_and_weight_files(folder: Path, model: list[str]) -> None:
    result = run("predict", *model, "images/a.png", *UNTOLD, "--json", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    by_name = json.loads(run("predict", "MeliusNetTiny", "images/a.png", "--json", cwd=folder).stdout)
    answers = json.loads(result.stdout)[0]["predictions"]
    assert [p["label"] for p in answers] == [f"digit {p['label']}" for p in by_name[0]["predictions"]]
    scores = [p["score"] for p in by_name[0]["predictions"]]
    assert [p["score"] for p in answers] == pytest.approx(scores, abs=1e-4)


def test_folders_and_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("predict", "MeliusNetTiny", "images", "--json", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    assert [entry["image"] for entry in json.loads(result.stdout)] == [
        f"images/{name}.png" for name in ("a", "b", "more/c", "more/d")
    ]
    assert predictions(result) == ["1", "9", "8", "4"]
    picture = (folder / "images" / "b.png").read_bytes()
    arguments = ["predict", "MeliusNetTiny", "-", "--json"]
    answer = CliRunner(env={"TF_CPP_MIN_LOG_LEVEL": "3"}).invoke(cli, arguments, input=picture)
    assert json.loads(answer.stdout)[0]["predictions"][0]["label"] == "9"


def test_a_bad_image_is_reported_and_the_others_are_classified(folder: Path) -> None:
    images = ("images/a.png", "labels.txt", "images/b.png", "missing.png")
    result = run("predict", "MeliusNetTiny", *images, "--top", 1, cwd=folder)
    assert result.returncode == 2
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["images/a.png", "1", "images/b.png", "9"]
    broken, missing, total = result.stderr.splitlines()
    assert broken.startswith("Error: labels.txt is not an image")
    assert missing == "Error: Cannot read the image missing.png: No such file or directory"
    assert total == "Error: 2 of 4 images could not be classified."
    result = run("predict", "MeliusNetTiny", *images, "--json", cwd=folder)
    assert ["error" in entry for entry in json.loads(result.stdout)] == [False, True, False, True]


def test_weights_for_one_stem_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("LARQ_MELIUS_HOME", str(tmp_path / "home"))
    model = lm.MeliusNetTiny(weights=None, stem="conv7x7", input_shape=(32, 32, 1))
    model.save_weights(tmp_path / "own.h5")
    add_weights(
        tmp_path / "own.h5",
        "MeliusNetTiny",
        "own",
        stem="conv7x7",
        input_shape=(32, 32, 1),
        classes="0123456789",
        preprocessing=find_record("MeliusNetTiny", "digits", "thumbnail").preprocessing,
    )
    result = run("predict", "MeliusNetTiny", "images/a.png", "--weights", "own", "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "Note: The 'own' weights of MeliusNetTiny are for the conv7x7 stem, which is used.\n"
    # Of the networks with public weights, all but MeliusNet22 have them for the 7x7 stem only.
    monkeypatch.setenv("LARQ_MELIUS_OFFLINE", "1")
    result = run("predict", "ResNetE18", "images/a.png", cwd=folder)
    assert "are not in the cache" in result.stderr


def test_what_is_assumed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ExportError("It is known what is assumed.")

    lm.MeliusNet([1], [], stem="thumbnail", input_shape=(8, 8, 3), classes=1000).save(tmp_path / "own.keras")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    result = run("predict", "own.keras", "red.png", "--json", cwd=tmp_path)
    assert result.stderr.splitlines() == [
        "Note: own.keras does not name its 1,000 classes: ImageNet's are assumed (--labels).",
        "Note: own.keras does not say how images are normalized: ImageNet's mean and standard deviation are assumed "
        "(--mean, --std).",
    ]
    (tmp_path / "labels.txt").write_text("".join(f"class {number}\n" for number in range(1000)))
    monkeypatch.setattr("larq_melius.converters.export.exporter.convert", lambda model: fail())
    exported = run("export", "own.keras", "-o", "own.tflite", cwd=tmp_path)
    assert [line for line in exported.stderr.splitlines() if line.startswith("Note")] == result.stderr.splitlines()
    told = ("--labels", "labels.txt", "--mean", "0,0,0", "--std", "255,255,255")
    assert run("predict", "own.keras", "red.png", *told, cwd=tmp_path).stderr == ""


@pytest.mark.parametrize("name", ["features.keras", "features.tflite", "two.tflite"])
def test_networks_that_do_not_classify_get_one_line(name: str, features: Path) -> None:
    result = run("predict", name, "red.png", cwd=features)
    assert (result.returncode, result.stdout) == (2, "")
    assert "does not classify images of one size" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network without a top, and one with two outputs."""
    folder = tmp_path_factory.mktemp("features")
    Image.new("RGB", (8, 8), "red").save(folder / "red.png")
    image = tf.keras.Input((8, 8, 3), batch_size=1)
    maps = tf.keras.layers.Conv2D(4, 3)(image)
    scores = tf.keras.layers.GlobalAveragePooling2D()(maps)
    tf.keras.Model(image, maps, name="features").save(folder / "features.keras")
    for name, outputs in (("features", maps), ("two", [scores, scores * 2])):
        data = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(image, outputs)).convert()
        metadata = TFLiteMetadata(name, "", (8, 8, 3), IMAGENET, ())
        (folder / f"{name}.tflite").write_bytes(add_metadata(data, metadata))
    return folder


@pytest.mark.process
def test_a_terminal_shows_how_far_it_is(folder: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = [COMMAND, "predict", "MeliusNetTiny", "images", "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        assert len(json.loads(process.communicate()[0])) == 4
    os.set_blocking(ours, False)
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    os.close(theirs)
    assert b"/4 [" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.keras", "images"), "missing.keras does not exist"),
        (("labels.txt", "images"), "Unknown model 'labels.txt'"),
        (("digits.keras", "images", "--stem", "grouped"), "--stem is for networks of the zoo"),
        (("digits.keras", "images", "--weights", "digits"), "--weights is for networks of the zoo"),
        (("digits.keras", "images"), "images have 1 channels: give mean and std"),
        (("digits.keras", "images", "--mean", 1, "--std", 1, "--labels", "images/notes.txt"), "There are 1 labels"),
        (("digits.keras", "images", "--mean", 1, "--std", 0), "std[0] must be above 0, got 0"),
        (("digits.keras", "images", "--mean", 1, "--std", -5), "std[0] must be above 0, got -5"),
        (("digits.keras", "images", "--mean", "nan", "--std", 1), "mean[0] must be a finite number, got nan"),
        (("weights.h5", "images"), "weights.h5 is not a saved Keras model"),
        (("MeliusNetTiny", "saved/variables"), "There are no images in saved/variables"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_mistakes_get_one_line(folder: Path, arguments: tuple[object, ...], message: str) -> None:
    result = run("predict", *arguments, cwd=folder)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
