"""Images in folders named after their classes."""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from larq_melius.imagenet import imagenet_classes
from larq_melius.preprocessing import IMAGENET
from larq_melius.zoo.data.image_data import ImageData, Shard

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
_VALIDATION = ("validation", "val", "test")


class FolderSource:
    """Examples from image files.

    Args:
        splits: Paths and classes by split.
    """

    def __init__(self, splits: dict[str, tuple[list[str], list[int]]]) -> None:
        self._splits = splits

    def examples(self, split: str, seed: tuple[int, int] | None, files: Shard) -> tf.data.Dataset:
        paths, labels = self._splits[split]
        order = np.arange(len(paths)) if seed is None else np.random.default_rng(seed).permutation(len(paths))
        order = order[files.index :: files.count]
        slices = np.asarray(paths)[order], np.asarray(labels, "int64")[order]
        return tf.data.Dataset.from_tensor_slices(slices).map(lambda path, label: (tf.io.read_file(path), label))

    def damaged_file(self, split: str) -> str | None:
        for path in self._splits[split][0]:
            try:
                with Image.open(path) as image:
                    image.load()
            except (OSError, SyntaxError, ValueError):
                return path
        return None


def load_folder(data_dir: str | os.PathLike[str] | None, image_size: int | None) -> ImageData:
    """The images of ``data_dir/train/CLASS/`` and ``data_dir/validation/CLASS/`` (or ``val``, or ``test``).

    Folders named after ImageNet's WordNet ids are its classes, in its order.

    Raises:
        OSError: If a folder cannot be read.
        ValueError: If a folder or its images are missing, a file is no image, or the splits have other classes.
    """
    if data_dir is None:
        raise ValueError("The data set 'folder' needs --data-dir, the folder with train/ and validation/ in it.")
    root = Path(data_dir)
    validation = next((root / name for name in _VALIDATION if (root / name).is_dir()), None)
    if not (root / "train").is_dir() or validation is None:
        raise ValueError(f"{root} must have the folders train and validation in it, with a folder for each class.")
    names = _class_folders(root / "train")
    unknown = sorted(set(_class_folders(validation)) - set(names))
    if unknown:
        raise ValueError(f"{validation / unknown[0]} is of a class that {root / 'train'} does not have.")
    splits = {"train": _images(root / "train", names), "validation": _images(validation, names)}
    side = image_size or 224
    sizes = {name: len(paths) for name, (paths, _) in splits.items()}
    return ImageData("folder", _readable(names), (side, side, 3), IMAGENET, sizes, FolderSource(splits))


def _class_folders(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not names:
        raise ValueError(f"{folder} has no folders named after classes in it.")
    return names


def _readable(names: list[str]) -> tuple[str, ...]:
    if names == [synset for synset, _ in imagenet_classes()]:
        return tuple(name for _, name in imagenet_classes())
    return tuple(names)


def _images(folder: Path, names: list[str]) -> tuple[list[str], list[int]]:
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        files = sorted(path for path in (folder / name).rglob("*") if path.is_file() and not path.name.startswith("."))
        for path in files:
            if path.suffix.lower() not in _SUFFIXES:
                raise ValueError(f"{path} is no image of a kind that can be trained on: {', '.join(_SUFFIXES)}.")
        if not files and folder.name == "train":
            raise ValueError(f"{folder / name} has no images in it.")
        paths += map(str, files)
        labels += [label] * len(files)
    if not paths:
        raise ValueError(f"{folder} has no images in it.")
    return paths, labels
