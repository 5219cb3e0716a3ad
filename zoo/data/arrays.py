"""Data sets in memory: scikit-learn's digits, and random images."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from larq_melius.preprocessing import IMAGENET, Preprocessing
from larq_melius.zoo.data.digits import CLASSES, digits_preprocessing, load_digits_split
from larq_melius.zoo.data.image_dataset import ImageDataset, Shard

_SYNTHETIC_IMAGES = 64
_SYNTHETIC_CLASSES = 1000


class ArraySource:
    """Reads examples from arrays.

    Args:
        splits: Images, uint8 ``(images, height, width, channels)``, and classes, int ``(count,)``, by split. If there
            are fewer images than labels, the images repeat.
    """

    def __init__(self, splits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        self._splits = splits

    def examples(self, split: str, seed: tuple[int, int] | None, files: Shard) -> tf.data.Dataset:
        if files.count > 1:
            raise ValueError("These images are not stored in files that hosts could share: set shard_by=examples.")
        images, labels = self._splits[split]
        order = np.arange(len(labels)) if seed is None else np.random.default_rng(seed).permutation(len(labels))
        # Only the order is shuffled: shuffled images would be copied into the graph of every epoch.
        pixels, classes = tf.constant(images), tf.constant(labels, tf.int64)
        return tf.data.Dataset.from_tensor_slices(order).map(
            lambda index: (pixels[index % len(images)], classes[index])
        )

    def find_corrupt_example(self, split: str) -> str | None:
        return None


def load_digits(image_size: int | None) -> ImageDataset:
    """Loads scikit-learn's handwritten digits, 8x8 grayscale pixels, split into train, validation and test.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    parts = load_digits_split()
    splits = {name: (part.images, part.labels) for name, part in vars(parts).items()}
    side = image_size or 8
    sizes = {name: len(labels) for name, (_, labels) in splits.items()}
    return ImageDataset(
        "digits", CLASSES, (side, side, 1), digits_preprocessing(parts.train), sizes, ArraySource(splits)
    )


def load_synthetic(side: int) -> ImageDataset:
    """Creates random RGB images of random classes, to measure training speed without reading files."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (_SYNTHETIC_IMAGES, side, side, 3), "uint8")
    sizes = {"train": 1024, "validation": 128}
    splits = {name: (images, generator.integers(0, _SYNTHETIC_CLASSES, size)) for name, size in sizes.items()}
    classes = tuple(f"class {number}" for number in range(_SYNTHETIC_CLASSES))
    preprocessing = Preprocessing(IMAGENET.mean, IMAGENET.std)
    return ImageDataset("synthetic", classes, (side, side, 3), preprocessing, sizes, ArraySource(splits))
