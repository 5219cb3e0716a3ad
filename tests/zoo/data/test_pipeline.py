"""Batches for training and evaluation: what networks get, whatever the images come from."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from command_line import run
from data_batches import assert_equal, batches
from PIL import Image
from tiny_imagenet import LABELS, SIZES, jpeg, prepare

import larq_melius
from larq_melius.imagenet import imagenet_classes
from larq_melius.images import load_image
from larq_melius.preprocessing import IMAGENET, Preprocessing
from larq_melius.zoo.data import ImageDataset, Shard, evaluation_batches, load_data, training_batches
from larq_melius.zoo.data.augmentation import AUGMENTATIONS
from larq_melius.zoo.data.decoding import central_crop, crop, with_image
from larq_melius.zoo.data.digits import load_digits_split

PHOTOS = Path(larq_melius.__file__).parent / "data"
SIZE = 48


@pytest.fixture(scope="module")
def imagenet(tiny_imagenet) -> ImageDataset:
    return load_data("imagenet2012", data_dir=tiny_imagenet, image_size=SIZE)


def test_imagenet_as_tensorflow_datasets_keeps_it(imagenet) -> None:
    assert imagenet.sizes == SIZES
    assert imagenet.classes == tuple(name for _, name in imagenet_classes())
    assert imagenet.input_shape == (SIZE, SIZE, 3)
    assert imagenet.preprocessing == IMAGENET


def test_an_epoch_has_every_image_once(imagenet) -> None:
    labels = np.concatenate([labels for _, labels in batches(imagenet)])
    values, counts = np.unique(labels, return_counts=True)
    assert values.tolist() == list(LABELS)
    assert counts.tolist() == [16, 16, 16]
    # Files, and the examples in them, are shuffled.
    assert labels.tolist() != [LABELS[i % 3] for i in range(48)]


def test_same_seed_same_batches_and_every_epoch_others(imagenet) -> None:
    first = batches(imagenet)
    assert_equal(first, batches(imagenet))
    for other in (batches(imagenet, epoch=2), batches(imagenet, seed=2)):
        assert any((a[0] != b[0]).any() for a, b in zip(first, other, strict=True))


@pytest.mark.long
def test_order_depends_on_the_seed_alone(imagenet) -> None:
    """Neither on TensorFlow's global seed nor on the number of threads."""
    tf.random.set_seed(1)
    first = batches(imagenet)
    tf.random.set_seed(2)
    assert_equal(first, batches(imagenet))
    for threads in (1, 5):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        again = training_batches(imagenet, augmentation="imagenet", batch_size=6, epoch=1, seed=1)
        assert_equal(first, again.with_options(options))


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


def test_hosts_have_as_many_batches_though_their_files_hold_fewer_images(tmp_path) -> None:
    # Four files of 13, 13, 13 and 11 images for three hosts.
    data = load_data("imagenet2012", data_dir=prepare(tmp_path, train=50), image_size=8)
    shards = [batches(data, shard=Shard(index, 3), shard_by="files", batch_size=4) for index in range(3)]
    assert [len(shard) for shard in shards] == [50 // 12] * 3
    assert_equal(batches(data, shard=Shard(2, 3), shard_by="files", batch_size=4, first_batch=3), shards[2][3:])


def test_files_of_digits_cannot_be_shared(digits) -> None:
    with pytest.raises(ValueError, match="set shard_by=examples"):
        batches(digits, augmentation="digits", shard=Shard(0, 2), shard_by="files")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first_batch": 9}, "first_batch must be from 0 to 8, the batches of an epoch, got 9"),
        ({"first_batch": -1}, "first_batch must be"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": 49}, "48 training images of imagenet2012 do not fill a batch of 49 on each of 1 hosts"),
        ({"shard_by": "file"}, "shard_by must be one of examples, files, got 'file'"),
        ({"seed": 2**31}, "seed must be from 0 to 2147483647"),
        ({"epoch": -1}, "epoch must be"),
        ({"augmentation": "mixup"}, "Unknown augmentation 'mixup'; choose one of imagenet, imagenet_color"),
    ],
)
def test_wrong_numbers_get_one_line(options, message, imagenet) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        batches(imagenet, **options)
    assert message in str(error.value)
    assert batches(imagenet, first_batch=8) == []


