"""The layers MeliusNet needs beyond Keras' and Larq's own, registered for loading without ``custom_objects``."""

import tensorflow as tf

from larq_melius.layers.channel_shuffle import ChannelShuffle
from larq_melius.layers.improvement_merge import ImprovementMerge
from larq_melius.layers.symmetric_padding import SymmetricPadding2D
from larq_melius.layers.unit_scale import UnitScale

__all__ = ["ChannelShuffle", "ImprovementMerge", "SymmetricPadding2D", "UnitScale"]

# In an HDF5 file, Keras looks up a constraint, or a layer of a model within a model, without the package in front.
tf.keras.utils.get_custom_objects().update(
    {layer.__name__: layer for layer in (ChannelShuffle, ImprovementMerge, SymmetricPadding2D, UnitScale)}
)
