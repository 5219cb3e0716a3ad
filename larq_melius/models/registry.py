"""The networks of the zoo by name."""

import fnmatch
import os
from dataclasses import dataclass
from typing import Any, Protocol

import tensorflow as tf

from larq_melius.models import binary_densenet, configs, meliusnet, resnet_e
from larq_melius.models.configs import NetworkConfig
from larq_melius.models.model_builder import Shape
from larq_melius.reference_implementations import ReferenceImplementation


class ModelFunction(Protocol):
    """A function that builds one named network, with the signature of ``tf.keras.applications``."""

    __name__: str

    def __call__(
        self,
        include_top: bool = ...,
        weights: str | os.PathLike[str] | None = ...,
        input_tensor: Any = ...,
        input_shape: Shape | None = ...,
        pooling: str | None = ...,
        classes: int = ...,
        classifier_activation: Any = ...,
        *,
        stem: str = ...,
        convention: str | ReferenceImplementation | None = ...,
        name: str = ...,
    ) -> tf.keras.Model: ...


@dataclass(frozen=True)
class Variant:
    """A network of the zoo.

    Attributes:
        name: Its name, which is also that of its function.
        config: Its architecture and its usual input.
        function: What builds it.
    """

    name: str
    config: NetworkConfig
    function: ModelFunction

    @property
    def weights(self) -> str:
        """Tag of the weights that the function loads by default."""
        return self.config.weights

    @property
    def stem(self) -> str:
        """The usual stem."""
        return self.config.stem

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the usual image."""
        return self.config.input_shape

    @property
    def summary(self) -> str:
        """What the network is, in one line."""
        return self.config.summary


#: The networks of the zoo by name, in the order of the paper.
VARIANTS: dict[str, Variant] = {
    function.__name__: Variant(function.__name__, config, function)
    for config, function in [
        (configs.MELIUSNET22, meliusnet.MeliusNet22),
        (configs.MELIUSNET23, meliusnet.MeliusNet23),
        (configs.MELIUSNET29, meliusnet.MeliusNet29),
        (configs.MELIUSNET42, meliusnet.MeliusNet42),
        (configs.MELIUSNET59, meliusnet.MeliusNet59),
        (configs.MELIUSNET_A, meliusnet.MeliusNetA),
        (configs.MELIUSNET_B, meliusnet.MeliusNetB),
        (configs.MELIUSNET_C, meliusnet.MeliusNetC),
        (configs.MELIUSNET_TINY, meliusnet.MeliusNetTiny),
        (configs.BINARY_DENSENET28, binary_densenet.BinaryDenseNet28),
        (configs.BINARY_DENSENET37, binary_densenet.BinaryDenseNet37),
        (configs.BINARY_DENSENET45, binary_densenet.BinaryDenseNet45),
        (configs.NAIVENET17, meliusnet.NaiveNet17),
        (configs.RESNET_E18, resnet_e.ResNetE18),
        (configs.BIREALNET34, resnet_e.BiRealNet34),
    ]
}


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

    Returns:
        A model from normalized images, ``(batch, height, width, channels)``, to ``(batch, classes)``.

    Raises:
        OSError: If the weights cannot be had.
        ValueError: If there is no such network, or an argument is wrong.
    """
    return find_variant(name).function(**kwargs)


def find_variant(name: str) -> Variant:
    """The network of that name, in any case.

    Raises:
        ValueError: If there is no such network.
    """
    for variant in VARIANTS.values():
        if variant.name.lower() == name.lower():
            return variant
    raise ValueError(f"Unknown model {name!r}; choose one of {', '.join(VARIANTS)}.")
