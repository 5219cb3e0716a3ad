"""Tells which network of the zoo a checkpoint holds, from the shapes of its kernels and without building a network."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from larq_melius.models.configs import MeliusNetConfig, NetworkConfig, ResNetEConfig
from larq_melius.models.registry import VARIANTS, find_variant
from larq_melius.stems import STEMS

#: Filters, input channels of a group, height and width, the layout that MXNet and PyTorch share.
KernelShape = tuple[int, ...]

#: A stem's first kernel, but for the channels of the image, and the kernels behind it.
_STEM_KERNELS: dict[str, tuple[tuple[int, int, int], tuple[KernelShape, ...]]] = {
    "grouped": ((32, 3, 3), ((32, 8, 3, 3), (64, 4, 3, 3))),
    "conv7x7": ((64, 7, 7), ()),
    "thumbnail": ((64, 3, 3), ()),
}
_STEM_FILTERS = 64


def kernels_of(tensors: Mapping[str, np.ndarray]) -> list[KernelShape]:
    """The shapes of the convolution kernels among the tensors of a checkpoint."""
    return [tensor.shape for tensor in tensors.values() if tensor.ndim == 4]


def matching_networks(kernels: Iterable[KernelShape]) -> list[tuple[str, str]]:
    """Names and stems of the zoo's networks that have just these kernels, in any order.

    The channels of the image may be any. Batch norms and the classifier are not considered.
    """
    found = Counter(kernels)
    return [
        (variant.name, stem) for variant in VARIANTS.values() for stem in STEMS if _has(found, variant.config, stem)
    ]


def check_network(kernels: Iterable[KernelShape], model: str, stem: str) -> None:
    """Refuses a checkpoint that is of another network or stem than was asked for.

    A checkpoint that is of no network of the zoo passes: what does not fit shows when its arrays are assigned.

    Raises:
        ValueError: If there is no such network, or the kernels are those of another one.
    """
    asked = (find_variant(model).name, stem)
    matches = matching_networks(kernels)
    if matches and asked not in matches:
        fitting = " or ".join(_describe(*match) for match in matches)
        raise ValueError(
            f"the checkpoint is not of {_describe(*asked)}: by the shapes of its kernels, it is of {fitting}; "
            "import it as that"
        )


def _describe(name: str, stem: str) -> str:
    return f"{name} with the {stem} stem"


def _has(found: Counter[KernelShape], config: NetworkConfig, stem: str) -> bool:
    (filters, *window), behind = _STEM_KERNELS[stem]
    others = Counter([*behind, *_kernels_behind_the_stem(config)])
    rest = list((found - others).elements())
    return found >= others and len(rest) == 1 and (rest[0][0], *rest[0][2:]) == (filters, *window)


def _kernels_behind_the_stem(config: NetworkConfig) -> Iterator[KernelShape]:
    if isinstance(config, MeliusNetConfig):
        yield from _dense_kernels(config)
    elif isinstance(config, ResNetEConfig):
        yield from _residual_kernels(config)


def _dense_kernels(config: MeliusNetConfig) -> Iterator[KernelShape]:
    channels = _STEM_FILTERS
    for stage, blocks in enumerate(config.num_blocks):
        if stage > 0:
            filters = config.transition_filters[stage - 1]
            yield (filters, channels // config.transition_groups, 1, 1)
            channels = filters
        for _ in range(blocks):
            yield (config.growth_rate, channels, 3, 3)
            channels += config.growth_rate
            if config.improvement is not None:
                yield (config.growth_rate if config.improvement == "newest" else channels, channels, 3, 3)


def _residual_kernels(config: ResNetEConfig) -> Iterator[KernelShape]:
    channels = _STEM_FILTERS
    for stage, (blocks, filters) in enumerate(zip(config.num_blocks, config.filters, strict=True)):
        if stage > 0 or filters != channels:
            yield (filters, channels, 1, 1)
        for _ in range(2 * blocks):
            yield (filters, channels, 3, 3)
            channels = filters
