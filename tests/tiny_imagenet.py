"""A tiny ImageNet, prepared by tensorflow-datasets itself from JPEGs made here."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

#: Number of images by split.
SIZES = {"train": 48, "validation": 14}
#: Classes the images belong to, of 1000.
LABELS = (0, 7, 999)
_FILES = {"train": 4, "validation": 2}


def jpeg(seed: int, mode: str = "RGB", kind: str = "JPEG") -> bytes:
    """A smooth random image of some size around 120x90 pixels."""
    random = np.random.default_rng(seed)
    width, height = random.integers(80, 140, 2)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), "uint8"))
    image = coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC).convert(mode)
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 92} if kind == "JPEG" else {}))
    return file.getvalue()


def examples(split: str) -> list[dict[str, Any]]:
    """The examples of a split; as in ImageNet, some are grey, one is CMYK, and one a PNG by a wrong name."""
    modes = {3: "L", 5: "CMYK"}
    offset = 0 if split == "train" else 1000
    return [
        {
            "image": io.BytesIO(jpeg(offset + i, modes.get(i, "RGB"), "PNG" if i == 9 else "JPEG")),
            "label": LABELS[i % len(LABELS)],
            "file_name": f"{split}_{i}.JPEG",
        }
        for i in range(SIZES[split])
    ]


def prepare(data_dir: Path) -> Path:
    """Writes the data set as ``tfds.builder("imagenet2012", data_dir=...)`` finds it, and returns ``data_dir``."""
    import tensorflow_datasets as tfds

    real = tfds.builder("imagenet2012", data_dir=data_dir)
    folder = data_dir / "imagenet2012" / str(real.version)
    folder.mkdir(parents=True)
    features = real.info.features
    split_infos = []
    for split, files in _FILES.items():
        rows = [features.serialize_example(features.encode_example(example)) for example in examples(split)]
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name="imagenet2012", split=split, filetype_suffix="tfrecord"
        )
        lengths = []
        for number in range(files):
            part = rows[number::files]
            path = folder / f"imagenet2012-{split}.tfrecord-{number:05}-of-{files:05}"
            _write_records(path, part)
            lengths.append(len(part))
        split_infos.append(
            tfds.core.SplitInfo(name=split, shard_lengths=lengths, num_bytes=1, filename_template=template)
        )
    features.save_metadata(folder, feature_name=None)
    real.info.set_splits(tfds.core.splits.SplitDict(split_infos))
    real.info.write_to_directory(folder)
    return data_dir


def _write_records(path: Path, rows: list[bytes]) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            writer.write(row)
