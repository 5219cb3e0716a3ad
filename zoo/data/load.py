"""Loads data sets by name."""

import os

from larq_melius.zoo.data.arrays import load_digits, load_synthetic
from larq_melius.zoo.data.folders import load_folder
from larq_melius.zoo.data.image_dataset import ImageDataset
from larq_melius.zoo.data.tfds import load_tfds


def load_data(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    usual_size: int = 224,
) -> ImageDataset:
    """Loads a data set of images with one class each.

    Args:
        name: ``"imagenet2012"``, ``"cifar10"``, ``"cifar100"``, ``"mnist"`` or any other data set of
            tensorflow-datasets (optionally with a version, ``"my_set:1.0.0"``), ``"folder"`` (``train/CLASS/`` and
            ``validation/CLASS/`` in ``data_dir``), ``"digits"`` (scikit-learn's) or ``"synthetic"`` (random images).
        data_dir: The folder of tensorflow-datasets, or of the images.
        image_size: Height and width of the network's input in pixels; by default that of the images, if they are
            squares of one size (those of a folder are not taken larger than ``usual_size``), or else ``usual_size``.
        usual_size: The size for images that differ in theirs.

    Raises:
        ImportError: If a package of the extra ``train`` is missing.
        OSError: If the data set cannot be read or downloaded.
        ValueError: If there is no such data set, or it does not consist of images with one class each.
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size must be at least 1, got {image_size}.")
    if name == "digits":
        return load_digits(image_size)
    if name == "synthetic":
        return load_synthetic(image_size or usual_size)
    if name == "folder":
        return load_folder(data_dir, image_size, usual_size)
    return load_tfds(name, data_dir, image_size, usual_size)
