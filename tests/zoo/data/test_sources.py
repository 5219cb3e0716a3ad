"""Where images come from: folders, tensorflow-datasets, arrays; and what is said when they cannot be had."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from command_line import run
from data_batches import assert_equal, batches
from PIL import Image
from tiny_imagenet import examples, jpeg, prepare_own, write
from training_runs import SMALL, set_options

import larq_melius
from larq_melius.imagenet import imagenet_classes
from larq_melius.preprocessing import IMAGENET
from larq_melius.weights import find_record
from larq_melius.zoo.data import Shard, evaluation_batches, load_data
from larq_melius.zoo.recipes import load_recipe
from larq_melius.zoo.runs.log import EpochLog, read_rows
from larq_melius.zoo.training.interruption import explained_failures
from larq_melius.zoo.training.network import load_images, network_stem
from larq_melius.zoo.training.trainer import train

PHOTOS = Path(larq_melius.__file__).parent / "data"
SIZE = 48
RGB = tfds.features.Image(shape=(None, None, 3))
TWO_CLASSES = tfds.features.ClassLabel(names=["cat", "dog"])


def rows(labels: list[Any], **images: bytes) -> list[dict[str, Any]]:
    """Examples with JPEGs; ``image_5=`` gives other bytes to that one."""
    return [
        {"image": io.BytesIO(images.get(f"image_{number}", jpeg(number))), "label": label}
        for number, label in enumerate(labels)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos of two classes, in files of several kinds."""
    for split, count in (("train", 6), ("val", 3)):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                suffix = ("jpg", "PNG", "bmp")[number % 3]
                image = Image.open(PHOTOS / "flower.jpg").rotate(number)
                image.resize((90, 60)).save(tmp_path / split / name / f"{number}.{suffix}")
    (tmp_path / "train" / "cat" / ".hidden").write_text("not an image")
    return tmp_path


def test_folder_of_class_folders(folder) -> None:
    data = load_data("folder", data_dir=folder, image_size=SIZE)
    assert (data.classes, data.sizes) == (("cat", "dog"), {"train": 12, "validation": 6})
    labels = np.concatenate([labels for _, labels in batches(data, batch_size=3)])
    assert sorted(labels) == [0] * 6 + [1] * 6
    shards = [batches(data, batch_size=3, shard=Shard(index, 2), shard_by="files") for index in range(2)]
    assert [len(shard) for shard in shards] == [2, 2]
    with pytest.raises(
        ValueError, match=r"The 12 training images of folder do not fill a batch of 1 on each of 13 hosts"
    ):
        batches(data, batch_size=1, shard=Shard(0, 13), shard_by="files")


def test_hosts_read_the_same_files_in_every_epoch(folder) -> None:
    data = load_data("folder", data_dir=folder, image_size=8)
    seen = [
        {
            image.tobytes()
            for images, _ in batches(data, augmentation="none", epoch=epoch, shard=Shard(0, 2), shard_by="files")
            for image in images
        }
        for epoch in (1, 2)
    ]
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("sizes", "usual", "side"),
    [
        ([(28, 28)] * 3, 224, 28),
        ([(28, 28)] * 3, 32, 28),
        ([(64, 64)] * 3, 32, 32),
        ([(300, 300)] * 3, 224, 224),
        ([(28, 28), (28, 28), (28, 30)], 224, 224),
        ([(90, 60)] * 3, 32, 32),
        ([(28, 28), None, (28, 28)], 224, 28),
        ([None] * 3, 224, 224),
    ],
)
def test_images_of_a_folder_are_not_enlarged(sizes, usual, side, tmp_path) -> None:
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for number, size in enumerate(sizes):
                path = tmp_path / split / name / f"{number}.png"
                path.write_bytes(b"") if size is None else Image.new("L", size).save(path)
    data = load_data("folder", data_dir=tmp_path, usual_size=usual)
    assert data.input_shape == (side, side, 3)
    assert load_data("folder", data_dir=tmp_path, image_size=48, usual_size=usual).input_shape == (48, 48, 3)