def test_wrong_shards_and_splits(imagenet, digits) -> None:
    with pytest.raises(ValueError, match="Of 2 shards there is no number 2"):
        Shard(2, 2)
    with pytest.raises(ValueError, match="no split 'test'; choose one of train, validation"):
        evaluation_batches(imagenet, "test", batch_size=4)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        evaluation_batches(imagenet, "validation", batch_size=0)
    with pytest.raises(ValueError, match="changes the colors of RGB images, but these have 1 channels"):
        batches(digits, augmentation="imagenet_color")


def test_a_window_is_decoded_as_the_whole_image_would_be() -> None:
    for mode, channels in (("RGB", 3), ("L", 3), ("L", 1), ("CMYK", 3)):
        record = tf.constant(jpeg(4, mode))
        whole = tf.io.decode_jpeg(record, channels=channels, dct_method="INTEGER_ACCURATE").numpy()
        window = crop(record, tf.constant([11, 23]), tf.constant([30, 40]), channels).numpy()
        np.testing.assert_array_equal(window, whole[11:41, 23:63])


def test_images_that_are_no_jpegs(tmp_path) -> None:
    record = tf.constant(jpeg(7, kind="PNG"))
    pixels = tf.io.decode_png(record)
    for augment in AUGMENTATIONS.values():

        def augmented(image, augment=augment):
            return augment(image, tf.constant([1, 2]), (SIZE, SIZE, 3), IMAGENET)

        np.testing.assert_array_equal(with_image(record, 3, augmented), augmented(pixels))


@pytest.mark.long
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
    # Areas spread evenly, of which the largest fit in fewer shapes, have this mean.
    assert np.mean(areas) == pytest.approx(mean_area(height, width), abs=0.04)


