"""Batches for training and evaluation, the same ones for the same seed, on one host or many."""

import tensorflow as tf

from larq_melius.zoo.data.augmentation import find_augmentation
from larq_melius.zoo.data.decoding import central_crop
from larq_melius.zoo.data.image_data import WHOLE, ImageData, Shard


def training_batches(
    data: ImageData,
    *,
    augmentation: str,
    batch_size: int,
    epoch: int,
    seed: int,
    first_batch: int = 0,
    shard: Shard = WHOLE,
    shard_by: str = "examples",
) -> tf.data.Dataset:
    """The batches of one epoch.

    Order and augmentation follow from ``seed``, ``epoch`` and an example's position in the epoch alone: going on at
    ``first_batch`` gives exactly what was to come there. By ``"examples"``, every host reads all images and decodes its
    own, and the batches of all hosts together are those of a single one.

    Args:
        data: The images.
        augmentation: One of ``AUGMENTATIONS``.
        batch_size: Images in a batch of this host.
        epoch: Number of the epoch.
        seed: Seed of the run.
        first_batch: Batches to leave out at the beginning; their images are not decoded.
        shard: The part of this host.
        shard_by: ``"examples"``, or ``"files"`` for hosts that read their own files only.

    Returns:
        float32 images, normalized, ``(batch_size, height, width, channels)``, and int64 classes, ``(batch_size,)``;
        what does not fill a batch on every host is left out.

    Raises:
        ValueError: If there is no such augmentation, or there are fewer files than hosts.
    """
    augment = find_augmentation(augmentation, data.input_shape[2])
    files = shard if shard_by == "files" else WHOLE
    examples = data.source.examples("train", (seed, epoch), files).enumerate()
    if shard_by == "examples":
        examples = examples.shard(shard.count, shard.index)
    key = tf.random.experimental.stateless_fold_in(tf.constant([seed, shard.index if files is shard else 0]), epoch)

    def prepare(position: tf.Tensor, example: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        record, label = example
        image = augment(
            record,
            tf.random.experimental.stateless_fold_in(key, position),
            data.input_shape,
            data.preprocessing,
        )
        return data.preprocessing.normalize(image), label

    return (
        examples.skip(first_batch * batch_size)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .take(data.sizes["train"] // (batch_size * shard.count) - first_batch)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(_options())
    )


def evaluation_batches(
    data: ImageData, split: str, *, batch_size: int, shard: Shard = WHOLE, multiple: int = 1
) -> tf.data.Dataset:
    """All images of a split, once.

    Args:
        data: The images.
        split: ``"validation"``, ``"train"`` or another one of the data set.
        batch_size: Images in a batch of this host.
        shard: The part of this host; every host gets as many batches.
        multiple: What the number of batches is to be a multiple of: the devices of the host.

    Returns:
        float32 images, normalized, int64 classes, and a mask, ``(batch_size,)``, that is 1 for images and 0 for what
        fills up the last batches.

    Raises:
        ValueError: If there is no such split.
    """
    data.check_split(split)
    largest_shard = -(-data.sizes[split] // shard.count)
    batches = -(-largest_shard // (batch_size * multiple)) * multiple
    own = len(range(shard.index, data.sizes[split], shard.count))

    def prepare(record: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image = central_crop(record, data.input_shape, data.preprocessing)
        return data.preprocessing.normalize(image), label, tf.constant(1.0)

    blank = (tf.zeros(data.input_shape), tf.constant(0, tf.int64), tf.constant(0.0))
    return (
        data.source.examples(split, None, WHOLE)
        .shard(shard.count, shard.index)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .concatenate(tf.data.Dataset.from_tensors(blank).repeat(batches * batch_size - own))
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(_options())
    )


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # The shards are made here.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
