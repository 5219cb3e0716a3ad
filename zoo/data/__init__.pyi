from .augmentation import AUGMENTATIONS as AUGMENTATIONS
from .image_dataset import ImageDataset as ImageDataset
from .image_dataset import Shard as Shard
from .load import load_data as load_data
from .pipeline import evaluation_batches as evaluation_batches
from .pipeline import training_batches as training_batches
