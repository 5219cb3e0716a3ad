"""Data sets of tensorflow-datasets, ImageNet among them."""

import logging
import os
from typing import Any

import tensorflow as tf

from larq_melius.imagenet import imagenet_classes
from larq_melius.preprocessing import IMAGENET, Preprocessing
from larq_melius.weights.home import offline
from larq_melius.zoo.data.image_data import ImageData, Shard

#: Encoded images in memory while they are shuffled: about 1 GB of ImageNet.
_SHUFFLE_BUFFER = 8192
_VALIDATION = ("validation", "test")

# Mean and standard deviation over the training images.
_PREPROCESSING = {
    "cifar10": Preprocessing((125.31, 122.95, 113.87), (62.99, 62.09, 66.70)),
    "cifar100": Preprocessing((129.30, 124.07, 112.43), (68.17, 65.39, 70.42)),
    "mnist": Preprocessing((33.32,), (78.57,)),
}


class TfdsSource:
    """Examples from a prepared data set.

    Args:
        builder: The builder of tensorflow-datasets.
        splits: Its own names of the splits.
    """

    def __init__(self, builder: Any, splits: dict[str, str]) -> None:
        self._builder = builder
        self._splits = splits

    def examples(self, split: str, seed: tuple[int, int] | None, files: Shard) -> tf.data.Dataset:
        import tensorflow_datasets as tfds

        info = self._builder.info.splits[self._splits[split]]
        if files.count > info.num_shards:
            raise ValueError(
                f"{self._builder.name} is kept in {info.num_shards} files, too few for {files.count} hosts: set "
                "shard_by=examples."
            )
        number = None if seed is None else _one_number(seed)
        examples = self._builder.as_dataset(
            split=self._splits[split],
            shuffle_files=seed is not None,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(
                shuffle_seed=number,
                shuffle_reshuffle_each_iteration=False,
                skip_prefetch=True,
                try_autocache=False,
                input_context=tf.distribute.InputContext(files.count, files.index) if files.count > 1 else None,
                # The shuffled order must not depend on which file is read first.
                options=_deterministic(),
            ),
        )
        if number is not None:
            buffer = min(_SHUFFLE_BUFFER, info.num_examples)
            examples = examples.shuffle(buffer, seed=number, reshuffle_each_iteration=False)
        return examples.map(lambda example: (example["image"], tf.cast(example["label"], tf.int64)))

    def damaged_file(self, split: str) -> str | None:
        return None


def load_tfds(name: str, data_dir: str | os.PathLike[str] | None, image_size: int | None) -> ImageData:
    """A data set of tensorflow-datasets; it is downloaded and prepared if it is not there yet.

    Raises:
        ImportError: If tensorflow-datasets is not installed.
        OSError: If the data set cannot be had.
        ValueError: If there is no such data set, or it is none of images that each belong to one class.
    """
    builder = _builder(name, data_dir)
    features = builder.info.features
    if features is None or not {"image", "label"} <= set(features):
        raise ValueError(f"{name} is no data set of images with one label each.")
    if not hasattr(features["label"], "names"):
        raise ValueError(f"The labels of {name} are no classes.")
    _prepare(builder, name)
    height, width, channels = features["image"].shape
    splits = _splits(builder, name)
    sizes = {split: builder.info.splits[own].num_examples for split, own in splits.items()}
    side = image_size or (height if height is not None and height == width else 224)
    preprocessing = _PREPROCESSING.get(builder.name) or _usual_preprocessing(channels)
    classes = _class_names(features["label"].names)
    return ImageData(name, classes, (side, side, channels), preprocessing, sizes, TfdsSource(builder, splits))


def _builder(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f"The data set {name} comes with tensorflow-datasets: run pip install 'larq-melius[train]'."
        ) from error
    try:
        return tfds.builder(name, data_dir=None if data_dir is None else os.path.expanduser(data_dir))
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"Unknown data set {name!r}: give a name of tensorflow-datasets, 'folder', 'digits' or 'synthetic' "
            f"({reason})"
        ) from error


def _prepare(builder: Any, name: str) -> None:
    if builder.is_prepared():
        return
    folder = builder.data_path.parent.parent
    if offline():
        raise OSError(
            f"{name} is not prepared in {folder}, and LARQ_MELIUS_OFFLINE forbids to download it: unset that, or give "
            "the folder that has it with --data-dir."
        )
    # Each of its many retries would be a line.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        builder.download_and_prepare()
    except AssertionError as error:
        # tensorflow-datasets asserts that files which nobody may download for the user are there.
        raise OSError(
            f"{name} is not prepared in {folder}, and must be downloaded by hand: put the archives into "
            f"{folder / 'downloads' / 'manual'} and run this again, or give the folder that has it with --data-dir."
        ) from error
    except Exception as error:
        # Its downloads fail with exceptions of many kinds.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise OSError(f"{name} is not in {folder} and could not be downloaded: {reason[0]}") from error


def _splits(builder: Any, name: str) -> dict[str, str]:
    own = builder.info.splits
    if "train" not in own:
        raise ValueError(f"{name} has no split 'train'.")
    validation = next((split for split in _VALIDATION if split in own), None)
    if validation is None:
        return {"train": "train[:90%]", "validation": "train[90%:]"}
    return {"train": "train", "validation": validation, **({"test": "test"} if "test" in own else {})}


def _usual_preprocessing(channels: int) -> Preprocessing:
    return IMAGENET if channels == 3 else Preprocessing((127.5,) * channels, (127.5,) * channels)


def _class_names(names: list[str]) -> tuple[str, ...]:
    if list(names) == [synset for synset, _ in imagenet_classes()]:
        return tuple(name for _, name in imagenet_classes())
    return tuple(names)


def _deterministic() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    return options


def _one_number(seed: tuple[int, int]) -> int:
    """One seed of two small numbers."""
    run, epoch = seed
    return run * 100_003 + epoch
