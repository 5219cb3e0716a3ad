"""The networks of the zoo by name.

TensorFlow is imported when a network is built, not when it is looked up.
"""

import fnmatch
import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from larq_melius.models import configs
from larq_melius.models.configs import NetworkConfig
from larq_melius.reference_implementations import ReferenceImplementation

if TYPE_CHECKING:
    import tensorflow as tf

    from larq_melius.models.model_builder import Shape


class ModelFunction(Protocol):
    """A function that builds one named network, with the signature of ``tf.keras.applications``."""

    __name__: str

    def __call__(
        self,
        include_top: bool = ...,
        weights: str | os.PathLike[str] | None = ...,
        input_tensor: Any = ...,
        input_shape: "Shape | None" = ...,
        pooling: str | None = ...,
        classes: int = ...,
        classifier_activation: Any = ...,
        *,
        stem: str = ...,
        convention: str | ReferenceImplementation | None = ...,
        name: str = ...,
    ) -> "tf.keras.Model": ...


@dataclass(frozen=True)
class Variant:
    """A network of the zoo.

    Attributes:
        name: Its name, which is also that of its function in ``larq_melius.models``.
        config: Its architecture and its usual input.
    """

    name: str
    config: NetworkConfig

    @property
    def function(self) -> ModelFunction:
        """The function that builds it."""
        return getattr(importlib.import_module("larq_melius.models"), self.name)

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
    name: Variant(name, config)
    for name, config in {
        "MeliusNet22": configs.MELIUSNET22,
        "MeliusNet23": configs.MELIUSNET23,
        "MeliusNet29": configs.MELIUSNET29,
        "MeliusNet42": configs.MELIUSNET42,
        "MeliusNet59": configs.MELIUSNET59,
        "MeliusNetA": configs.MELIUSNET_A,
        "MeliusNetB": configs.MELIUSNET_B,
        "MeliusNetC": configs.MELIUSNET_C,
        "MeliusNetTiny": configs.MELIUSNET_TINY,
        "BinaryDenseNet28": configs.BINARY_DENSENET28,
        "BinaryDenseNet37": configs.BINARY_DENSENET37,
        "BinaryDenseNet45": configs.BINARY_DENSENET45,
        "NaiveNet17": configs.NAIVENET17,
        "ResNetE18": configs.RESNET_E18,
        "BiRealNet34": configs.BIREALNET34,
    }.items()
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


def get_model(name: str, **kwargs: Any) -> "tf.keras.Model":
    """Builds a network by its name, in any case.

    Args:
        name: One of ``list_models()``.
        **kwargs: Arguments of the network's function, such as ``weights``.

    Returns:
        A model from normalized images, ``(batch, height, width, channels)``, to ``(batch, classes)``.

    Raises:
        OSError: If the weights cannot be downloaded or read.
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
