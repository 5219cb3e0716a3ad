"""Data for training: the batches that networks get, whatever they come from."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny_imagenet
from PIL import Image

import larq_melius
from larq_melius.imagenet import imagenet_classes
from larq_melius.images import load_image
from larq_melius.preprocessing import IMAGENET, Preprocessing
from larq_melius.zoo.data import ImageData, Shard, evaluation_batches, load_data, training_batches
from larq_melius.zoo.data.augmentation import AUGMENTATIONS
from larq_melius.zoo.data.decoding import crop
from larq_melius.zoo.recipes import load_recipe
from larq_melius.zoo.training.trainer import train

COMMAND = Path(sys.executable).with_name("larq-melius")
PHOTOS = Path(larq_melius.__file__).parent / "data"
SIZE = 48


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_imagenet.prepare(tmp_path_factory.mktemp("tfds"))


@pytest.fixture(scope="module")
def imagenet(data_dir) -> ImageData:
    return load_data("imagenet2012", data_dir=data_dir, image_size=SIZE)


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_data("digits")


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


def batches(data: ImageData, **options: Any) -> list[tuple[np.ndarray, ...]]:
    given = {"augmentation": "imagenet", "batch_size": 6, "epoch": 1, "seed": 1, **options}
    return [tuple(map(np.asarray, batch)) for batch in training_batches(data, **given)]


def assert_equal(ours: Iterable[Any], others: Iterable[Any]) -> None:
    for mine, other in zip(ours, others, strict=True):
        for a, b in zip(mine, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_imagenet_as_tensorflow_datasets_keeps_it(imagenet) -> None:
    assert imagenet.sizes == tiny_imagenet.SIZES
    assert imagenet.classes == tuple(name for _, name in imagenet_classes())
    assert imagenet.input_shape == (SIZE, SIZE, 3)
    assert imagenet.preprocessing == IMAGENET


def test_an_epoch_has_every_image_once(imagenet) -> None:
    labels = np.concatenate([labels for _, labels in batches(imagenet)])
    values, counts = np.unique(labels, return_counts=True)
    assert values.tolist() == list(tiny_imagenet.LABELS)
    assert counts.tolist() == [16, 16, 16]
    # Files, and the examples in them, are shuffled.
    assert labels.tolist() != [tiny_imagenet.LABELS[i % 3] for i in range(48)]


def test_same_seed_same_batches_and_every_epoch_others(imagenet) -> None:
    first = batches(imagenet)
    assert_equal(first, batches(imagenet))
    for other in (batches(imagenet, epoch=2), batches(imagenet, seed=2)):
        assert any((a[0] != b[0]).any() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", ["imagenet", "digits"])
def test_going_on_in_the_middle_of_an_epoch(name, request) -> None:
    data = request.getfixturevalue(name)
    options = {"augmentation": name, "batch_size": 5}
    whole = batches(data, **options)
    assert len(whole) == data.sizes["train"] // 5
    assert_equal(batches(data, first_batch=7, **options), whole[7:])


@pytest.mark.parametrize("name", ["imagenet", "digits"])
def test_hosts_share_the_batches_of_one(name, request) -> None:
    data = request.getfixturevalue(name)
    whole = batches(data, augmentation=name, batch_size=12)
    shards = [batches(data, augmentation=name, batch_size=4, shard=Shard(index, 3)) for index in range(3)]
    assert [len(shard) for shard in shards] == [len(whole)] * 3
    for images, labels in whole:
        parts = [shard.pop(0) for shard in shards]
        # Example i of the batch is with host i modulo 3.
        np.testing.assert_array_equal(np.stack([part[0] for part in parts], 1).reshape(images.shape), images)
        np.testing.assert_array_equal(np.stack([part[1] for part in parts], 1).reshape(-1), labels)


def test_hosts_with_files_of_their_own(imagenet) -> None:
    shards = [batches(imagenet, shard=Shard(index, 2), shard_by="files", batch_size=6) for index in range(2)]
    labels = np.concatenate([labels for shard in shards for _, labels in shard])
    assert np.unique(labels, return_counts=True)[1].tolist() == [16, 16, 16]
    images = [image.tobytes() for shard in shards for batch, _ in shard for image in batch]
    assert len(set(images)) == 48
    with pytest.raises(ValueError, match="kept in 4 files, too few for 5 hosts: set shard_by=examples"):
        batches(imagenet, shard=Shard(0, 5), shard_by="files")


def test_files_of_digits_cannot_be_shared(digits) -> None:
    with pytest.raises(ValueError, match="set shard_by=examples"):
        batches(digits, augmentation="digits", shard=Shard(0, 2), shard_by="files")


def test_a_window_is_decoded_as_the_whole_image_would_be() -> None:
    for mode, channels in (("RGB", 3), ("L", 3), ("L", 1), ("CMYK", 3)):
        record = tf.constant(tiny_imagenet.jpeg(4, mode))
        whole = tf.io.decode_jpeg(record, channels=channels).numpy()
        window = crop(record, tf.constant([11, 23]), tf.constant([30, 40]), channels).numpy()
        np.testing.assert_array_equal(window, whole[11:41, 23:63])


def test_random_crops_are_windows_of_the_image() -> None:
    """A picture of its own coordinates tells where each pixel comes from."""
    height, width = 120, 160
    rows, columns = np.mgrid[:height, :width]
    record = tf.constant(
        np.stack([rows * 255 / (height - 1), columns * 255 / (width - 1), 0 * rows], -1).astype("uint8")
    )
    areas, aspects, flips = [], [], []
    for number in range(300):
        seed = tf.constant([5, number])
        image = AUGMENTATIONS["imagenet"](record, seed, (SIZE, SIZE, 3), IMAGENET).numpy()
        left, right = image[:, 0, 1].mean(), image[:, -1, 1].mean()
        crop_height = (image[-1, :, 0].mean() - image[0, :, 0].mean()) / 255 * height * SIZE / (SIZE - 1)
        crop_width = abs(right - left) / 255 * width * SIZE / (SIZE - 1)
        flips.append(left > right)
        areas.append(crop_height * crop_width / (height * width))
        aspects.append(crop_width / crop_height)
    # 8% to all of the area, 3:4 to 4:3, half of them flipped; edges are smoothed by some per cent.
    assert 0.07 < min(areas) < 0.13
    assert 0.85 < max(areas) < 1.03
    assert 0.7 < min(aspects) < 0.85
    assert 1.2 < max(aspects) < 1.4
    assert 0.4 < np.mean(flips) < 0.6


def test_small_images_are_moved_by_up_to_four_pixels() -> None:
    record = tf.constant(np.full((32, 32, 3), 200, "uint8"))
    plain = Preprocessing((0.0,) * 3, (1.0,) * 3)
    margins = []
    for number in range(100):
        image = AUGMENTATIONS["shift"](record, tf.constant([1, number]), (32, 32, 3), plain).numpy()
        assert set(np.unique(image)) <= {0.0, 200.0}
        margins.append((image[:, :, 0].max(1) == 0).sum())
    assert set(margins) == {0, 1, 2, 3, 4}


def test_colours_are_jittered_for_the_32_bit_networks() -> None:
    record = tf.constant(np.full((64, 64, 3), (100, 120, 140), "uint8"))
    colours = [
        AUGMENTATIONS["imagenet_color"](record, tf.constant([1, number]), (32, 32, 3), IMAGENET).numpy()
        for number in range(100)
    ]
    means = np.array([image.mean((0, 1)) for image in colours])
    assert means.std(axis=0).min() > 5
    # Brightness stays within 40%, beside contrast, saturation and lighting noise.
    assert 0.5 < means.mean(1).min() / 120 < 0.8
    assert 1.2 < means.mean(1).max() / 120 < 1.6


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("photo", ["flower.jpg", "china.jpg"])
def test_evaluation_prepares_images_as_prediction_does(photo, mode, tmp_path) -> None:
    path = tmp_path / "x.jpg"
    Image.open(PHOTOS / photo).convert(mode).save(path)
    record = tf.constant(path.read_bytes())
    ours = AUGMENTATIONS["none"](record, tf.constant([0, 0]), (224, 224, 3), IMAGENET).numpy()
    others = load_image(path, (224, 224, 3), IMAGENET).astype("float32")
    # TensorFlow crops at whole pixels and does not round; a shift by one pixel of the result makes ten times as much.
    assert np.abs(ours - others).mean() < 1.5
    assert np.abs(ours[:, 1:] - others[:, :-1]).mean() > 4


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_evaluation_goes_over_every_image_once(shards, imagenet) -> None:
    counted: list[np.ndarray] = []
    numbers = set()
    for index in range(shards):
        shard = [
            tuple(map(np.asarray, batch))
            for batch in evaluation_batches(
                imagenet, "validation", batch_size=4, shard=Shard(index, shards), multiple=2
            )
        ]
        numbers.add(len(shard))
        assert len(shard) % 2 == 0
        for images, labels, mask in shard:
            assert images.shape == (4, SIZE, SIZE, 3)
            assert set(mask) <= {0, 1}
            assert not images[mask == 0].any()
            counted += [labels[mask == 1]]
    assert len(numbers) == 1
    assert sorted(np.concatenate(counted)) == sorted(tiny_imagenet.LABELS[i % 3] for i in range(14))


def test_training_on_imagenet_s_own_path(data_dir, tmp_path) -> None:
    """The command a researcher runs, on a tiny network and a tiny ImageNet."""
    command = [
        *(COMMAND, "train", "meliusnet22", "--data-dir", data_dir, "-o", tmp_path / "run", "--epochs", "1"),
        *("--batch-size", "16", "--set", "image_size=32"),
        *("--set", "model=MeliusNet", "--set", 'architecture={"num_blocks": [1, 1], "transition_filters": [64]}'),
    ]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "run/log.csv").read_text().splitlines()) == 2
    assert (tmp_path / "run/labels.txt").read_text().splitlines()[:2] == ["tench", "goldfish"]
    evaluated = subprocess.run(
        [COMMAND, "evaluate", tmp_path / "run/best.keras", "--data-dir", data_dir], capture_output=True, text=True
    )
    assert "imagenet2012, validation" in evaluated.stdout, evaluated.stderr


def test_folder_of_class_folders(folder) -> None:
    data = load_data("folder", data_dir=folder, image_size=SIZE)
    assert (data.classes, data.sizes) == (("cat", "dog"), {"train": 12, "validation": 6})
    labels = np.concatenate([labels for _, labels in batches(data, batch_size=3)])
    assert sorted(labels) == [0] * 6 + [1] * 6
    shards = [batches(data, batch_size=3, shard=Shard(index, 2), shard_by="files") for index in range(2)]
    assert sum(len(shard) for shard in shards) == 4


def test_folders_of_imagenet_have_its_order_and_names(tmp_path) -> None:
    synsets = [synset for synset, _ in imagenet_classes()]
    for synset in synsets:
        for split in ("train", "val"):
            (tmp_path / split / synset).mkdir(parents=True)
            (tmp_path / split / synset / "x.jpg").write_bytes(b"")
    assert load_data("folder", data_dir=tmp_path).classes == tuple(name for _, name in imagenet_classes())


def test_damaged_image_is_named(folder, tmp_path) -> None:
    damaged = folder / "train" / "dog" / "3.jpg"
    damaged.write_bytes(damaged.read_bytes()[:200])
    data = load_data("folder", data_dir=folder, image_size=32)
    recipe = load_recipe("MeliusNetTiny", dataset="folder", settings=["epochs=1", "batch_size=12", "warmup_epochs=0"])
    with pytest.raises(ValueError, match=r"dog/3\.jpg is not an image that can be read"):
        train(recipe, data, tmp_path / "run")


def break_folder(folder: Path, how: str) -> None:
    if how == "no validation":
        (folder / "val").rename(folder / "other")
    elif how == "unknown class":
        (folder / "val" / "dog").rename(folder / "val" / "fox")
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
    with pytest.raises(OSError, match=r"must be downloaded by hand: put the archives into \S+manual"):
        load_data("imagenet2012", data_dir=tmp_path)


def test_data_set_of_another_kind(tmp_path) -> None:
    with pytest.raises(ValueError, match="no data set of images with one label each"):
        load_data("coco", data_dir=tmp_path)


def test_digits_are_what_the_shipped_weights_were_trained_on(digits) -> None:
    from larq_melius.weights import find_record

    record = find_record("MeliusNetTiny", "digits", "thumbnail")
    assert (digits.classes, digits.preprocessing, digits.input_shape) == (
        record.classes,
        record.preprocessing,
        record.input_shape,
    )
    assert digits.sizes == {"train": 1077, "validation": 270, "test": 450}


def test_synthetic_images_need_nothing(tmp_path) -> None:
    data = load_data("synthetic", image_size=32)
    found = batches(data, augmentation="none", batch_size=64)
    assert len(found) == data.sizes["train"] // 64
    assert found[0][0].shape == (64, 32, 32, 3)
    assert len(data.classes) == 1000
    assert_equal(found[:1], batches(load_data("synthetic", image_size=32), augmentation="none", batch_size=64)[:1])
