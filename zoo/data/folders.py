"""Images in folders that are named after their classes."""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from larq_melius.preprocessing import IMAGENET
from larq_melius.zoo.data.image_dataset import WHOLE, ImageDataset, Shard, find_corrupt_position, readable_names

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
_VALIDATION = ("validation", "val", "test")
#: Images of a folder that are looked at to find out whether all have one size.
_SAMPLE = 64


class FolderSource:
    """Reads image files. EXIF orientation is ignored.

    Args:
        splits: Paths and class indices by split.
    """

    def __init__(self, splits: dict[str, tuple[list[str], list[int]]]) -> None:
        self._splits = splits
        # Shared by all epochs, which differ in their order alone.
        self._tensors = {
            split: (tf.constant(paths), tf.constant(labels, tf.int64)) for split, (paths, labels) in splits.items()
        }

    def examples(self, split: str, seed: tuple[int, int] | None, files: Shard) -> tf.data.Dataset:
        paths, labels = self._tensors[split]
        own = np.arange(len(paths))[files.index :: files.count]
        order = own if seed is None else np.random.default_rng(seed).permutation(own)
        return tf.data.Dataset.from_tensor_slices(order).map(
            lambda index: (tf.io.read_file(paths[index]), labels[index]),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def find_corrupt_example(self, split: str) -> str | None:
        paths, labels = self._splits[split]
        position = find_corrupt_position(self.examples(split, None, WHOLE), classes=max(labels) + 1)
        return None if position is None else f"{paths[position]} is not an image that can be read"


def load_folder(data_dir: str | os.PathLike[str] | None, image_size: int | None, usual_size: int) -> ImageDataset:
    """Loads the images of ``data_dir/train/CLASS/`` and ``data_dir/validation/CLASS/`` (or ``val``, or ``test``).

    If there is a validation folder, ``data_dir/test/CLASS/`` is the test split. Classes named by ImageNet's WordNet ids
    get its names and order. The arguments are those of ``load_data``.

    Raises:
        OSError: If a folder cannot be read.
        ValueError: If a folder or its images are missing, a file is not an image, or splits differ in their classes.
    """
    if data_dir is None:
        raise ValueError("The data set 'folder' needs --data-dir, the folder that contains train/ and validation/.")
    root = Path(data_dir).expanduser()
    validation = next((root / name for name in _VALIDATION if (root / name).is_dir()), None)
    if not (root / "train").is_dir() or validation is None:
        raise ValueError(f"{root} must have the folders train and validation in it, with a folder for each class.")
    folders = {"train": root / "train", "validation": validation}
    if validation != root / "test" and (root / "test").is_dir():
        folders["test"] = root / "test"
    names = _class_folders(folders["train"])
    for folder in folders.values():
        _check_classes(folder, names, folders["train"])
    splits = {split: _images(folder, names) for split, folder in folders.items()}
    side = image_size or min(_common_side(splits["train"][0]) or usual_size, usual_size)
    sizes = {split: len(paths) for split, (paths, _) in splits.items()}
    return ImageDataset("folder", readable_names(names), (side, side, 3), IMAGENET, sizes, FolderSource(splits))


def _common_side(paths: list[str]) -> int | None:
    """The side of the images if they are squares of one size, as far as a sample over all classes tells."""
    found = set()
    for path in paths[:: -(-len(paths) // _SAMPLE)]:
        try:
            with Image.open(path) as image:
                found.add(image.size)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            # Training tells of the images that cannot be read.
            continue
    sides = found.pop() if len(found) == 1 else (0, 1)
    return sides[0] if sides[0] == sides[1] else None


def _class_folders(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not names:
        raise ValueError(f"{folder} has no folders named after classes.")
    return names


def _check_classes(folder: Path, names: list[str], train: Path) -> None:
    own = _class_folders(folder)
    if unknown := sorted(set(own) - set(names)):
        raise ValueError(f"{folder / unknown[0]} is of a class that {train} does not have.")
    if missing := sorted(set(names) - set(own)):
        raise ValueError(f"{folder} has no folder {missing[0]!r}, a class that {train} has.")


def _images(folder: Path, names: list[str]) -> tuple[list[str], list[int]]:
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        files = sorted(path for path in (folder / name).rglob("*") if path.is_file() and not path.name.startswith("."))
        for path in files:
            if path.suffix.lower() not in _SUFFIXES:
                raise ValueError(f"{path} is no image of a kind that can be trained on: {', '.join(_SUFFIXES)}.")
        if not files:
            raise ValueError(f"{folder / name} has no images in it.")
        paths += map(str, files)
        labels += [label] * len(files)
    return paths, labels
