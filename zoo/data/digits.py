"""Scikit-learn's handwritten digits as images, in a fixed split."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from larq_melius.preprocessing import Preprocessing

CLASSES = tuple("0123456789")

#: Largest value of a pixel in the data set: the number of ink pixels in the 4x4 block it stands for.
_LARGEST_VALUE = 16
_SPLIT_SEED = 2020
_TEST_SHARE = 0.25
_VALIDATION_SHARE = 0.2


class Part(NamedTuple):
    """A split of the data set.

    Attributes:
        images: uint8, ``(count, 8, 8, 1)``, 0 (paper) to 255 (ink).
        labels: int64, ``(count,)``, 0 to 9.
    """

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class DigitsSplit:
    """The 1797 images in three stratified splits.

    Attributes:
        train: For the weights and the normalization.
        validation: For the choice of architecture and hyperparameters.
        test: For the evaluation of the finished network, and nothing else.
    """

    train: Part
    validation: Part
    test: Part


def load_digits_split() -> DigitsSplit:
    """Loads the digits that come with scikit-learn, and splits them with a fixed seed.

    A quarter is the test split, and a fifth of the rest the validation split.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ImportError("The digits come with scikit-learn: run pip install 'larq-melius[train]'.") from error

    digits = load_digits()
    images = to_pixels(digits.images)
    labels = digits.target.astype("int64")

    def split(part: Part, share: float) -> tuple[Part, Part]:
        first, second, first_labels, second_labels = train_test_split(
            part.images, part.labels, test_size=share, random_state=_SPLIT_SEED, stratify=part.labels
        )
        return Part(first, first_labels), Part(second, second_labels)

    rest, test = split(Part(images, labels), _TEST_SHARE)
    train, validation = split(rest, _VALIDATION_SHARE)
    return DigitsSplit(train, validation, test)


def digits_preprocessing(train_part: Part) -> Preprocessing:
    """The preprocessing of digits, with the mean and standard deviation of the training split."""
    # The data set itself was made from 32x32 bitmaps by averaging areas.
    return Preprocessing(
        mean=(round(float(train_part.images.mean()), 3),),
        std=(round(float(train_part.images.std()), 3),),
        crop_fraction=1.0,
        interpolation="box",
    )


def to_pixels(values: np.ndarray) -> np.ndarray:
    """Converts values from 0 to 16, ``(count, 8, 8)``, to uint8 pixels from 0 to 255, ``(count, 8, 8, 1)``."""
    return np.rint(values * (255 / _LARGEST_VALUE)).astype("uint8")[..., np.newaxis]
