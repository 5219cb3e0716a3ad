"""The architectures: what distinguishes one network of a family from another, and the table of the zoo's networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

#: Groups of the channel shuffle before a grouped convolution. The paper gives no number; the authors' code uses 16 in
#: every network, however many groups the convolution has.
SHUFFLE_GROUPS = 16

Improvement = Literal["newest", "all"] | None

_IMPROVEMENTS = ("newest", "all", None)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """What every network of the zoo states about itself.

    Attributes:
        name: Name under which the zoo lists the network and its weights; ``None`` for a configuration of your own.
        stem: Its usual stem: ``"grouped"``, ``"conv7x7"`` or ``"thumbnail"``.
        input_shape: Height, width and channels of its usual image.
        classes: Its usual number of classes.
        weights: Tag of the weights that its function loads by default.
        summary: What it is, in one line.
        source: Where the architecture is published.
    """

    name: str | None = None
    stem: str = "grouped"
    input_shape: tuple[int, int, int] = (224, 224, 3)
    classes: int = 1000
    weights: str = "imagenet"
    summary: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class MeliusNetConfig(NetworkConfig):
    """The architecture of a MeliusNet, a Binary DenseNet or a NaiveNet.

    Attributes:
        num_blocks: Blocks of each stage.
        transition_filters: Channels after the transition between each two stages: one fewer than stages.
        transition_groups: Groups of the 1x1 convolutions in the transitions; above 1, a channel shuffle precedes them.
        growth_rate: Channels that a Dense Block adds.
        shuffle_groups: Groups of that shuffle, which must divide the channels that enter a transition.
        improvement: ``"newest"`` for the paper's Improvement Block, ``"all"`` for the naive residual block over all
            channels (supplementary B), ``None`` for none, as in Binary DenseNet.

    Raises:
        ValueError: If the values do not make a network.
    """

    num_blocks: Sequence[int]
    transition_filters: Sequence[int] = ()
    transition_groups: int = 1
    growth_rate: int = 64
    shuffle_groups: int = SHUFFLE_GROUPS
    improvement: Improvement = "newest"

    def __post_init__(self) -> None:
        _check_blocks(self.num_blocks)
        stages = len(self.num_blocks)
        if len(self.transition_filters) != stages - 1:
            raise ValueError(
                f"{stages} stages need {stages - 1} transition_filters, got {list(self.transition_filters)}."
            )
        if self.growth_rate < 1:
            raise ValueError(f"growth_rate must be at least 1, got {self.growth_rate}.")
        groups = self.transition_groups
        if groups < 1 or any(filters % groups for filters in self.transition_filters):
            raise ValueError(
                f"transition_groups must divide every one of transition_filters, got {groups} for "
                f"{list(self.transition_filters)}."
            )
        if self.improvement not in _IMPROVEMENTS:
            raise ValueError(f"Unknown improvement {self.improvement!r}; choose one of {list(_IMPROVEMENTS)}.")


@dataclass(frozen=True, kw_only=True)
class ResNetEConfig(NetworkConfig):
    """The architecture of a ResNetE.

    Attributes:
        num_blocks: Blocks of two binary convolutions for each stage, counted as ResNet counts them.
        filters: Channels of each stage; all but the first stage begin by halving the size.

    Raises:
        ValueError: If the values do not make a network.
    """

    num_blocks: Sequence[int]
    filters: Sequence[int] = (64, 128, 256, 512)

    def __post_init__(self) -> None:
        _check_blocks(self.num_blocks)
        if len(self.filters) != len(self.num_blocks):
            raise ValueError(f"{len(self.num_blocks)} stages need as many filters, got {list(self.filters)}.")


def _check_blocks(num_blocks: Sequence[int]) -> None:
    if not num_blocks or any(count < 1 for count in num_blocks):
        raise ValueError(f"num_blocks must give at least one block to each stage, got {list(num_blocks)}.")


MELIUSNET22 = MeliusNetConfig(
    name="MeliusNet22",
    num_blocks=(4, 5, 4, 4),
    transition_filters=(160, 224, 256),
    summary="The MeliusNet of the size of Binary DenseNet 28.",
    source="paper, Table 1",
)
MELIUSNET23 = MeliusNetConfig(
    name="MeliusNet23",
    num_blocks=(2, 4, 6, 6),
    transition_filters=(128, 192, 288),
    transition_groups=8,
    summary="A small MeliusNet of the authors' code, with transitions in 8 groups.",
    source="the authors' code; not in the paper",
)
MELIUSNET29 = MeliusNetConfig(
    name="MeliusNet29",
    num_blocks=(4, 6, 8, 6),
    transition_filters=(128, 192, 256),
    summary="The MeliusNet of the size of Binary DenseNet 37.",
    source="paper, Table 1",
)
MELIUSNET42 = MeliusNetConfig(
    name="MeliusNet42",
    num_blocks=(5, 8, 14, 10),
    transition_filters=(160, 256, 416),
    summary="The MeliusNet with the size and operations of MobileNet-v1 0.75.",
    source="paper, Table 1",
)
MELIUSNET59 = MeliusNetConfig(
    name="MeliusNet59",
    num_blocks=(6, 12, 24, 12),
    transition_filters=(192, 320, 544),
    summary="The MeliusNet with the size and operations of MobileNet-v1 1.0.",
    source="paper, Tables 1 and 4",
)
MELIUSNET_A = MeliusNetConfig(
    name="MeliusNetA",
    num_blocks=(4, 5, 5, 6),
    transition_filters=(160, 256, 288),
    transition_groups=4,
    summary="The MeliusNet with the size and operations of Bi-Real-Net 18, with transitions in 4 groups.",
    source="paper, Table 1",
)
MELIUSNET_B = MeliusNetConfig(
    name="MeliusNetB",
    num_blocks=(4, 6, 8, 6),
    transition_filters=(160, 224, 320),
    transition_groups=2,
    summary="The MeliusNet with the size and operations of Bi-Real-Net 34, with transitions in 2 groups.",
    source="paper, Table 1",
)
MELIUSNET_C = MeliusNetConfig(
    name="MeliusNetC",
    num_blocks=(3, 5, 10, 6),
    transition_filters=(128, 192, 288),
    transition_groups=4,
    summary="The MeliusNet with the size and operations of MobileNet-v1 0.5, with transitions in 4 groups.",
    source="paper, Table 1, whose third transition must read 288/832",
)
MELIUSNET_TINY = MeliusNetConfig(
    name="MeliusNetTiny",
    num_blocks=(2, 2),
    transition_filters=(96,),
    stem="thumbnail",
    input_shape=(8, 8, 1),
    classes=10,
    weights="digits",
    summary="A MeliusNet small enough to ship its weights in the package, for 8x8 images of digits.",
    source="this project; section 3 of the paper at thumbnail size",
)
BINARY_DENSENET28 = MeliusNetConfig(
    name="BinaryDenseNet28",
    num_blocks=(6, 6, 6, 5),
    transition_filters=(160, 192, 256),
    improvement=None,
    summary="Binary DenseNet 28, of the size of MeliusNet22, without Improvement Blocks.",
    source="paper, Table 2",
)
BINARY_DENSENET37 = MeliusNetConfig(
    name="BinaryDenseNet37",
    num_blocks=(6, 8, 12, 6),
    transition_filters=(128, 192, 256),
    improvement=None,
    summary="Binary DenseNet 37, of the size of MeliusNet29, without Improvement Blocks.",
    source="paper, Table 2",
)
BINARY_DENSENET45 = MeliusNetConfig(
    name="BinaryDenseNet45",
    num_blocks=(6, 12, 14, 8),
    transition_filters=(160, 288, 288),
    improvement=None,
    summary="Binary DenseNet 45: the largest of the Binary DenseNets.",
    source="BinaryDenseNet (Bethge et al., 2019)",
)
NAIVENET17 = MeliusNetConfig(
    name="NaiveNet17",
    num_blocks=(3, 3, 3, 3),
    transition_filters=(128, 160, 192),
    improvement="all",
    stem="conv7x7",
    summary="Dense Blocks with residual blocks over all channels, which MeliusNet improves on.",
    source="paper, supplementary B",
)
RESNET_E18 = ResNetEConfig(
    name="ResNetE18",
    num_blocks=(2, 2, 2, 2),
    summary="ResNetE 18: the smaller residual baseline, with one shortcut around every binary convolution.",
    source="paper, Table 2",
)
BIREALNET34 = ResNetEConfig(
    name="BiRealNet34",
    num_blocks=(3, 4, 6, 3),
    summary="Bi-Real-Net 34 as the paper's authors trained it: a ResNetE with 34 layers.",
    source="paper, Tables 2 and 4",
)