def mean_area(height: int, width: int) -> float:
    """The mean share of the area of random resized crops, from torchvision's description of them."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(5000):
        while True:
            area = random.uniform(0.08, 1)
            aspect = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
            if area * aspect * height <= width and area / aspect * width <= height:
                found.append(area)
                break
    return float(np.mean(found))


def test_random_crops_of_a_long_image() -> None:
    """Where no window fits in ten attempts, it is the central square."""
    columns = np.broadcast_to(np.arange(400)[np.newaxis, :, np.newaxis] * 255 / 399, (4, 400, 3))
    record = tf.constant(columns.astype("uint8"))
    centers = [
        AUGMENTATIONS["imagenet"](record, tf.constant([1, number]), (8, 8, 3), IMAGENET).numpy().mean()
        for number in range(20)
    ]
    assert np.allclose(centers, 127.5, atol=1.5)


def test_small_images_are_moved_by_up_to_four_pixels() -> None:
    record = tf.constant(np.full((32, 32, 3), 200, "uint8"))
    plain = Preprocessing((0.0,) * 3, (1.0,) * 3)
    margins = []
    for number in range(100):
        image = AUGMENTATIONS["shift"](record, tf.constant([1, number]), (32, 32, 3), plain).numpy()
        assert set(np.unique(image)) <= {0.0, 200.0}
        margins.append((image[:, :, 0].max(1) == 0).sum())
    assert set(margins) == {0, 1, 2, 3, 4}


def test_colors_are_jittered_for_the_32_bit_networks() -> None:
    record = tf.constant(np.full((64, 64, 3), (100, 120, 140), "uint8"))
    colors = [
        AUGMENTATIONS["imagenet_color"](record, tf.constant([1, number]), (32, 32, 3), IMAGENET).numpy()
        for number in range(100)
    ]
    means = np.array([image.mean((0, 1)) for image in colors])
    assert means.std(axis=0).min() > 5
    # Brightness stays within 40%, beside contrast, saturation and lighting noise.
    assert 0.5 < means.mean(1).min() / 120 < 0.8
    assert 1.2 < means.mean(1).max() / 120 < 1.6


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "box"])
@pytest.mark.parametrize(
    ("mode", "file", "size"),
    [
        ("RGB", "x.jpg", (640, 427)),
        ("RGB", "x.png", (333, 501)),
        ("L", "x.jpg", (501, 333)),
        ("RGB", "x.jpg", (150, 170)),
        ("RGB", "x.jpg", (224, 256)),
    ],
)
def test_evaluation_prepares_images_as_prediction_does(mode, file, size, interpolation, tmp_path) -> None:
    path = tmp_path / file
    Image.open(PHOTOS / "china.jpg").convert(mode).resize(size).save(path)
    preprocessing = Preprocessing(IMAGENET.mean, IMAGENET.std, IMAGENET.crop_fraction, interpolation)
    shape = (224, 192, 3)
    record = tf.constant(path.read_bytes())
    ours = with_image(record, 3, lambda image: central_crop(image, shape, preprocessing)).numpy()
    differences = np.abs(ours - load_image(path, shape, preprocessing))
    # Pillow rounds after each of the two axes.
    assert differences.mean() < 0.4
    if interpolation == "bilinear":
        # With the others, it also clips in between, or a pixel on the edge of the filter is in or out by rounding.
        assert differences.max() < 1.1


@pytest.mark.long
@pytest.mark.parametrize("augmentation", sorted(set(AUGMENTATIONS) - {"imagenet_color"}))
@pytest.mark.parametrize("size", [5, 8, 20])
def test_digits_in_any_size(size, augmentation) -> None:
    data = load_data("digits", image_size=size)
    images, labels = batches(data, augmentation=augmentation, batch_size=64)[0]
    assert images.shape == (64, size, size, 1)
    assert labels.shape == (64,)
    assert np.isfinite(images).all()
    assert images.std() > 0.3


# In other sizes, pixels of the larger image lie on the very edge between two of the smaller one.
@pytest.mark.parametrize("size", [5, 8, 32])
def test_resized_digits_are_those_of_pillow(size, tmp_path) -> None:
    data = load_data("digits", image_size=size)
    ours = next(iter(evaluation_batches(data, "test", batch_size=8)))[0].numpy()
    for image, pixels in zip(ours, load_digits_split().test.images, strict=False):
        Image.fromarray(pixels[:, :, 0]).save(tmp_path / "digit.png")
        theirs = load_image(tmp_path / "digit.png", data.input_shape, data.preprocessing)
        # Pillow rounds after each of the two axes.
        assert np.abs(image * data.preprocessing.std + data.preprocessing.mean - theirs).max() < 1.1


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
    assert sorted(np.concatenate(counted)) == sorted(LABELS[i % 3] for i in range(14))


@pytest.mark.long
def test_training_on_imagenet_s_own_path(tiny_imagenet, tmp_path) -> None:
    """The command a researcher runs, on a tiny network and a tiny ImageNet."""
    command = [
        *("train", "meliusnet22", "--data-dir", tiny_imagenet, "--epochs", "1"),
        *("--batch-size", "16", "--set", "image_size=32"),
        *("--set", "model=MeliusNet", "--set", 'architecture={"num_blocks": [1, 1], "transition_filters": [64]}'),
    ]
    result = run(*command, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    # However the network was spelled.
    folder = tmp_path / "runs/MeliusNet22-imagenet2012"
    assert len((folder / "log.csv").read_text().splitlines()) == 2
    assert (folder / "labels.txt").read_text().splitlines()[:2] == ["tench", "goldfish"]
    evaluated = run("evaluate", folder / "best.keras", "--data-dir", tiny_imagenet)
    assert "imagenet2012, validation" in evaluated.stdout, evaluated.stderr
