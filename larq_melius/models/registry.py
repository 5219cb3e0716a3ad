"""The networks of the zoo by name."""

import fnmatch
from typing import Any

import tensorflow as tf

from larq_melius.models.variants import VARIANTS, Variant


def list_models(pattern: str = "*") -> list[str]:
    """Names of the networks.

    Args:
        pattern: Shell-style pattern, in any case, that the names must match.

    Example:
        >>> list_models("binary*")
        ['BinaryDenseNet28', 'BinaryDenseNet37', 'BinaryDenseNet45']
    """
    return [name for name in VARIANTS if fnmatch.fnmatch(name.lower(), pattern.lower())]


def get_model(name: str, **kwargs: Any) -> tf.keras.Model:
    """Builds a network by its name, in any case.

    Args:
        name: One of ``list_models()``.
        **kwargs: Arguments of the network's function, such as ``weights``.

    Raises:
        ValueError: If there is no such network, or an argument is wrong.
    """
    return find_variant(name).function(**kwargs)


def find_variant(name: str) -> Variant:
    """The network of that name, in any case, with its defaults.

    Raises:
        ValueError: If there is no such network.
    """
    for variant in VARIANTS.values():
        if variant.name.lower() == name.lower():
            return variant
    raise ValueError(f"Unknown model {name!r}; choose one of {', '.join(VARIANTS)}.")
