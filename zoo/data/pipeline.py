"""Batches for training and evaluation, reproducible by seed on any number of hosts."""

import tensorflow as tf

from larq_melius.zoo.data.augmentation import find_augmentation
from larq_melius.zoo.data.decoding import central_crop, with_image
from larq_melius.zoo.data.image_dataset import WHOLE, ImageDataset, Shard

_SHARDINGS = ("examples", "files")
_LARGEST_SEED = 2**31 - 1
#: Bytes of batches that are prepared ahead; by default, tf.data takes half of the machine's memory.
_AHEAD = 2 << 30


def training_batches(
    data: ImageDataset,
    *,
    augmentation: str,
    batch_size: int,
    epoch: int,
    seed: int,
    first_batch: int = 0,
    shard: Shard = WHOLE,
    shard_by: str = "examples",
) -> tf.data.Dataset:
    """Builds the training batches of one epoch.

    Order and augmentation depend only on ``seed``, ``epoch`` and the position in the epoch, so resuming at
    ``first_batch`` continues with exactly the same batches. With ``shard_by="examples"``, every host reads all images
    and decodes its own, and the batches of all hosts together are those of a single one. With ``"files"``, a host whose
    files hold fewer images than others' repeats its first ones.

    Args:
        data: The data set.
        augmentation: One of ``AUGMENTATIONS``.
        batch_size: Images per batch of this host.
        epoch: Number of the epoch.
        seed: Seed of the run.
        first_batch: Number of batches to skip; their images are not decoded.
        shard: The share of this host.
        shard_by: ``"examples"``, or ``"files"`` if hosts should read only their own files.

    Returns:
        float32 images, normalized, ``(batch_size, height, width, channels)``, and int64 classes, ``(batch_size,)``;
        images that do not fill a batch on every host are dropped.

    Raises:
        ValueError: If there is no such augmentation or sharding, a number is out of range, or there are fewer files
            than hosts.
    """
    augment = find_augmentation(augmentation, data.input_shape[2])
    batches = _batches_of_an_epoch(data, batch_size, shard)
    if not 0 <= first_batch <= batches:
        raise ValueError(f"first_batch must be from 0 to {batches}, the batches of an epoch, got {first_batch}.")
    if shard_by not in _SHARDINGS:
        raise ValueError(f"shard_by must be one of {', '.join(_SHARDINGS)}, got {shard_by!r}.")
    for name, number in (("seed", seed), ("epoch", epoch)):
        if not 0 <= number <= _LARGEST_SEED:
            raise ValueError(f"{name} must be from 0 to {_LARGEST_SEED}, got {number}.")

    files = shard if shard_by == "files" else WHOLE
    examples = data.source.examples("train", (seed, epoch), files)
    if shard_by == "files":
        examples = examples.repeat().enumerate()
    else:
        examples = examples.enumerate().shard(shard.count, shard.index)
    key = tf.random.experimental.stateless_fold_in(tf.constant([seed, files.index]), epoch)

    def prepare(position: tf.Tensor, example: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        record, label = example
        own_seed = tf.random.experimental.stateless_fold_in(key, position)
        shape = data.input_shape
        image = with_image(record, shape[2], lambda image: augment(image, own_seed, shape, data.preprocessing))
        return data.preprocessing.normalize(image), label

    def check(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return images, _checked(labels, data)

    return (
        examples.skip(first_batch * batch_size)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .map(check)
        .take(batches - first_batch)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(_options())
    )


def evaluation_batches(
    data: ImageDataset, split: str, *, batch_size: int, shard: Shard = WHOLE, multiple: int = 1
) -> tf.data.Dataset:
    """Builds batches with every image of a split once, in stored order.

    Args:
        data: The data set.
        split: ``"validation"``, ``"train"`` or another split of the data set.
        batch_size: Images per batch of this host.
        shard: The share of this host; every host gets the same number of batches.
        multiple: The number of batches is rounded up to a multiple of this: the devices of the host.

    Returns:
        float32 images, normalized, ``(batch_size, height, width, channels)``, int64 classes, ``(batch_size,)``, and a
        mask, float32 ``(batch_size,)``, that is 1 for images and 0 for padding in the last batches.

    Raises:
        ValueError: If there is no such split, or a number is less than 1.
    """
    data.check_split(split)
    for name, number in (("batch_size", batch_size), ("multiple", multiple)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}.")
    largest_shard = -(-data.sizes[split] // shard.count)
    batches = -(-largest_shard // (batch_size * multiple)) * multiple
    own = len(range(shard.index, data.sizes[split], shard.count))

    def prepare(record: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        shape = data.input_shape
        image = with_image(record, shape[2], lambda image: central_crop(image, shape, data.preprocessing))
        return data.preprocessing.normalize(image), label, tf.constant(1.0)

    def check(images: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return images, _checked(labels, data), mask

    blank = (tf.zeros(data.input_shape), tf.constant(0, tf.int64), tf.constant(0.0))
    return (
        data.source.examples(split, None, WHOLE)
        .shard(shard.count, shard.index)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .concatenate(tf.data.Dataset.from_tensors(blank).repeat(batches * batch_size - own))
        .batch(batch_size, drop_remainder=True)
        .map(check)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(_options())
    )


def _batches_of_an_epoch(data: ImageDataset, batch_size: int, shard: Shard) -> int:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    batches = data.sizes["train"] // (batch_size * shard.count)
    if not batches:
        raise ValueError(
            f"The {data.sizes['train']} training images of {data.name} do not fill a batch of {batch_size} on each of "
            f"{shard.count} hosts: lower batch_size."
        )
    return batches


def _checked(labels: tf.Tensor, data: ImageDataset) -> tf.Tensor:
    """Returns the labels, after a check that they are within the classes."""
    message = f"An image of {data.name} has a label that is none of its {len(data.classes)} classes"
    known = (labels >= 0) & (labels < len(data.classes))
    with tf.control_dependencies([tf.debugging.assert_equal(known, True, message)]):
        return tf.identity(labels)


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.ram_budget = _AHEAD
    # Examples are sharded above.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
