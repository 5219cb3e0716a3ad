"""The layers MeliusNet needs beyond Keras' and Larq's own, registered for loading without ``custom_objects``."""

from larq_melius.layers.channel_shuffle import ChannelShuffle
from larq_melius.layers.improvement_merge import ImprovementMerge
from larq_melius.layers.symmetric_padding import SymmetricPadding2D
from larq_melius.layers.unit_scale import UnitScale

__all__ = ["ChannelShuffle", "ImprovementMerge", "SymmetricPadding2D", "UnitScale"]
