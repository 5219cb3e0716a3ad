"""The networks of the paper by name, as ``tf.keras.applications`` has them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import tensorflow as tf

from larq_melius.models.meliusnet import MeliusNet
from larq_melius.models.model_builder import Shape
from larq_melius.models.resnet_e import ResNetE
from larq_melius.reference_implementations import ReferenceImplementation

_DOCSTRING = """{summary}

    Source: {source}.

    Args:
        include_top: Whether the network ends in its classifier.
        weights: A tag (``"imagenet"``, ``"digits"``), ``None`` for random weights, or the path of a weight file.
        input_tensor: Keras tensor to use as the image.
        input_shape: Height, width and channels; at least 32 pixels a side (8 with the thumbnail stem). Defaults to
            ``{shape}``, and to any size without the top.
        pooling: Without the top, ``None`` for the last feature map, ``"avg"`` or ``"max"`` for its global pooling.
        classes: Number of classes.
        classifier_activation: Activation of the classifier; ``None`` for logits.
        stem: ``"grouped"`` (the paper's), ``"conv7x7"`` (the baseline) or ``"thumbnail"`` (images under 50 pixels).
        convention: ``"authors"`` or ``"larq_zoo"``: whose padding the network follows. Defaults to that of the
            weights, or else to the authors'.
        name: Name of the Keras model; defaults to the network's own.

    Returns:
        A ``tf.keras.Model`` from normalized images, ``(batch, height, width, channels)``, to ``(batch, classes)``, or
        without the top to the feature map or its pooling.

    Raises:
        ValueError: If an argument is wrong, or there are no such weights.
    """


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
        name: str | None = ...,
    ) -> tf.keras.Model: ...


@dataclass(frozen=True)
class Variant:
    """A named network and the defaults of its function.

    Attributes:
        name: Name of the network.
        function: What builds it.
        summary: What it is, in one line.
        weights: Tag of the weights it loads unless told otherwise.
        stem: Its stem unless told otherwise.
        input_shape: Shape of its usual image.
    """

    name: str
    function: ModelFunction
    summary: str
    weights: str
    stem: str
    input_shape: tuple[int, int, int]


#: The networks of the zoo by name, in the order of the paper.
VARIANTS: dict[str, Variant] = {}


def _variant(
    model_name: str,
    builder: Callable[..., tf.keras.Model],
    summary: str,
    source: str,
    *,
    default_weights: str = "imagenet",
    default_shape: tuple[int, int, int] = (224, 224, 3),
    default_classes: int = 1000,
    default_stem: str = "grouped",
    **architecture: Any,
) -> ModelFunction:
    """Makes and lists the function of one network, whose ``architecture`` are arguments of its ``builder``."""

    def build(
        include_top: bool = True,
        weights: str | os.PathLike[str] | None = default_weights,
        input_tensor: Any = None,
        input_shape: Shape | None = None,
        pooling: str | None = None,
        classes: int = default_classes,
        classifier_activation: Any = "softmax",
        *,
        stem: str = default_stem,
        convention: str | ReferenceImplementation | None = None,
        name: str | None = None,
    ) -> tf.keras.Model:
        return builder(
            **architecture,
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            stem=stem,
            convention=convention,
            name=name or model_name.lower(),
            model_name=model_name,
            default_shape=default_shape,
        )

    build.__name__ = build.__qualname__ = model_name
    build.__doc__ = _DOCSTRING.format(summary=f"{model_name}: {summary}", source=source, shape=default_shape)
    VARIANTS[model_name] = Variant(model_name, build, summary, default_weights, default_stem, default_shape)
    return build


MeliusNet22 = _variant(
    "MeliusNet22",
    MeliusNet,
    "3.9 MB and 2.08e8 operations, the size of Binary DenseNet 28.",
    "paper, Table 1",
    num_blocks=(4, 5, 4, 4),
    transition_filters=(160, 224, 256),
)
MeliusNet23 = _variant(
    "MeliusNet23",
    MeliusNet,
    "3.7 MB and 1.13e8 operations, with transitions in 8 groups.",
    "the authors' code; not in the paper",
    num_blocks=(2, 4, 6, 6),
    transition_filters=(128, 192, 288),
    transition_groups=8,
)
MeliusNet29 = _variant(
    "MeliusNet29",
    MeliusNet,
    "5.1 MB and 2.14e8 operations, the size of Binary DenseNet 37.",
    "paper, Table 1",
    num_blocks=(4, 6, 8, 6),
    transition_filters=(128, 192, 256),
)
MeliusNet42 = _variant(
    "MeliusNet42",
    MeliusNet,
    "10.1 MB and 3.25e8 operations, those of MobileNet-v1 0.75.",
    "paper, Table 1",
    num_blocks=(5, 8, 14, 10),
    transition_filters=(160, 256, 416),
)
MeliusNet59 = _variant(
    "MeliusNet59",
    MeliusNet,
    "17.4 MB and 5.32e8 operations, those of MobileNet-v1 1.0.",
    "paper, Tables 1 and 4",
    num_blocks=(6, 12, 24, 12),
    transition_filters=(192, 320, 544),
)
MeliusNetA = _variant(
    "MeliusNetA",
    MeliusNet,
    "4.0 MB and 1.62e8 operations, those of Bi-Real-Net 18, with transitions in 4 groups.",
    "paper, Table 1",
    num_blocks=(4, 5, 5, 6),
    transition_filters=(160, 256, 288),
    transition_groups=4,
)
MeliusNetB = _variant(
    "MeliusNetB",
    MeliusNet,
    "5.0 MB and 1.96e8 operations, those of Bi-Real-Net 34, with transitions in 2 groups.",
    "paper, Table 1",
    num_blocks=(4, 6, 8, 6),
    transition_filters=(160, 224, 320),
    transition_groups=2,
)
MeliusNetC = _variant(
    "MeliusNetC",
    MeliusNet,
    "4.5 MB and 1.50e8 operations, those of MobileNet-v1 0.5, with transitions in 4 groups.",
    "paper, Table 1, whose third transition must read 288/832",
    num_blocks=(3, 5, 10, 6),
    transition_filters=(128, 192, 288),
    transition_groups=4,
)
MeliusNetTiny = _variant(
    "MeliusNetTiny",
    MeliusNet,
    "A MeliusNet small enough to ship its weights in the package, for 8x8 images of digits.",
    "this project; section 3 of the paper at thumbnail size",
    default_weights="digits",
    default_shape=(8, 8, 1),
    default_classes=10,
    default_stem="thumbnail",
    num_blocks=(2, 2),
    transition_filters=(96,),
)
BinaryDenseNet28 = _variant(
    "BinaryDenseNet28",
    MeliusNet,
    "Binary DenseNet 28: a MeliusNet22 of the same size without Improvement Blocks.",
    "paper, Table 2",
    num_blocks=(6, 6, 6, 5),
    transition_filters=(160, 192, 256),
    improvement=None,
)
BinaryDenseNet37 = _variant(
    "BinaryDenseNet37",
    MeliusNet,
    "Binary DenseNet 37: a MeliusNet29 of the same size without Improvement Blocks.",
    "paper, Table 2",
    num_blocks=(6, 8, 12, 6),
    transition_filters=(128, 192, 256),
    improvement=None,
)
BinaryDenseNet45 = _variant(
    "BinaryDenseNet45",
    MeliusNet,
    "Binary DenseNet 45: the largest of the Binary DenseNets.",
    "BinaryDenseNet (Bethge et al., 2019)",
    num_blocks=(6, 12, 14, 8),
    transition_filters=(160, 288, 288),
    improvement=None,
)
NaiveNet17 = _variant(
    "NaiveNet17",
    MeliusNet,
    "Dense Blocks with residual blocks over all channels, which MeliusNet improves on.",
    "paper, supplementary B",
    default_stem="conv7x7",
    num_blocks=(3, 3, 3, 3),
    transition_filters=(128, 160, 192),
    improvement="all",
)
ResNetE18 = _variant(
    "ResNetE18",
    ResNetE,
    "ResNetE 18: the smaller residual baseline, with one shortcut around every binary convolution.",
    "paper, Table 2",
    num_blocks=(2, 2, 2, 2),
)
BiRealNet34 = _variant(
    "BiRealNet34",
    ResNetE,
    "Bi-Real-Net 34 as the paper's authors trained it: a ResNetE with 34 layers.",
    "paper, Tables 2 and 4",
    num_blocks=(3, 4, 6, 3),
)
