"""What training and evaluation need to know of a data set."""

from dataclasses import dataclass
from typing import Protocol

import tensorflow as tf

from larq_melius.preprocessing import Preprocessing


@dataclass(frozen=True)
class Shard:
    """The part of the examples that one of several hosts takes: number ``index`` of ``count``, from 0."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"Of {self.count} shards there is no number {self.index}: they count from 0.")


WHOLE = Shard(0, 1)


class Source(Protocol):
    """Where examples come from."""

    def examples(self, split: str, seed: tuple[int, int] | None, files: Shard) -> tf.data.Dataset:
        """Pairs of an image and its class, in an order of their own.

        Args:
            split: ``"train"``, ``"validation"`` or another one of the data set.
            seed: Shuffles the examples; ``None`` leaves them as they are kept.
            files: The files to read, of those the data set is kept in.

        Returns:
            Scalars of encoded bytes, or uint8 pixels ``(height, width, channels)``, with int64 classes.

        Raises:
            ValueError: If there are fewer files than shards of them.
        """
        ...

    def find_corrupt_example(self, split: str) -> str | None:
        """Which image is the first that cannot be used, and why, in words; ``None`` if there is none."""
        ...


@dataclass(frozen=True)
class ImageDataset:
    """A data set of images that each belong to one class.

    Attributes:
        name: Name of the data set.
        classes: Names of the classes.
        input_shape: Height, width and channels of what the network gets.
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
