"""Releases: what is in one, that it loads as users load it, and what a failure leaves behind."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image

import larq_melius as lm
from larq_melius.cli.errors import OneLineErrors
from larq_melius.cli.publish import publish as publish_command
from larq_melius.imagenet import imagenet_classes
from larq_melius.preprocessing import IMAGENET
from larq_melius.weights import WeightsRecord, find_record, locate
from larq_melius.zoo.classifiers import Classifier, load_classifier, load_network
from larq_melius.zoo.data.digits import load_digits_split
from larq_melius.zoo.evaluation import Evaluation, evaluate_folder, read_evaluation
from larq_melius.zoo.publishing import release as publishing
from larq_melius.zoo.publishing.model_card import Provenance
from larq_melius.zoo.publishing.release import publish

NAME = "meliusnettiny_ink_thumbnail"
FILES = ["MODEL_CARD.md", "SHA256SUMS", f"{NAME}.npz", f"{NAME}_notop.npz", "registry.json"]
CLASSES = tuple("0123456789")
PROVENANCE = Provenance(
    trained_on="some of scikit-learn's digits",
    source="Made by a test.",
    license="Apache-2.0",
    measured_by="the test",
    recipe="| epochs | 60 |",
)
MEASURED = Evaluation(450, 0.99, None, "the test split")
#: Every fifth image lies in the folder of the next class, so that some answers count as wrong.
MISLAID = 5


@pytest.fixture(scope="module")
def shipped() -> WeightsRecord:
    record = find_record("MeliusNetTiny", "digits", "thumbnail")
    assert record is not None
    return record


@pytest.fixture(scope="module")
def checkpoint(shipped: WeightsRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(locate(shipped), tmp_path_factory.mktemp("checkpoint") / "trained.npz"))


@pytest.fixture(scope="module")
def latent_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits network as a training would leave it: with a magnitude behind each sign."""
    model = lm.MeliusNetTiny(weights="digits")
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, lq.layers.QuantConv2D):
            layer.kernel.assign(layer.kernel * rng.uniform(0.1, 1, layer.kernel.shape))
    path = tmp_path_factory.mktemp("latent") / "trained.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures of the test split, in a folder for each class."""
    folder = tmp_path_factory.mktemp("digits")
    test = load_digits_split().test
    for index in range(60):
        label = (test.labels[index] + (index % MISLAID == 0)) % 10
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(test.images[index, ..., 0]).save(folder / str(label) / f"{index}.png")
    (folder / "README.txt").write_text("Beside the class folders there may be files.")
    return folder


@pytest.fixture
def make(checkpoint: Path, shipped: WeightsRecord, tmp_path: Path) -> Callable[..., Any]:
    """A function that publishes the digits checkpoint, with some arguments changed."""

    def make(**changes: Any) -> Any:
        arguments: dict[str, Any] = {
            "checkpoint": checkpoint,
            "model": "meliusnettiny",
            "tag": "ink",
            "folder": tmp_path / "release",
            "evaluation": MEASURED,
            "provenance": PROVENANCE,
            "classes": CLASSES,
            "preprocessing": shipped.preprocessing,
        }
        arguments |= changes
        options = {name: arguments.pop(name) for name in ("stem", "convention", "input_size") if name in arguments}
        names, preprocessing = arguments.pop("classes"), arguments.pop("preprocessing")
        network = load_network(
            arguments.pop("model"),
            arguments.pop("checkpoint"),
            labels=names,
            preprocessing=preprocessing and preprocessing.to_dict(),
            **options,
        )
        return publish(network, **arguments)

    return make


def fixed(labels: tuple[str, ...], scores: Callable[[np.ndarray], np.ndarray]) -> Classifier:
    return Classifier((8, 8, 3), IMAGENET, labels, scores)


def picture(path: Path, color: str = "red") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), color).save(path)


def test_accuracy_is_that_of_the_arrays(digits: Path, shipped: WeightsRecord) -> None:
    test = load_digits_split().test
    labels = (test.labels[:60] + (np.arange(60) % MISLAID == 0)) % 10
    scores = lm.MeliusNetTiny().predict(shipped.preprocessing.normalize(test.images[:60]), verbose=0)
    best = np.argsort(-scores, axis=1)
    classifier = load_classifier("MeliusNetTiny")
    for batch_size in (7, 64):
        result = evaluate_folder(classifier, digits, batch_size=batch_size, data="sixty digits")
        assert Evaluation(result.images, result.top1, result.top5, result.data) == Evaluation(
            60, (best[:, 0] == labels).mean(), (best[:, :5] == labels[:, None]).any(axis=1).mean(), "sixty digits"
        )
    assert 0.7 < result.top1 < 0.9


