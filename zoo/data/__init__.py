"""The data sets that networks are trained and evaluated on."""

from larq_melius.zoo.data.augmentation import AUGMENTATIONS
from larq_melius.zoo.data.image_dataset import ImageDataset, Shard
from larq_melius.zoo.data.load import load_data
from larq_melius.zoo.data.pipeline import evaluation_batches, training_batches

__all__ = [
    "AUGMENTATIONS",
    "ImageDataset",
    "Shard",
    "evaluation_batches",
    "load_data",
    "training_batches",
]
