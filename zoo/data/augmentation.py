"""Random augmentation of training images.

Each function takes an image (bytes of a JPEG, or uint8 pixels ``(height, width, channels)``), a seed of two integers,
and the shape and preprocessing of the network's input, and returns float32 pixels from 0 to 255 in that shape. The same
seed gives the same image.
"""

from collections.abc import Callable

import tensorflow as tf

from larq_melius.preprocessing import Preprocessing
from larq_melius.zoo.data.decoding import central_crop, crop, image_size, resize
from larq_melius.zoo.data.distortion import distort

Shape = tuple[int, int, int]
Augmentation = Callable[[tf.Tensor, tf.Tensor, Shape, Preprocessing], tf.Tensor]

_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_ATTEMPTS = 10
#: Largest shift of a small image, in pixels.
_SHIFT = 4
_JITTER = 0.4
_LIGHTING = 0.1
# Principal components of ImageNet's colors from 0 to 255 (Krizhevsky et al., 2012), with GluonCV's values.
_EIGENVALUES = (55.46, 4.794, 1.148)
_EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


def random_resized_crop(image: tf.Tensor, seed: tf.Tensor, shape: Shape, preprocessing: Preprocessing) -> tf.Tensor:
    """Crops a random area with a random aspect ratio, resizes it, and flips half of the images (paper, section 4.1)."""
    seeds = _split(seed, 2)
    begin, size = _random_window(image_size(image), seeds[0])
    window = crop(image, begin, size, shape[2])
    resized = resize(window, tf.zeros([2]), tf.cast(size, tf.float32), shape, preprocessing)
    return tf.image.stateless_random_flip_left_right(resized, seeds[1])


def color_jittered_crop(image: tf.Tensor, seed: tf.Tensor, shape: Shape, preprocessing: Preprocessing) -> tf.Tensor:
    """Adds GluonCV's color jitter and lighting noise, for the 32-bit networks of section 4.2."""
    seeds = _split(seed, 3)
    image = random_resized_crop(image, seeds[0], shape, preprocessing)
    brightness, contrast, saturation = tf.unstack(tf.random.stateless_uniform([3], seeds[1], 1 - _JITTER, 1 + _JITTER))
    # GluonCV applies these three in random order, but they commute.
    image *= brightness
    image = _blend(image, tf.reduce_mean(tf.image.rgb_to_grayscale(image)), contrast)
    image = _blend(image, tf.image.rgb_to_grayscale(image), saturation)
    weights = tf.random.stateless_normal([3], seeds[2], stddev=_LIGHTING) * tf.constant(_EIGENVALUES)
    return tf.clip_by_value(image + tf.linalg.matvec(tf.constant(_EIGENVECTORS), weights), 0.0, 255.0)


def shifted(image: tf.Tensor, seed: tf.Tensor, shape: Shape, preprocessing: Preprocessing) -> tf.Tensor:
    """Shifts the whole image by a few pixels, over black."""
    whole = central_crop(image, shape, preprocessing)
    padded = tf.pad(whole, [[_SHIFT, _SHIFT], [_SHIFT, _SHIFT], [0, 0]])
    return tf.image.stateless_random_crop(padded, shape, seed)


def shifted_and_flipped(image: tf.Tensor, seed: tf.Tensor, shape: Shape, preprocessing: Preprocessing) -> tf.Tensor:
    """Shifts images and flips half of them: the usual augmentation of CIFAR."""
    seeds = _split(seed, 2)
    moved = shifted(image, seeds[0], shape, preprocessing)
    return tf.image.stateless_random_flip_left_right(moved, seeds[1])


def distorted(image: tf.Tensor, seed: tf.Tensor, shape: Shape, preprocessing: Preprocessing) -> tf.Tensor:
    """Slightly rotates, zooms, shears and shifts the whole image, as suits handwriting."""
    whole = central_crop(image, shape, preprocessing)
    return tf.ensure_shape(distort(whole[tf.newaxis], seed)[0], shape)


def unchanged(image: tf.Tensor, seed: tf.Tensor, shape: Shape, preprocessing: Preprocessing) -> tf.Tensor:
    """Prepares the image as for evaluation."""
    return central_crop(image, shape, preprocessing)


AUGMENTATIONS: dict[str, Augmentation] = {
    "imagenet": random_resized_crop,
    "imagenet_color": color_jittered_crop,
    "crop_flip": shifted_and_flipped,
    "shift": shifted,
    "digits": distorted,
    "none": unchanged,
}


def find_augmentation(name: str, channels: int) -> Augmentation:
    """The augmentation of that name.

    Args:
        name: One of ``AUGMENTATIONS``.
        channels: Channels of the images.

    Raises:
        ValueError: If there is none, or it cannot be applied to such images.
    """
    if name not in AUGMENTATIONS:
        raise ValueError(f"Unknown augmentation {name!r}; choose one of {', '.join(AUGMENTATIONS)}.")
    if AUGMENTATIONS[name] is color_jittered_crop and channels != 3:
        raise ValueError(f"{name} changes the colors of RGB images, but these have {channels} channels.")
    return AUGMENTATIONS[name]


def _random_window(whole: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """First pixel and size, both int32 ``(2,)``, of a random window in an image of size ``whole``, ``(2,)``.

    Areas are uniform, as in the authors' MXNet. Those of TensorFlow's own op,
    ``tf.image.stateless_sample_distorted_bounding_box``, are smaller by a sixth on average.
    """
    height, width = tf.unstack(tf.cast(whole, tf.float32))
    draws = tf.random.stateless_uniform([5, _ATTEMPTS], seed)
    area = height * width * (_AREA[0] + (_AREA[1] - _AREA[0]) * draws[0])
    aspect = _ASPECT[0] + (_ASPECT[1] - _ASPECT[0]) * draws[1]
    aspect = tf.where(draws[2] < 0.5, aspect, 1 / aspect)
    sizes = tf.maximum(tf.round(tf.sqrt([area / aspect, area * aspect])), 1.0)
    begins = tf.floor(draws[3:] * ([[height], [width]] - sizes + 1))
    # If no attempt fits into the image, which may be very long, use the central square.
    side = tf.minimum(height, width)
    sizes = tf.concat([sizes, [[side], [side]]], 1)
    begins = tf.concat([begins, [[(height - side) // 2], [(width - side) // 2]]], 1)
    first = tf.where((sizes[0] <= height) & (sizes[1] <= width))[0, 0]
    return tf.cast(begins[:, first], tf.int32), tf.cast(sizes[:, first], tf.int32)


def _split(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    return tf.unstack(tf.random.split(seed, count))


def _blend(image: tf.Tensor, other: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return share * image + (1 - share) * other