@pytest.mark.parametrize(
    ("recipe", "settings", "shape", "stem"),
    [
        ("MeliusNetTiny", [], (32, 32, 3), "thumbnail"),
        ("MeliusNet22", [], (224, 224, 3), "grouped"),
        ("NaiveNet17", [], (224, 224, 3), "conv7x7"),
        ("MeliusNet22", ["stem=thumbnail"], (32, 32, 3), "thumbnail"),
        ("MeliusNetTiny", ["image_size=64"], (64, 64, 3), "thumbnail"),
    ],
)
def test_images_of_many_sizes_get_that_of_the_network(recipe, settings, shape, stem, folder) -> None:
    chosen = load_recipe(recipe, dataset="folder", settings=settings)
    data = load_images(chosen, folder)
    assert (data.input_shape, network_stem(chosen, data)) == (shape, stem)


def test_folder_with_a_test_part(folder) -> None:
    (folder / "val").rename(folder / "test")
    assert load_data("folder", data_dir=folder).sizes == {"train": 12, "validation": 6}
    (folder / "train").rename(folder / "validation")
    (folder / "test").rename(folder / "train")
    (folder / "test").mkdir()
    for name in ("cat", "dog"):
        (folder / "test" / name).mkdir()
        (folder / "test" / name / "x.png").write_bytes(jpeg(1, kind="PNG"))
    data = load_data("folder", data_dir=folder, image_size=SIZE)
    assert data.sizes == {"train": 6, "validation": 12, "test": 2}
    ((_, labels, mask),) = evaluation_batches(data, "test", batch_size=4)
    assert (labels[:2].numpy().tolist(), mask.numpy().tolist()) == ([0, 1], [1, 1, 0, 0])


def test_folders_of_imagenet_have_its_order_and_names(tmp_path) -> None:
    synsets = [synset for synset, _ in imagenet_classes()]
    for synset in synsets:
        for split in ("train", "val"):
            (tmp_path / split / synset).mkdir(parents=True)
            (tmp_path / split / synset / "x.jpg").write_bytes(b"")
    assert load_data("folder", data_dir=tmp_path).classes == tuple(name for _, name in imagenet_classes())


def test_folders_of_some_of_imagenet_s_classes_have_their_names(tmp_path) -> None:
    for synset in ("n03888257", "n01440764", "n02102040"):
        for split in ("train", "val"):
            (tmp_path / split / synset).mkdir(parents=True)
            (tmp_path / split / synset / "x.jpg").write_bytes(b"")
    assert load_data("folder", data_dir=tmp_path).classes == ("tench", "English_springer", "parachute")


def test_damaged_image_is_named(folder, tmp_path) -> None:
    damaged = folder / "train" / "dog" / "3.jpg"
    damaged.write_bytes(damaged.read_bytes()[:200])
    data = load_data("folder", data_dir=folder, image_size=32)
    recipe = load_recipe("MeliusNetTiny", dataset="folder", settings=["epochs=1", "batch_size=12", "warmup_epochs=0"])
    with pytest.raises(ValueError, match=r"dog/3\.jpg is not an image that can be read"):
        train(recipe, data, tmp_path / "run")


def as_folder(place: Path, splits: dict[str, list[dict[str, Any]]]) -> list[object]:
    for split, rows in splits.items():
        for number, row in enumerate(rows):
            file = place / split / "abcdef"[row["label"]] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(row["image"][..., 0]).save(file)
    return ["--dataset", "folder", "--data-dir", place]


def as_tensorflow_dataset(place: Path, splits: dict[str, list[dict[str, Any]]]) -> list[object]:
    names = "abcdef"[: 1 + max(row["label"] for row in splits["train"])]
    features = {"image": tfds.features.Image(shape=(28, 28, 1)), "label": tfds.features.ClassLabel(names=list(names))}
    # Splits of tensorflow-datasets do not have the same names in all data sets.
    prepare_own(place, "clothes", features, {"train": splits["train"], "test": splits["validation"]})
    return ["--dataset", "clothes", "--data-dir", place]


