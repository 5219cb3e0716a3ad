"""Names of classes."""

from collections.abc import Sequence

from larq_melius.imagenet import imagenet_classes


def readable(names: Sequence[str]) -> tuple[str, ...]:
    """The names, or what ImageNet's classes are called if all of them are WordNet ids of these.

    WordNet ids in alphabetical order are in ImageNet's order.
    """
    imagenet = dict(imagenet_classes())
    if all(name in imagenet for name in names):
        return tuple(imagenet[name] for name in names)
    return tuple(names)
