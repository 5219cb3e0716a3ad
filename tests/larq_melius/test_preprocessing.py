"""From image files to inputs, and from outputs to class names."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from larq_melius import decode_predictions, preprocess_input
from larq_melius.imagenet import imagenet_classes
from larq_melius.images import load_image
from larq_melius.preprocessing import IMAGENET, Preprocessing

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])

#: Nothing but the resizing; averaging areas, it is exact where the sizes divide.
WHOLE = Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="box")


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, shape).astype("uint8")


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 4, 3), (2, 5, 4, 3), (0, 5, 4, 3)])
@pytest.mark.parametrize("kind", [np.asarray, tf.convert_to_tensor], ids=["array", "tensor"])
def test_preprocess_input_normalizes_channels(kind: Callable[..., Any], shape: tuple[int, ...], dtype: str) -> None:
    images = pixels(*shape).astype(dtype)
    given = kind(images.copy())
    normalized = preprocess_input(given)
    assert tf.is_tensor(normalized) == tf.is_tensor(given)
    assert normalized.dtype == "float32"
    np.testing.assert_allclose(normalized, (images.astype("float64") / 255 - MEAN) / STD, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(given, images)


def test_preprocess_input_takes_lists() -> None:
    images = pixels(2, 3, 4, 3)
    normalized = preprocess_input(images.tolist())
    assert isinstance(normalized, np.ndarray)
    np.testing.assert_array_equal(normalized, preprocess_input(images))


def test_preprocess_input_inside_a_model_and_a_pipeline() -> None:
    images = pixels(2, 3, 4, 3)
    expected = preprocess_input(images)
    symbol = tf.keras.Input((None, None, 3), dtype="uint8")
    np.testing.assert_allclose(tf.keras.Model(symbol, preprocess_input(symbol))(images), expected, rtol=1e-6)
    (mapped,) = tf.data.Dataset.from_tensors(images).map(preprocess_input)
    np.testing.assert_allclose(mapped, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 4, 1), "with 3 channels"),
        ((2, 4, 4, 4), "with 3 channels"),
        ((4, 3), "got 2 axes"),
        ((), "got 0 axes"),
        ((1, 2, 4, 4, 3), "got 5 axes"),
    ],
)
def test_preprocess_input_refuses_what_is_no_rgb_image(shape: tuple[int, ...], message: str) -> None:
    for images in (np.zeros(shape), tf.zeros(shape), np.zeros(shape).tolist()):
        with pytest.raises(ValueError, match=message):
            preprocess_input(images)


def test_preprocessing_comes_back_from_json() -> None:
    assert Preprocessing.from_dict(IMAGENET.to_dict()) == IMAGENET
    assert IMAGENET.crop_fraction == 224 / 256


@pytest.mark.parametrize(
    ("index", "synset", "name"),
    [
        (0, "n01440764", "tench"),
        (134, "n02012849", "crane"),
        (207, "n02099601", "golden_retriever"),
        (281, "n02123045", "tabby"),
        (340, "n02391049", "zebra"),
        (388, "n02510455", "giant_panda"),
        (517, "n03126707", "crane"),
        (817, "n04285008", "sports_car"),
        (954, "n07753592", "banana"),
        (985, "n11939491", "daisy"),
        (999, "n15075141", "toilet_tissue"),
    ],
)
def test_predictions_have_the_names_of_imagenet(index: int, synset: str, name: str) -> None:
    scores = np.zeros((1, 1000))
    scores[0, index] = 0.75
    assert decode_predictions(scores, top=1) == [[(synset, name, 0.75)]]


def test_classes_are_in_the_order_of_their_synsets() -> None:
    synsets = [synset for synset, _ in imagenet_classes()]
    assert len(set(synsets)) == 1000
    assert synsets == sorted(synsets)


@pytest.mark.parametrize("kind", [np.asarray, tf.convert_to_tensor, np.ndarray.tolist], ids=["array", "tensor", "list"])
def test_predictions_come_best_first(kind: Callable[..., Any]) -> None:
    scores = np.random.default_rng(0).random((3, 1000)).astype("float32")
    decoded = decode_predictions(kind(scores))
    assert [len(sample) for sample in decoded] == [5, 5, 5]
    for sample, row in zip(decoded, scores, strict=True):
        assert [score for *_, score in sample] == sorted(row.tolist(), reverse=True)[:5]
        assert all(type(score) is float for *_, score in sample)
        synsets = [synset for synset, _ in imagenet_classes()]
        assert all(row[synsets.index(synset)] == np.float32(score) for synset, _, score in sample)


def test_predictions_of_equal_scores_and_of_all_classes() -> None:
    (sample,) = decode_predictions(np.ones((1, 1000)), top=1000)
    assert [(synset, name) for synset, name, _ in sample] == list(imagenet_classes())
    assert decode_predictions(np.ones((0, 1000))) == []


@pytest.mark.parametrize("shape", [(1000,), (2, 10), (2, 1001), (1, 2, 1000), ()])
def test_predictions_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"of the shape \(batch, 1000\), got"):
        decode_predictions(np.zeros(shape))


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("ending", "options"), [("png", {}), ("bmp", {}), ("tiff", {}), ("tiff", {"compression": "tiff_lzw"}), ("ppm", {})]
)
def test_lossless_files_arrive_unchanged(tmp_path: Path, ending: str, options: dict[str, Any]) -> None:
    image = pixels(10, 14, 3)
    path = save(Image.fromarray(image), tmp_path / f"image.{ending}", **options)
    for given in (path, str(path)):
        loaded = load_image(given, (10, 14, 3), WHOLE)
        assert loaded.dtype == np.uint8
        np.testing.assert_array_equal(loaded, image)


def test_lossless_webp_arrives_unchanged(tmp_path: Path) -> None:
    image = pixels(10, 14, 3)
    path = save(Image.fromarray(image), tmp_path / "image.webp", lossless=True)
    np.testing.assert_array_equal(load_image(path, (10, 14, 3), WHOLE), image)


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "lime", "blue")]
    path = save(frames[0], tmp_path / "image.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(load_image(path, (6, 8, 3), WHOLE), np.tile(np.uint8([255, 0, 0]), (6, 8, 1)))


def test_jpegs_arrive_almost_unchanged(tmp_path: Path) -> None:
    column, row = np.meshgrid(np.arange(64), np.arange(48))
    image = np.stack([column * 4, row * 5, column + row], axis=2).astype("uint8")
    path = save(Image.fromarray(image), tmp_path / "image.jpg", quality=95)
    assert np.abs(load_image(path, (48, 64, 3), WHOLE).astype(int) - image).max() <= 12


def test_grey_files_give_three_equal_channels(tmp_path: Path) -> None:
    image = pixels(6, 6)
    path = save(Image.fromarray(image), tmp_path / "image.png")
    np.testing.assert_array_equal(load_image(path, (6, 6, 3), WHOLE), np.repeat(image[..., None], 3, axis=2))
    np.testing.assert_array_equal(load_image(path, (6, 6, 1), WHOLE), image[..., None])


def test_colors_become_grey_by_their_luma(tmp_path: Path) -> None:
    image = pixels(6, 6, 3)
    path = save(Image.fromarray(image), tmp_path / "image.png")
    gray = load_image(path, (6, 6, 1), WHOLE)
    assert gray.shape == (6, 6, 1)
    np.testing.assert_allclose(gray[..., 0], image @ [0.299, 0.587, 0.114], atol=1)


def test_two_colors_of_one_bit(tmp_path: Path) -> None:
    image = pixels(8, 8) > 127
    path = save(Image.fromarray(image), tmp_path / "image.png")
    np.testing.assert_array_equal(load_image(path, (8, 8, 1), WHOLE)[..., 0], image * 255)


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_16_bit_grey_is_scaled(tmp_path: Path, ending: str) -> None:
    image = np.linspace(0, 65535, 64).reshape(8, 8).astype("uint16")
    path = save(Image.fromarray(image), tmp_path / f"image.{ending}")
    for channels in (1, 3):
        loaded = load_image(path, (8, 8, channels), WHOLE)
        np.testing.assert_allclose(loaded, np.repeat(image[..., None], channels, axis=2) / 257, atol=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_lies_on_white(tmp_path: Path, channels: int) -> None:
    image = pixels(6, 6, 4)
    image[..., :3] = image[..., :1]
    path = save(Image.fromarray(image), tmp_path / "image.png")
    alpha = image[..., 3:] / 255
    expected = image[..., :channels] * alpha + 255 * (1 - alpha)
    np.testing.assert_allclose(load_image(path, (6, 6, channels), WHOLE), expected, atol=1)


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_transparent_color_of_the_palette_is_white(tmp_path: Path, ending: str) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 2, 4))
    path = save(image, tmp_path / f"image.{ending}", transparency=0)
    loaded = load_image(path, (4, 4, 3), WHOLE)
    np.testing.assert_array_equal(loaded[:, :2], np.full((4, 2, 3), 255))
    np.testing.assert_array_equal(loaded[:, 2:], np.tile([0, 0, 255], (4, 2, 1)))


def test_a_transparent_color_of_a_png_without_alpha_is_white(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 4), (10, 20, 30))
    image.paste((200, 100, 0), (0, 0, 2, 4))
    path = save(image, tmp_path / "image.png", transparency=(200, 100, 0))
    loaded = load_image(path, (4, 4, 3), WHOLE)
    np.testing.assert_array_equal(loaded[:, :2], np.full((4, 2, 3), 255))
    np.testing.assert_array_equal(loaded[:, 2:], np.tile([10, 20, 30], (4, 2, 1)))


def test_cmyk_jpegs(tmp_path: Path) -> None:
    path = save(Image.new("CMYK", (16, 16), (255, 128, 0, 51)), tmp_path / "image.jpg", quality=100)
    with Image.open(path) as file:
        assert file.mode == "CMYK"
    expected = np.array([0, 127, 255]) * (255 - 51) / 255
    np.testing.assert_allclose(load_image(path, (16, 16, 3), WHOLE)[8, 8], expected, atol=3)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda image: image),
        (2, np.fliplr),
        (3, lambda image: np.rot90(image, 2)),
        (4, np.flipud),
        (5, lambda image: image.swapaxes(0, 1)),
        (6, lambda image: np.rot90(image, -1)),
        (7, lambda image: np.rot90(image, 2).swapaxes(0, 1)),
        (8, lambda image: np.rot90(image, 1)),
    ],
)
def test_images_are_turned_as_exif_says(
    tmp_path: Path, orientation: int, turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    image = pixels(6, 10, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(Image.fromarray(image), tmp_path / "image.png", exif=exif)
    expected = turn(image)
    np.testing.assert_array_equal(load_image(path, expected.shape, WHOLE), expected)


@pytest.mark.parametrize("size", [(640, 512), (512, 640), (512, 512)])
def test_the_center_is_cut_as_for_the_validation_of_imagenet(tmp_path: Path, size: tuple[int, int]) -> None:
    image = Image.fromarray(pixels(size[1], size[0], 3))
    path = save(image, tmp_path / "image.png")
    half = image.resize((size[0] // 2, size[1] // 2), Image.Resampling.BILINEAR)
    left, top = (half.width - 224) // 2, (half.height - 224) // 2
    expected = np.asarray(half.crop((left, top, left + 224, top + 224)), int)
    assert np.abs(load_image(path, (224, 224, 3), IMAGENET).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [((32, 64, 3), slice(32, 96), slice(0, 128)), ((64, 32, 3), slice(0, 128), slice(32, 96))],
)
def test_the_center_is_cut_in_the_aspect_of_the_network(
    tmp_path: Path, shape: tuple[int, int, int], rows: slice, columns: slice
) -> None:
    image = pixels(128, 128, 3)
    path = save(Image.fromarray(image), tmp_path / "image.png")
    part = image[rows, columns].astype(float)
    expected = part.reshape(shape[0], 2, shape[1], 2, 3).mean((1, 3))
    np.testing.assert_allclose(load_image(path, shape, WHOLE), expected, atol=1)


def test_a_single_pixel_fills_the_image(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (1, 1), (1, 2, 3)), tmp_path / "image.png")
    np.testing.assert_array_equal(load_image(path, (4, 4, 3), IMAGENET), np.tile([1, 2, 3], (4, 4, 1)))


def encoded(image_format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(40, 60, 3)).save(file, image_format)
    return file.getvalue()


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", bytes(500)])
def test_what_is_no_image_is_an_os_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"image\.jpg"):
        load_image(path, (8, 8, 3), IMAGENET)


def test_a_cut_jpeg_is_an_os_error(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded("JPEG")[:-200])
    with pytest.raises(OSError, match=r"Cannot read the image .*image\.jpg: .*truncated"):
        load_image(path, (8, 8, 3), IMAGENET)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_damaged_files_are_read_or_an_os_error(tmp_path: Path, image_format: str) -> None:
    rng = np.random.default_rng(0)
    whole = np.frombuffer(encoded(image_format), "uint8")
    path = tmp_path / "image"
    failures = 0
    for trial in range(60):
        damaged = whole.copy()
        if trial % 2:
            damaged = damaged[: rng.integers(len(whole))]
        else:
            damaged[rng.integers(0, min(len(whole), 200), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes())
        try:
            assert load_image(path, (8, 8, 3), IMAGENET).shape == (8, 8, 3)
        except OSError as error:
            assert str(path) in str(error)  # noqa: PT017 - success is allowed, too
            failures += 1
    assert failures > 15


def test_files_that_cannot_be_opened_are_os_errors(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"Cannot read the image .*missing\.png: No such file"):
        load_image(tmp_path / "missing.png", (8, 8, 3), IMAGENET)
    with pytest.raises(OSError, match=r"Cannot read the image .*: Is a directory"):
        load_image(tmp_path, (8, 8, 3), IMAGENET)


def test_images_of_absurd_size_are_os_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(Image.new("L", (64, 64)), tmp_path / "image.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(OSError, match=r"image\.png is not an image that can be read: .*exceeds limit"):
        load_image(path, (8, 8, 1), IMAGENET)


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_networks_of_other_channels_take_no_images(tmp_path: Path, channels: int) -> None:
    path = save(Image.new("RGB", (8, 8)), tmp_path / "image.png")
    with pytest.raises(ValueError, match=f"wants {channels}"):
        load_image(path, (8, 8, channels), IMAGENET)


def test_tensors_that_do_not_know_their_channels_yet(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "red.png")
    files = tf.data.Dataset.list_files(str(tmp_path / "*.png"))
    images = files.map(lambda file: preprocess_input(tf.io.decode_png(tf.io.read_file(file))))
    np.testing.assert_allclose(next(iter(images))[0, 0], [2.2489083, -2.0357142, -1.8044444], rtol=1e-6)


@pytest.mark.parametrize("top", [0, -1])
def test_no_class_at_all_cannot_be_asked_for(top: int) -> None:
    with pytest.raises(ValueError, match="top must be at least 1"):
        decode_predictions(np.zeros((1, 1000)), top=top)
