"""A data set of images as training and evaluation see it, and what its sources share."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import tensorflow as tf
from tqdm import tqdm

from larq_melius.imagenet import imagenet_classes
from larq_melius.preprocessing import Preprocessing


@dataclass(frozen=True)
class Shard:
    """The share of one of several hosts in the examples: number ``index``, from 0, of ``count``."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"Of {self.count} shards there is no number {self.index}: they count from 0.")


WHOLE = Shard(0, 1)


class Source(Protocol):
    """Reads the examples of a data set."""

    def examples(self, split: str, seed: tuple[int, int] | None, files: Shard) -> tf.data.Dataset:
        """Pairs of an image and its class.

        Args:
            split: ``"train"``, ``"validation"`` or another split of the data set.
            seed: Seed of the order; ``None`` keeps the stored order.
            files: Which of the data set's files to read.

        Returns:
            Encoded bytes (scalar strings) or uint8 pixels ``(height, width, channels)``, and int64 classes (scalars).

        Raises:
            ValueError: If there are fewer files than shards.
        """
        ...

    def find_corrupt_example(self, split: str) -> str | None:
        """Describes the first example that cannot be used, and why; ``None`` if all of them can."""
        ...


@dataclass(frozen=True)
class ImageDataset:
    """A data set of images with one class each.

    Attributes:
        name: Name of the data set.
        classes: Names of the classes.
        input_shape: Height, width and channels of the network's input.
        preprocessing: How an image becomes the network's input.
        sizes: Number of images by split; ``"train"`` and ``"validation"`` are always there.
        source: Where the images come from.
    """

    name: str
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    preprocessing: Preprocessing
    sizes: dict[str, int]
    source: Source

    def check_split(self, split: str) -> None:
        """Raises ``ValueError`` if there is no such split."""
        if split not in self.sizes:
            raise ValueError(f"{self.name} has no split {split!r}; choose one of {', '.join(self.sizes)}.")


def readable_names(names: Sequence[str]) -> tuple[str, ...]:
    """Replaces the WordNet ids of ImageNet's classes by their names; other class names stay the same.

    The alphabetical order of WordNet ids is ImageNet's order of classes.
    """
    imagenet = dict(imagenet_classes())
    if all(name in imagenet for name in names):
        return tuple(imagenet[name] for name in names)
    return tuple(names)


def find_corrupt_position(examples: tf.data.Dataset, classes: int) -> int | None:
    """Position of the first example that cannot be decoded, or whose class is unknown; ``None`` if there is none.

    TensorFlow's error does not name the example, but examples come in order: it is the one after those that came
    through. On a terminal, stderr shows the progress, since a large data set takes minutes.

    Args:
        examples: Pairs of encoded bytes and a class, both scalars.
        classes: Number of classes.
    """

    def check(record: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        known = tf.debugging.assert_equal((label >= 0) & (label < classes), True)
        with tf.control_dependencies([known]):
            return tf.size(tf.io.decode_image(record, expand_animations=False))

    checked = examples.map(check, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    fine = 0
    with tqdm(
        desc="Searching for the corrupt image",
        unit=" images",
        unit_scale=True,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
        leave=False,
    ) as progress:
        try:
            for _ in checked:
                fine += 1
                progress.update()
        except tf.errors.InvalidArgumentError:
            return fine
    return None