@pytest.mark.long
@pytest.mark.parametrize(("kept", "classes"), [(as_folder, 5), (as_tensorflow_dataset, 6)])
def test_an_epoch_on_images_of_ones_own(kept, classes, tmp_path) -> None:
    """Small grey images, as Fashion-MNIST's, in files of their own or in those of tensorflow-datasets."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (10 * classes, 28, 28, 1), "uint8")
    examples = [{"image": image, "label": number % classes} for number, image in enumerate(images)]
    options = kept(tmp_path / "data", {"train": examples[: 8 * classes], "validation": examples[8 * classes :]})
    settings = ["epochs=1", "batch_size=8", "warmup_epochs=0", "flips=none", *SMALL]
    folder = tmp_path / "run"
    result = run("train", "meliusnettiny", *options, *set_options(settings), "-o", folder)
    assert result.returncode == 0, result.stderr
    assert f"on {8 * classes} images at 28x28 pixels: {classes} steps of 8 an epoch" in result.stderr
    (log,) = read_rows(folder / "log.csv", EpochLog)
    # Among five, the right class is always one of the best five.
    top5 = "" if classes == 5 else f" {log.val_top5:.2%} top-5,"
    assert result.stdout.splitlines()[0] == f"Best: {log.val_top1:.2%} top-1,{top5} in epoch 1 of 1."
    model = tf.keras.models.load_model(folder / "best.keras")
    data = load_data(options[1], data_dir=tmp_path / "data")
    validation = (images[8 * classes :] / 255 - data.preprocessing.mean) / data.preprocessing.std
    answers = model.predict(validation.astype("float32"), verbose=0).argmax(-1)
    assert log.val_top1 == pytest.approx(np.mean(answers == np.arange(2 * classes) % classes))


def break_folder(folder: Path, how: str) -> None:
    if how == "no validation":
        (folder / "val").rename(folder / "other")
    elif how == "unknown class":
        (folder / "val" / "dog").rename(folder / "val" / "fox")
    elif how == "missing class":
        (folder / "train" / "fox").mkdir()
        (folder / "train" / "fox" / "x.jpg").write_bytes(jpeg(1))
    elif how == "no images to validate":
        for path in (folder / "val" / "dog").iterdir():
            path.unlink()
    elif how == "no images":
        for path in (folder / "train" / "cat").iterdir():
            path.unlink()
    elif how == "other files":
        (folder / "train" / "cat" / "notes.txt").write_text("cats")
    elif how == "no classes":
        for name in ("cat", "dog"):
            (folder / "train" / name).rename(folder / name)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no validation", "must have the folders train and validation in it"),
        ("unknown class", "fox is of a class that"),
        ("missing class", "has no folder 'fox', a class that"),
        ("no images to validate", "dog has no images in it"),
        ("no images", "cat has no images in it"),
        ("other files", r"notes.txt is no image of a kind that can be trained on: .jpg"),
        ("no classes", "train has no folders named after classes"),
    ],
)
def test_wrong_folders_get_one_line(how, message, folder) -> None:
    break_folder(folder, how)
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        load_data("folder", data_dir=folder)
    assert message in str(error.value)


def test_data_sets_that_cannot_be_had(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LARQ_MELIUS_OFFLINE", "1")
    with pytest.raises(OSError, match=r"cifar10 is not prepared in \S+, and LARQ_MELIUS_OFFLINE forbids"):
        load_data("cifar10", data_dir=tmp_path)
    with pytest.raises(ValueError, match="Unknown data set 'cifar11'"):
        load_data("cifar11", data_dir=tmp_path)
    with pytest.raises(ValueError, match="needs --data-dir"):
        load_data("folder")
    monkeypatch.delenv("LARQ_MELIUS_OFFLINE")
    by_hand = (
        r"must be downloaded by hand: put ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar .* \S+manual and run"
    )
    with pytest.raises(OSError, match=by_hand):
        load_data("imagenet2012", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "imagenette"])
def test_data_set_that_cannot_be_downloaded(name, tmp_path, monkeypatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network\nand more")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(OSError, match=r"^[^\n]+$") as error:
        load_data(name, data_dir=tmp_path)
    assert f"{name} is not prepared in {tmp_path} and could not be downloaded" in str(error.value)
    assert f"run tfds build {name} --data_dir DIR" in str(error.value)
    assert str(error.value).endswith("no network")


def test_data_set_of_another_kind(tmp_path) -> None:
    with pytest.raises(ValueError, match="no data set of images with one label each"):
        load_data("coco", data_dir=tmp_path)


def test_data_set_that_only_its_files_tell_of(tmp_path) -> None:
    features = {"image": tfds.features.Image(shape=(32, 32, 3)), "label": TWO_CLASSES}
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), "uint8")
    examples = [{"image": image, "label": number % 2} for number, image in enumerate(images)]
    prepare_own(tmp_path, "my_ds", features, {"train": examples})
    data = load_data("my_ds:1.0.0", data_dir=tmp_path)
    assert (data.name, data.classes, data.input_shape) == ("my_ds:1.0.0", ("cat", "dog"), (32, 32, 3))
    assert data.preprocessing == IMAGENET
    # It has but one split, of which a tenth is for validation.
    assert data.sizes == {"train": 18, "validation": 2}
    found = batches(data, augmentation="crop_flip", batch_size=6)
    assert sorted(np.concatenate([labels for _, labels in found])) == [0] * 9 + [1] * 9
    with pytest.raises(ValueError, match=r"Unknown data set 'my_ds:2\.0\.0'"):
        load_data("my_ds:2.0.0", data_dir=tmp_path)


@pytest.mark.parametrize(("name", "side", "channels"), [("cifar10", 32, 3), ("cifar100", 32, 3), ("mnist", 28, 1)])
def test_usual_small_data_sets(name, side, channels, tmp_path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (6, side, side, channels), "uint8")
    builder = tfds.builder(name, data_dir=tmp_path)
    fill = {key: b"" if isinstance(key, str) and key == "id" else 0 for key in builder.info.features}
    examples = [{**fill, "image": image, "label": number} for number, image in enumerate(images)]
    write(builder.info, {"train": examples, "test": examples}, per_file=4)
    data = load_data(name, data_dir=tmp_path)
    assert (data.input_shape, data.sizes) == ((side, side, channels), {"train": 6, "validation": 6, "test": 6})
    assert len(data.classes) == (100 if name == "cifar100" else 10)
    ((found, labels),) = batches(data, augmentation="none")
    np.testing.assert_allclose(found, data.preprocessing.normalize(images[labels]), rtol=1e-6)
    assert sorted(labels) == list(range(6))


def test_test_images_of_imagenet_have_no_labels(tmp_path) -> None:
    hidden = [{**example, "label": -1} for example in examples("train", 4)]
    parts = {"train": examples("train", 6), "validation": examples("validation", 4), "test": hidden}
    write(tfds.builder("imagenet2012", data_dir=tmp_path).info, parts, per_file=2)
    assert load_data("imagenet2012", data_dir=tmp_path).sizes == {"train": 6, "validation": 4}


def test_order_of_data_sets_that_are_kept_in_order(tmp_path) -> None:
    prepare_own(tmp_path, "ordered", {"image": RGB, "label": TWO_CLASSES}, {"train": rows([0, 1] * 20)}, per_file=10)
    info = tmp_path / "ordered" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace('"name": "ordered"', '"disableShuffling": true, "name": "ordered"'))
    data = load_data("ordered", data_dir=tmp_path, image_size=8)
    first, second = (
        [image.tobytes() for images, _ in batches(data, augmentation="none", epoch=epoch) for image in images]
        for epoch in (1, 2)
    )
    assert len(set(first)) == 36
    assert first != second


@pytest.mark.parametrize(
    ("label", "values", "message"),
    [
        (
            tfds.features.Sequence(tfds.features.ClassLabel(num_classes=2)),
            [[0], [1]],
            "The labels of odd are no classes",
        ),
        (tfds.features.Scalar(np.int64), [0, 1], "The labels of odd are no classes"),
        (None, [], "no data set of images with one label each: it needs the features image and label"),
    ],
)
def test_labels_that_are_no_classes(label, values, message, tmp_path) -> None:
    features = {"image": RGB, "label": label} if label is not None else {"image": RGB, "other": TWO_CLASSES}
    examples = rows(values) if label is not None else [{"image": io.BytesIO(jpeg(0)), "other": 0}]
    prepare_own(tmp_path, "odd", features, {"train": examples})
    with pytest.raises(ValueError, match=message):
        load_data("odd", data_dir=tmp_path)


def test_images_of_other_kinds(tmp_path) -> None:
    features = {"image": tfds.features.Image(shape=(4, 4, 4)), "label": TWO_CLASSES}
    prepare_own(tmp_path, "rgba", features, {"train": [{"image": np.zeros((4, 4, 4), "uint8"), "label": 0}] * 4})
    with pytest.raises(ValueError, match="The images of rgba are not of 8 bits in gray or RGB"):
        load_data("rgba", data_dir=tmp_path)


@pytest.mark.parametrize("damage", ["cut off", "no image", "label"])
def test_damaged_example_is_named(damage, tmp_path) -> None:
    labels = [0, 1] * 10
    images = {"image_11": jpeg(11)[:300] if damage == "cut off" else b"no image" if damage == "no image" else jpeg(11)}
    if damage == "label":
        labels[11] = -1
    parts = {"train": rows(labels, **images), "test": rows([0])}
    prepare_own(tmp_path, "broken", {"image": RGB, "label": TWO_CLASSES}, parts)
    data = load_data("broken", data_dir=tmp_path, image_size=16)
    line = r"^Image 3 of \S+broken-train.tfrecord-00001[^\n]+$"
    with pytest.raises(ValueError, match=line) as error, explained_failures(data):
        batches(data, batch_size=4)
    assert ("has the label -1, which is none of its 2 classes" in str(error.value)) == (damage == "label")


def test_size_of_images(tiny_imagenet) -> None:
    data = load_data("imagenet2012", data_dir=tiny_imagenet)
    assert data.input_shape == (224, 224, 3)
    with pytest.raises(ValueError, match="image_size must be at least 1"):
        load_data("imagenet2012", data_dir=tiny_imagenet, image_size=0)


def test_digits_are_what_the_shipped_weights_were_trained_on() -> None:
    digits = load_data("digits")
    record = find_record("MeliusNetTiny", "digits", "thumbnail")
    assert (digits.classes, digits.preprocessing, digits.input_shape) == (
        record.classes,
        record.preprocessing,
        record.input_shape,
    )
    assert digits.sizes == {"train": 1077, "validation": 270, "test": 450}


def test_synthetic_images_need_nothing() -> None:
    data = load_data("synthetic", image_size=32)
    found = batches(data, augmentation="none", batch_size=64)
    assert len(found) == data.sizes["train"] // 64
    assert found[0][0].shape == (64, 32, 32, 3)
    assert len(data.classes) == 1000
    # There are fewer images than examples.
    assert len({image.tobytes() for images, _ in found for image in images}) == 64
    assert len({label for _, labels in found for label in labels}) > 300
    assert_equal(found[:1], batches(load_data("synthetic", image_size=32), augmentation="none", batch_size=64)[:1])
