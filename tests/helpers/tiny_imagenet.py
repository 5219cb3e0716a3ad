"""A tiny ImageNet, and other tiny data sets, written by tensorflow-datasets itself from images made here."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Splits = Mapping[str, list[dict[str, Any]]]

#: Number of images by split.
SIZES = {"train": 48, "validation": 14}
#: Classes the images belong to, of 1000.
LABELS = (0, 7, 999)


def jpeg(seed: int, mode: str = "RGB", kind: str = "JPEG") -> bytes:
    """A smooth random image of some size around 120x90 pixels."""
    random = np.random.default_rng(seed)
    width, height = random.integers(80, 140, 2)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), "uint8"))
    image = coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC).convert(mode)
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 92} if kind == "JPEG" else {}))
    return file.getvalue()


def examples(split: str, count: int) -> list[dict[str, Any]]:
    """The examples of a split; as in ImageNet, some are gray, one is CMYK, and one a PNG by a wrong name."""
    modes = {3: "L", 5: "CMYK"}
    offset = 0 if split == "train" else 1000
    return [
        {
            "image": io.BytesIO(jpeg(offset + i, modes.get(i, "RGB"), "PNG" if i == 9 else "JPEG")),
            "label": LABELS[i % len(LABELS)],
            "file_name": f"{split}_{i}.JPEG",
        }
        for i in range(count)
    ]


def prepare(data_dir: Path, train: int = SIZES["train"], validation: int = SIZES["validation"]) -> Path:
    """Writes the data set as ``tfds.builder("imagenet2012", data_dir=...)`` finds it, and returns ``data_dir``.

    Args:
        data_dir: Folder of data sets.
        train: Number of training images; they lie in four files, as far as there are so many.
        validation: Number of validation images.
    """
    import tensorflow_datasets as tfds

    info = tfds.builder("imagenet2012", data_dir=data_dir).info
    splits = {"train": examples("train", train), "validation": examples("validation", validation)}
    write(info, splits, per_file=-(-train // 4))
    return data_dir


def prepare_own(data_dir: Path, name: str, features: Mapping[str, Any], splits: Splits, per_file: int = 8) -> Path:
    """Writes version 1.0.0 of a data set that tensorflow-datasets knows by its files, and returns ``data_dir``."""
    import tensorflow_datasets as tfds

    identity = tfds.core.DatasetIdentity(
        name=name, version=tfds.core.Version("1.0.0"), data_dir=str(data_dir / name / "1.0.0"), module_name=""
    )
    info = tfds.core.DatasetInfo(builder=identity, features=tfds.features.FeaturesDict(dict(features)))
    write(info, splits, per_file)
    return data_dir


def write(info: Any, splits: Splits, per_file: int) -> None:
    """Writes the examples of each split to where ``info`` says, so many into each file."""
    import tensorflow_datasets as tfds

    Path(info.data_dir).mkdir(parents=True)
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=per_file)
    writer.initialize_splits(list(splits))
    writer.add_examples(dict(splits))
    writer.close_all()
