"""Data sets of tensorflow-datasets, ImageNet among them."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from larq_melius.preprocessing import IMAGENET, Preprocessing
from larq_melius.weights.cache import is_offline
from larq_melius.weights.checks import first_line
from larq_melius.zoo.data.image_dataset import WHOLE, ImageDataset, Shard, find_corrupt_position, readable_names

#: Splits up to this size, in bytes, are shuffled completely.
_SMALL = 1 << 30
#: Number of encoded images in the shuffle buffer of larger splits: about 1 GB of ImageNet.
_SHUFFLE_BUFFER = 8192
#: Files read in turns, and images per turn. The order of the examples depends on both.
_INTERLEAVED = {"interleave_cycle_length": 16, "interleave_block_length": 16}
_VALIDATION = ("validation", "test")
#: Data sets whose test labels are not public.
_HIDDEN_TEST = ("imagenet2012",)
_ARCHIVES = {"imagenet2012": "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from https://image-net.org"}

# Mean and standard deviation of the training images.
_PREPROCESSING = {
    "cifar10": Preprocessing((125.31, 122.95, 113.87), (62.99, 62.09, 66.70)),
    "cifar100": Preprocessing((129.30, 124.07, 112.43), (68.17, 65.39, 70.42)),
    "mnist": Preprocessing((33.32,), (78.57,)),
}


class TfdsSource:
    """Reads the examples of a prepared data set.

    Args:
        builder: The builder of tensorflow-datasets.
        splits: The builder's name of each split.
    """

    def __init__(self, builder: Any, splits: dict[str, str]) -> None:
        self._builder = builder
        self._splits = splits

    def examples(self, split: str, seed: tuple[int, int] | None, files: Shard) -> tf.data.Dataset:
        info = self._builder.info.splits[self._splits[split]]
        if files.count > info.num_shards:
            raise ValueError(
                f"{self._builder.name} is kept in {info.num_shards} files, too few for {files.count} hosts: set "
                "shard_by=examples."
            )

        def share(instructions: list[Any]) -> list[Any]:
            own = np.arange(len(instructions))[files.index :: files.count]
            order = own if seed is None else np.random.default_rng(seed).permutation(own)
            return [instructions[index] for index in order]

        examples = self._read(split, experimental_interleave_sort_fn=share, assert_cardinality=files.count == 1).map(
            lambda example: (example["image"], tf.cast(example["label"], tf.int64))
        )
        if seed is None:
            return examples
        small = 0 < info.num_bytes <= _SMALL
        return _shuffle(examples, info.num_examples if small else min(_SHUFFLE_BUFFER, info.num_examples), seed)

    def find_corrupt_example(self, split: str) -> str | None:
        classes = self._builder.info.features["label"].num_classes
        position = find_corrupt_position(self.examples(split, None, WHOLE), classes)
        if position is None:
            return None
        example = next(iter(self._read(split, add_tfds_id=True).skip(position).take(1)))
        file, _, number = example["tfds_id"].numpy().decode().rpartition("__")
        image = f"Image {number} of {self._builder.data_path / file}"
        label = int(example["label"])
        if not 0 <= label < classes:
            return f"{image} has the label {label}, which is none of its {classes} classes"
        return f"{image} is not an image that can be read"

    def _read(self, split: str, **options: Any) -> tf.data.Dataset:
        import tensorflow_datasets as tfds

        deterministic = tf.data.Options()
        deterministic.deterministic = True
        return self._builder.as_dataset(
            split=self._splits[split],
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(
                skip_prefetch=True,
                try_autocache=False,
                # Some data sets insist on being read in the order in which they were written.
                enable_ordering_guard=False,
                options=deterministic,
                **_INTERLEAVED,
                **options,
            ),
        )


def load_tfds(
    name: str, data_dir: str | os.PathLike[str] | None, image_size: int | None, usual_size: int
) -> ImageDataset:
    """Loads a data set of tensorflow-datasets, after downloading and preparing it if necessary.

    The arguments are those of ``load_data``.

    Raises:
        ImportError: If tensorflow-datasets is not installed.
        OSError: If the data set cannot be downloaded or prepared.
        ValueError: If there is no such data set, or it is not one of images with one class each.
    """
    builder = _builder(name, data_dir)
    _check_features(builder.info.features, name)
    _prepare(builder, name)
    height, width, channels = builder.info.features["image"].shape
    splits = _splits(builder, name)
    sizes = {split: builder.info.splits[own].num_examples for split, own in splits.items()}
    side = image_size or (height if height is not None and height == width else usual_size)
    preprocessing = _PREPROCESSING.get(builder.name) or _usual_preprocessing(channels)
    classes = readable_names(builder.info.features["label"].names)
    return ImageDataset(name, classes, (side, side, channels), preprocessing, sizes, TfdsSource(builder, splits))


def _shuffle(examples: tf.data.Dataset, buffer: int, seed: tuple[int, int]) -> tf.data.Dataset:
    """Shuffles examples by ``seed`` alone, regardless of ``tf.random.set_seed``.

    Args:
        examples: The examples, in a deterministic order.
        buffer: Number of examples in memory that the next one is drawn from.
        seed: Two integers.
    """
    run, epoch = seed

    def within_a_graph(_: tf.Tensor) -> tf.data.Dataset:
        # shuffle() combines its own seed with that of the graph, which in here is the seed of this function's graph.
        tf.random.set_seed(run)
        return examples.shuffle(buffer, seed=epoch, reshuffle_each_iteration=False)

    return tf.data.Dataset.from_tensors(0).flat_map(within_a_graph)


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


def _check_features(features: Any, name: str) -> None:
    import tensorflow_datasets as tfds

    if features is None or not {"image", "label"} <= set(features):
        raise ValueError(f"{name} is no data set of images with one label each: it needs the features image and label.")
    image, label = features["image"], features["label"]
    if not isinstance(image, tfds.features.Image) or image.np_dtype != np.uint8 or image.shape[2] not in (1, 3):
        raise ValueError(f"The images of {name} are not of 8 bits in gray or RGB.")
    if not isinstance(label, tfds.features.ClassLabel) or not label.num_classes:
        raise ValueError(f"The labels of {name} are no classes.")


def _prepare(builder: Any, name: str) -> None:
    if builder.is_prepared():
        return
    # The path ends in the name, the configuration (if there are several), and the version.
    folder = Path(builder.data_path).parents[2 if builder.builder_config else 1]
    if is_offline():
        raise OSError(
            f"{name} is not prepared in {folder}, and LARQ_MELIUS_OFFLINE forbids to download it: unset that, or give "
            "the folder that has it with --data-dir."
        )
    # It logs each of its many retries.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        builder.download_and_prepare()
    except AssertionError as error:
        # tensorflow-datasets asserts that files which must be downloaded by hand are there.
        archives = _ARCHIVES.get(builder.name) or f"what {builder.info.homepage or 'its homepage'} offers"
        raise OSError(
            f"{name} is not prepared in {folder}, and must be downloaded by hand: put {archives} into "
            f"{folder / 'downloads' / 'manual'} and run this again, or give the folder that has it with --data-dir."
        ) from error
    except Exception as error:
        # Downloads raise exceptions of many types.
        raise OSError(
            f"{name} is not prepared in {folder} and could not be downloaded. Where there is a network, run tfds build "
            f"{name} --data_dir DIR, and give DIR with --data-dir. The error was: {first_line(error)}"
        ) from error


def _splits(builder: Any, name: str) -> dict[str, str]:
    own = set(builder.info.splits) - ({"test"} if builder.name in _HIDDEN_TEST else set())
    if "train" not in own:
        raise ValueError(f"{name} has no split 'train'.")
    validation = next((split for split in _VALIDATION if split in own), None)
    if validation is None:
        return {"train": "train[:90%]", "validation": "train[90%:]"}
    return {"train": "train", "validation": validation, **({"test": "test"} if "test" in own else {})}


def _usual_preprocessing(channels: int) -> Preprocessing:
    return IMAGENET if channels == 3 else Preprocessing((127.5,) * channels, (127.5,) * channels)
