"""What tests of data share."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from larq_melius.zoo.data import ImageDataset, training_batches


def batches(data: ImageDataset, **options: Any) -> list[tuple[np.ndarray, ...]]:
    """The batches of an epoch, as arrays."""
    given = {"augmentation": "imagenet", "batch_size": 6, "epoch": 1, "seed": 1, **options}
    return [tuple(map(np.asarray, batch)) for batch in training_batches(data, **given)]


def assert_equal(ours: Iterable[Any], others: Iterable[Any]) -> None:
    """Bit by bit."""
    for mine, other in zip(ours, others, strict=True):
        for a, b in zip(mine, other, strict=True):
            np.testing.assert_array_equal(a, b)