def test_imagenet_folders_are_named_by_class_or_wordnet_id(tmp_path: Path) -> None:
    names = tuple(name for _, name in imagenet_classes())
    picture(tmp_path / "n01440764" / "a.png")  # tench, class 0
    picture(tmp_path / "goldfish" / "deep" / "b.png")  # class 1
    picture(tmp_path / "n02012849" / "c.png")  # one of two classes named crane, 134
    (tmp_path / "goldfish" / ".hidden").write_text("no image")
    scores = np.zeros((1, 1000), "float32")
    scores[0, [0, 134]] = 2, 1
    result = evaluate_folder(fixed(names, lambda images: scores.repeat(len(images), axis=0)), tmp_path)
    # All classes but two have equal scores: the lower index comes first, as everywhere.
    assert (result.images, result.top1, result.top5) == (3, 1 / 3, 1.0)
    assert result.data == tmp_path.name
    (tmp_path / "n02012849").rename(tmp_path / "crane")
    with pytest.raises(ValueError, match="crane belongs to no class"):
        evaluate_folder(fixed(names, lambda images: scores), tmp_path)


def test_few_classes_have_no_top5_and_few_images_are_in_memory(tmp_path: Path) -> None:
    for index in range(7):
        picture(tmp_path / "a" / f"{index}.png")
    sizes = []

    def scores(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return np.eye(1, 3).repeat(len(images), axis=0)

    assert evaluate_folder(fixed(("a", "b", "c"), scores), tmp_path, batch_size=3).top5 is None
    assert sizes == [3, 3, 1]


def test_folders_that_cannot_be_evaluated(tmp_path: Path) -> None:
    classifier = fixed(("a", "b"), lambda images: np.full((len(images), 2), np.nan))
    with pytest.raises(ValueError, match="holds no images"):
        evaluate_folder(classifier, tmp_path)
    with pytest.raises(FileNotFoundError, match="nothing"):
        evaluate_folder(classifier, tmp_path / "nothing")
    picture(tmp_path / "a" / "1.png")
    with pytest.raises(ValueError, match="not finite"):
        evaluate_folder(classifier, tmp_path)
    with pytest.raises(ValueError, match="batch_size"):
        evaluate_folder(classifier, tmp_path, batch_size=0)
    with pytest.raises(ValueError, match="names of the network's classes"):
        evaluate_folder(fixed((), classifier.scores), tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "broken.png").write_bytes((tmp_path / "a" / "1.png").read_bytes()[:50])
    with pytest.raises(OSError, match=r"broken\.png"):
        evaluate_folder(classifier, tmp_path)
    picture(tmp_path / "c" / "1.png")
    with pytest.raises(ValueError, match="c belongs to no class of the network: name it after one, such as 'a'"):
        evaluate_folder(classifier, tmp_path)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ('{"images": 10, "top1": 63.6, "top5": 84.0}', "top1 must be a share from 0 to 1, got 63.6"),
        ('{"images": 10, "top1": -0.1}', "top1 must be a share"),
        ('{"images": 10, "top1": NaN}', "top1 must be a finite number"),
        ('{"images": 10, "top1": "0.5"}', "top1 must be a number"),
        ('{"images": 10, "top1": true}', "top1 must be a number"),
        ('{"images": 10, "top1": 0.5, "top5": 1.5}', "top5 must be a share"),
        ('{"images": 10, "top1": 0.5, "top5": 0.4}', "top5 cannot be below top1"),
        ('{"images": 0, "top1": 0.5}', "images must be at least 1"),
        ('{"images": 10.5, "top1": 0.5}', "images must be a whole number"),
        ('{"images": 10, "top1": 0.5, "data": 3}', "data must be text"),
        ('{"images": 10}', "top1 is missing"),
        ("[]", "no JSON object"),
        ("{", "Expecting"),
    ],
)
def test_reports_that_cannot_be_right(tmp_path: Path, report: str, message: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(report)
    with pytest.raises(ValueError, match=f"report.json is not an evaluation report: .*{message}"):
        read_evaluation(path)


def test_reports_may_say_more(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({**MEASURED.to_dict(), "seconds": 3}))
    assert read_evaluation(path) == MEASURED


def test_what_is_in_a_release(make: Callable[..., Any], tmp_path: Path, shipped: WeightsRecord) -> None:
    environment = dict(os.environ)
    with_top, without_top = make(url_base="https://example.org/weights/")
    assert dict(os.environ) == environment
    release = tmp_path / "release"
    assert [path.name for path in tmp_path.iterdir()] == ["release"]
    assert sorted(path.name for path in release.iterdir()) == FILES
    entries = json.loads((release / "registry.json").read_text("utf-8"))
    assert [WeightsRecord.from_dict(entry) for entry in entries] == [with_top, without_top]
    assert (with_top.include_top, without_top.include_top) == (True, False)
    assert with_top.urls == (f"https://example.org/weights/{NAME}.npz",)
    assert (with_top.top1, with_top.top5, with_top.classes) == (0.99, None, CLASSES)
    assert with_top.preprocessing == shipped.preprocessing
    assert with_top.trained_on == "some of scikit-learn's digits; accuracy on the test split (450 images)"
    for record in (with_top, without_top):
        assert record.bytes == (release / record.file).stat().st_size
    assert 0 < with_top.bytes - without_top.bytes < 4 * (224 + 1) * 10 + 1000  # the classifier, and the zip's headers
    check = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=release, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr
    assert check.stdout.count(": OK") == len(FILES) - 1
    # The checkpoint was packed already: packing it again changes no byte of what it holds.
    with np.load(release / with_top.file) as archive, np.load(locate(shipped)) as original:
        assert {name: archive[name].tobytes() for name in archive} == {
            name: original[name].tobytes() for name in original
        }


def test_the_card_says_what_counts(make: Callable[..., Any], tmp_path: Path) -> None:
    with_top, _ = make()
    card = (tmp_path / "release" / "MODEL_CARD.md").read_text("utf-8")
    for fact in (
        "| binary convolutions | 8 |",
        "| weights of 1 bit | 663,552 |",
        "| 450 | 99.00% | - |",
        "Measured by the test on the test split.",
        "| epochs | 60 |",
        f"| `{NAME}.npz` | {with_top.bytes:,} |",
        "| mean, on the scale 0 to 255 | 77.691 |",
        "Apache-2.0. Made by a test.",
    ):
        assert fact in card
    assert "None" not in card


@pytest.mark.process
def test_users_load_a_release_through_the_mirror(
    make: Callable[..., Any], tmp_path: Path, run_python: Callable[..., Any]
) -> None:
    make()
    release, home = tmp_path / "release", tmp_path / "home"
    home.mkdir()
    shutil.copy(release / "registry.json", home)
    code = re.search(r"```python\n(.*?)```", (release / "MODEL_CARD.md").read_text("utf-8"), re.DOTALL)
    assert code is not None
    result = run_python(
        """
        import os, sys, json
        home, release, card = sys.argv[1:]
        os.environ |= {"LARQ_MELIUS_HOME": home, "LARQ_MELIUS_MIRROR": release, "LARQ_MELIUS_OFFLINE": "1"}
        import numpy as np
        import larq_melius
        from larq_melius.zoo.classifiers import load_classifier
        from larq_melius.zoo.data.digits import load_digits_split
        digits = load_digits_split().test
        classifier = load_classifier("MeliusNetTiny", "ink")
        images = classifier.preprocessing.normalize(digits.images)
        errors = int((classifier.scores(images).argmax(axis=1) != digits.labels).sum())
        backbone = larq_melius.MeliusNetTiny(include_top=False, weights="ink", pooling="avg")
        os.chdir(release)
        names = {}
        exec(card, names)
        same = np.array_equal(names["model"](images[:9]), classifier.scores(images[:9]))
        cached = sorted(os.listdir(home + "/weights"))
        print(json.dumps([errors, backbone.predict(images[:2], verbose=0).shape, same, cached]))
        """,
        str(home),
        str(release),
        code[1],
    )
    assert result.returncode == 0, result.stderr
    errors, shape, same, cached = json.loads(result.stdout)
    top1 = find_record("MeliusNetTiny", "digits", "thumbnail").top1
    assert (1 - errors / 450, shape, same) == (pytest.approx(top1), [2, 224], True)
    assert cached == [f"{NAME}.npz", f"{NAME}_notop.npz"]


def test_a_release_measures_the_checkpoint(make: Callable[..., Any], digits: Path, tmp_path: Path) -> None:
    with_top, _ = make(evaluation=lambda classifier: evaluate_folder(classifier, digits, data="sixty digits"))
    assert with_top.top1 == evaluate_folder(load_classifier("MeliusNetTiny"), digits).top1
    assert "sixty digits" in (tmp_path / "release" / "MODEL_CARD.md").read_text("utf-8")


def test_a_tag_takes_what_its_entry_says(make: Callable[..., Any], shipped: WeightsRecord) -> None:
    with_top, _ = make(checkpoint="digits", classes=None, preprocessing=None)
    assert with_top.preprocessing == shipped.preprocessing
    assert with_top.classes == shipped.classes


@pytest.mark.long
def test_latent_weights_are_published_on_request(
    make: Callable[..., Any], latent_checkpoint: Path, tmp_path: Path
) -> None:
    make(checkpoint=latent_checkpoint, with_latent=True)
    release = tmp_path / "release"
    assert f"{NAME}_latent.h5" in (release / "SHA256SUMS").read_text()
    assert f"{NAME}_latent.h5" in (release / "MODEL_CARD.md").read_text("utf-8")
    trained = tf.keras.models.load_model(latent_checkpoint)
    again = lm.MeliusNetTiny(weights=release / f"{NAME}_latent.h5")
    for a, b in zip(trained.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"trained\.npz has no latent weights"):
        make(folder=tmp_path / "other", with_latent=True)
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


@pytest.mark.long
def test_networks_unlike_their_usual_selves(
    make: Callable[..., Any], randomize: Callable[..., None], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"convention": "larq_zoo", "stem": "conv7x7"}
    model = lm.ResNetE18(weights=None, classes=3, input_shape=(32, 32, 3), **options)
    randomize(model)
    model.save(tmp_path / "own.keras")
    with_top, _ = make(
        **options,
        classes=tuple("abc"),
        input_size=32,
        checkpoint=tmp_path / "own.keras",
        model="ResNetE18",
        preprocessing=None,
    )
    assert (with_top.convention, with_top.stem, with_top.input_shape) == ("larq_zoo", "conv7x7", (32, 32, 3))
    assert with_top.preprocessing == IMAGENET
    assert with_top.file == "resnete18_ink_conv7x7.npz"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tag": "a/b"}, "A tag is made of"),
        ({"tag": "v1.0"}, "A tag is made of"),
        ({"tag": "none"}, "is not 'none'"),
        ({"model": "MeliusNet99"}, "Unknown model"),
        ({"model": "MeliusNet22", "stem": "thumbnail"}, "another network|expects"),
        ({"checkpoint": "nothing.npz"}, "There is no weight file"),
        ({"classes": None}, "names of the network's 10 classes are needed"),
        ({"classes": CLASSES[:9]}, "the network expects"),
        ({"preprocessing": None}, "The network's images have 1 channels"),
        ({"evaluation": Evaluation(1, 0.5)}, "does not say what was measured on"),
        ({"url_base": "example.org"}, "must be a URL"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_arguments_leave_nothing(
    make: Callable[..., Any], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)
    assert not list(tmp_path.iterdir())


def test_places_that_a_release_cannot_go_to(make: Callable[..., Any], tmp_path: Path) -> None:
    taken, file = tmp_path / "taken", tmp_path / "file"
    taken.mkdir()
    file.touch()
    for place in (taken, file):
        with pytest.raises(ValueError, match="exists already"):
            make(folder=place)
    with pytest.raises(ValueError, match=r"There is no folder .*missing"):
        make(folder=tmp_path / "missing" / "release")
    assert sorted(tmp_path.rglob("*")) == [file, taken]


def test_damaged_checkpoints_are_refused(make: Callable[..., Any], checkpoint: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"damaged\.npz is not a packed weight file, or it is damaged"):
        make(checkpoint=damaged)
    with np.load(checkpoint) as archive:
        arrays = {name: archive[name] for name in archive}
    arrays["predictions/bias"][3] = np.nan
    np.savez(damaged, **arrays)
    with pytest.raises(ValueError, match=r"damaged\.npz: predictions/bias holds numbers that are not finite"):
        make(checkpoint=damaged)
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.npz"]


@pytest.mark.parametrize("layer", ["predictions", "stage1_block1_dense_conv"])
def test_a_release_that_computes_something_else_is_not_put_in_place(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    save = publishing.save_packed

    def save_wrongly(model: tf.keras.Model, path: Path) -> Path:
        names = [each.name for each in model.layers]
        if layer not in names:
            return save(model, path)
        kernel = model.get_layer(layer).kernel
        before = kernel.numpy()
        changed = before.copy()
        changed[..., :4] *= -1
        kernel.assign(changed)
        saved = save(model, path)
        kernel.assign(before)
        return saved

    monkeypatch.setattr(publishing, "save_packed", save_wrongly)
    with pytest.raises(RuntimeError, match="do not compute what the checkpoint does"):
        make()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["publishing._write_texts", "publishing._check_loaded", "os.rename"])
def test_an_interrupt_leaves_nothing(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    module, _, name = place.rpartition(".")
    monkeypatch.setattr({"publishing": publishing, "os": os}[module], name, interrupt)
    environment = dict(os.environ)
    with pytest.raises(KeyboardInterrupt):
        make()
    assert not list(tmp_path.iterdir())
    assert dict(os.environ) == environment


def test_provenance_is_not_empty() -> None:
    with pytest.raises(ValueError, match="license: it is empty"):
        Provenance("data", "source", " ", "someone")


def run(*arguments: object) -> Any:
    group = click.Group("weights")
    group.add_command(publish_command)
    cli = OneLineErrors("larq-melius")
    cli.add_command(group)
    command = ["weights", "publish", *map(str, arguments)]
    return CliRunner().invoke(cli, command, obj={"traceback": False}, prog_name="larq-melius")


@pytest.fixture
def options(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A complete command line, but for the accuracy."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")  # else the command silences what other tests may look at
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(CLASSES))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("epochs = 60\n")
    texts = ("--trained-on", "digits", "--source", "A test.", "--license", "Apache-2.0", "--measured-by", "the test")
    normalization = ("--mean", "77.691", "--std", "95.758", "--crop-fraction", "1", "--interpolation", "box")
    files = ("--labels", labels, "--recipe", recipe, "-o", tmp_path / "release")
    return [checkpoint, "--model", "MeliusNetTiny", "--tag", "ink", *texts, *normalization, *files]


def test_command_with_images(options: list[object], digits: Path, shipped: WeightsRecord, tmp_path: Path) -> None:
    result = run(*options, "--images", digits, "--data", "sixty digits", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["folder"] == str(tmp_path / "release")
    assert [entry["file"] for entry in answer["records"]] == [f"{NAME}.npz", f"{NAME}_notop.npz"]
    assert answer["records"] == json.loads((tmp_path / "release" / "registry.json").read_text("utf-8"))
    assert WeightsRecord.from_dict(answer["records"][0]).preprocessing == shipped.preprocessing
    assert [line for line in result.stderr.splitlines() if not line.endswith("…")] == []
    assert "```\nepochs = 60\n```" in (tmp_path / "release" / "MODEL_CARD.md").read_text("utf-8")


def test_command_with_a_report(options: list[object], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"images": 450, "top1": 0.9, "top5": 0.95, "data": "the test split"}))
    result = run(*options, "--evaluation", report)
    assert result.exit_code == 0, result.output
    assert "90.00%" in result.stdout
    assert "95.00%" in result.stdout
    result = run(*options, "--evaluation", report)
    assert result.exit_code == 2
    assert "exists already" in result.stderr


def test_command_needs_one_accuracy(options: list[object], digits: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text('{"images": 450, "top1": 99.0, "data": "percent"}')
    for arguments, message in (
        ((), "Give either --evaluation"),
        (("--evaluation", report, "--images", digits), "Give either --evaluation"),
        (("--evaluation", report), "top1 must be a share from 0 to 1"),
    ):
        result = run(*options, *arguments)
        assert result.exit_code == 2
        errors = [line for line in result.stderr.splitlines() if not line.endswith("…")]
        assert len(errors) == 1
        assert message in errors[0]
    assert not (tmp_path / "release").exists()
