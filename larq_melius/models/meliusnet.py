"""MeliusNet (paper, section 3): the generic builder, the networks of Table 1, and NaiveNet (supplementary B)."""

import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from larq_melius.models import blocks, configs
from larq_melius.models.configs import Improvement, MeliusNetConfig
from larq_melius.models.model_builder import ModelBuilder, Shape
from larq_melius.reference_implementations import ReferenceImplementation


def MeliusNet(
    num_blocks: Sequence[int] | MeliusNetConfig,
    transition_filters: Sequence[int] = (),
    transition_groups: int = 1,
    growth_rate: int = 64,
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int | None = None,
    classifier_activation: Any = "softmax",
    *,
    shuffle_groups: int = configs.SHUFFLE_GROUPS,
    improvement: Improvement = "newest",
    binary: bool = True,
    clip_value: float = 1.3,
    stem: str | None = None,
    convention: str | ReferenceImplementation | None = None,
    name: str | None = None,
) -> tf.keras.Model:
    """Builds a MeliusNet of any configuration, and its relatives: dense, naive and 32-bit networks.

    Args:
        num_blocks: Blocks of each stage; every block is a Dense Block and, unless ``improvement`` says otherwise, an
            Improvement Block. Or a ``MeliusNetConfig``, which holds the whole architecture.
        transition_filters: Channels after the transition between each two stages: one fewer than stages.
        transition_groups: Groups of the 1x1 convolutions in the transitions; above 1, a channel shuffle precedes them.
        growth_rate: Channels that a Dense Block adds.
        include_top: Whether the network ends in its classifier.
        weights: ``None`` for random weights, the path of a weight file, or (for networks of the zoo) a tag such as
            ``"imagenet"``.
        input_tensor: Keras tensor to use as the image.
        input_shape: Height, width and channels; at least 32 pixels a side (8 with the thumbnail stem). Defaults to
            ``(224, 224, 3)`` or what the config says, and to any size without the top.
        pooling: Without the top, ``None`` for the last feature map, ``"avg"`` or ``"max"`` for its global pooling.
        classes: Number of classes. Defaults to 1000 or what the config says.
        classifier_activation: Activation of the classifier; ``None`` for logits.
        shuffle_groups: Groups of the channel shuffle, which must divide the channels that enter a transition. The
            authors' code uses 16 throughout.
        improvement: ``"newest"`` for the paper's Improvement Block, ``"all"`` for the naive residual block over all
            channels (supplementary B), ``None`` for none, as in Binary DenseNet. With ``"all"``, the stem and the
            transitions start at twice their usual scale, since the authors add half of a binary convolution's sum: a
            fresh network computes what theirs does. Under Adam and RAdam those few layers change at half the relative
            rate of theirs.
        binary: Whether the blocks' convolutions are binary, or 32-bit ones after a ReLU (section 4.2).
        clip_value: Largest absolute value at which the gradient of an activation passes the sign. Under the Larq Zoo's
            convention the latent weights are clipped to it, too; under the authors' they are not clipped.
        stem: ``"grouped"`` (the paper's), ``"conv7x7"`` (the baseline) or ``"thumbnail"`` (images under 50 pixels).
            Defaults to ``"grouped"`` or what the config says.
        convention: ``"authors"`` or ``"larq_zoo"``: the reference implementation whose padding and clipping the network
            follows. Defaults to that of the weights, or else to the authors'.
        name: Name of the Keras model. Defaults to the name in the config, or ``"meliusnet"``.

    Returns:
        A ``tf.keras.Model`` from normalized images, ``(batch, height, width, channels)``, to ``(batch, classes)``, or
        without the top to the feature map ``(batch, height / 2**n, width / 2**n, features)`` or its pooling,
        ``(batch, features)``. With s stages, n is s + 1, or s - 1 with the thumbnail stem.

    Raises:
        OSError: If the weights cannot be downloaded or read.
        ValueError: If an argument is wrong, or the weights do not fit.

    Example:
        >>> model = MeliusNet([1, 1], [64], weights=None, classes=10, stem="thumbnail", input_shape=(32, 32, 3))
        >>> model.output_shape
        (None, 10)
    """
    if isinstance(num_blocks, MeliusNetConfig):
        config = num_blocks
        if (tuple(transition_filters), transition_groups, growth_rate, shuffle_groups, improvement) != (
            (),
            1,
            64,
            configs.SHUFFLE_GROUPS,
            "newest",
        ):
            raise ValueError(
                "A MeliusNetConfig holds the whole architecture: change it with dataclasses.replace instead of passing "
                "transition_filters, transition_groups, growth_rate, shuffle_groups or improvement beside it."
            )
    else:
        config = MeliusNetConfig(
            num_blocks=num_blocks,
            transition_filters=transition_filters,
            transition_groups=transition_groups,
            growth_rate=growth_rate,
            shuffle_groups=shuffle_groups,
            improvement=improvement,
        )
    return meliusnet_builder(config, binary=binary, clip_value=clip_value).build(
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        config.classes if classes is None else classes,
        classifier_activation,
        stem or config.stem,
        convention,
        name or (config.name or "meliusnet").lower(),
    )


def meliusnet_builder(config: MeliusNetConfig, *, binary: bool = True, clip_value: float = 1.3) -> ModelBuilder:
    """What builds the models of a configuration; ``binary`` and ``clip_value`` are as in ``MeliusNet``."""
    # The authors' binary convolution returns (h + k) / 2, with h the sum of its k products of signs; ours returns h.
    # The next batch norm absorbs the difference unless h is added to the output of the stem or of a transition, as in
    # NaiveNet: these are doubled, so that both networks start as the same function.
    gain = 2.0 if config.improvement == "all" and binary else 1.0

    def features(image: tf.Tensor, stem: str, convention: ReferenceImplementation) -> tf.Tensor:
        conv = blocks.ConvConfig(convention, binary=binary, clip_value=clip_value, trunk_gain=gain)
        x = blocks.stem(image, stem, conv)
        for stage, count in enumerate(config.num_blocks, start=1):
            if stage > 1:
                x = blocks.transition(
                    x,
                    config.transition_filters[stage - 2],
                    config.transition_groups,
                    conv,
                    shuffle_groups=config.shuffle_groups,
                    pool_padding=convention.meliusnet_pool_padding if config.improvement == "newest" else "valid",
                    name=f"transition{stage - 1}",
                )
            for block in range(1, count + 1):
                prefix = f"stage{stage}_block{block}"
                new = blocks.dense_block(x, config.growth_rate, conv, name=f"{prefix}_dense")
                if config.improvement == "newest":
                    x = blocks.improvement_block(x, new, conv, name=f"{prefix}_improve")
                elif config.improvement == "all":
                    x = blocks.naive_improvement_block(x, new, conv, name=f"{prefix}_improve")
                else:
                    x = blocks.concatenate(x, new, name=f"{prefix}_concat")
        return blocks.batchnorm_relu(x, "final")

    return ModelBuilder(config, features)


def MeliusNet22(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = "imagenet",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    stem: str = "grouped",
    convention: str | ReferenceImplementation | None = None,
    name: str = "meliusnet22",
) -> tf.keras.Model:
    """MeliusNet22, the size of Binary DenseNet 28 (paper, Table 1).

    6.97 million parameters, 3.88 MiB, 2.08e8 operations (4.62e9 binary, 1.36e8 32-bit); 63.6% top-1 and 84.7% top-5
    on ImageNet in the paper.

    ``weights="imagenet"`` loads the Larq Zoo's weights, 62.4% top-1. ``MeliusNet`` explains the arguments.
    """
    return meliusnet_builder(configs.MELIUSNET22).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )


def MeliusNet23(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = "imagenet",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    stem: str = "grouped",
    convention: str | ReferenceImplementation | None = None,
    name: str = "meliusnet23",
) -> tf.keras.Model:
    """MeliusNet23, with transitions in 8 groups (the authors' code; not in the paper).

    8.22 million parameters, 3.72 MiB, 1.13e8 operations (2.53e9 binary, 0.74e8 32-bit).

    There are no public ImageNet weights: pass ``weights=None`` or the path of a file. ``MeliusNet`` explains the
    arguments.
    """
    return meliusnet_builder(configs.MELIUSNET23).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )


def MeliusNet29(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = "imagenet",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    stem: str = "grouped",
    convention: str | ReferenceImplementation | None = None,
    name: str = "meliusnet29",
) -> tf.keras.Model:
    """MeliusNet29, the size of Binary DenseNet 37 (paper, Table 1).

    11.37 million parameters, 5.07 MiB, 2.14e8 operations (5.47e9 binary, 1.29e8 32-bit); 65.8% top-1 and 86.2%
    top-5 on ImageNet in the paper.

    There are no public ImageNet weights: pass ``weights=None`` or the path of a file. ``MeliusNet`` explains the
    arguments.
    """
    return meliusnet_builder(configs.MELIUSNET29).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )


def MeliusNet42(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = "imagenet",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    stem: str = "grouped",
    convention: str | ReferenceImplementation | None = None,
    name: str = "meliusnet42",
) -> tf.keras.Model:
    """MeliusNet42, with the operations of MobileNet-v1 0.75 (paper, Table 1).

    26.92 million parameters, 10.10 MiB, 3.25e8 operations (9.69e9 binary, 1.74e8 32-bit); 69.2% top-1 and 88.3%
    top-5 on ImageNet in the paper.

    There are no public ImageNet weights: pass ``weights=None`` or the path of a file. ``MeliusNet`` explains the
    arguments.
    """
    return meliusnet_builder(configs.MELIUSNET42).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )


def MeliusNet59(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = "imagenet",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    stem: str = "grouped",
    convention: str | ReferenceImplementation | None = None,
    name: str = "meliusnet59",
) -> tf.keras.Model:
    """MeliusNet59, with the operations of MobileNet-v1 1.0 (paper, Tables 1 and 4).

    55.75 million parameters, 17.39 MiB, 5.32e8 operations (18.32e9 binary, 2.46e8 32-bit); 71.0% top-1 and 89.7%
    top-5 on ImageNet in the paper.

    There are no public ImageNet weights: pass ``weights=None`` or the path of a file. ``MeliusNet`` explains the
    arguments.
    """
    return meliusnet_builder(configs.MELIUSNET59).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )


def MeliusNetA(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = "imagenet",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    stem: str = "grouped",
    convention: str | ReferenceImplementation | None = None,
    name: str = "meliusneta",
) -> tf.keras.Model:
    """MeliusNetA, with the operations of Bi-Real-Net 18 and transitions in 4 groups (paper, Table 1).

    9.27 million parameters, 4.05 MiB, 1.63e8 operations (4.85e9 binary, 0.87e8 32-bit); 63.4% top-1 and 84.2% top-5
    on ImageNet in the paper.

    There are no public ImageNet weights: pass ``weights=None`` or the path of a file. ``MeliusNet`` explains the
    arguments.
    """
    return meliusnet_builder(configs.MELIUSNET_A).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )


def MeliusNetB(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = "imagenet",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    stem: str = "grouped",
    convention: str | ReferenceImplementation | None = None,
    name: str = "meliusnetb",
) -> tf.keras.Model:
    """MeliusNetB, with the operations of Bi-Real-Net 34 and transitions in 2 groups (paper, Table 1).

    12.28 million parameters, 5.00 MiB, 1.96e8 operations (5.72e9 binary, 1.06e8 32-bit); 65.7% top-1 and 85.9%
    top-5 on ImageNet in the paper.

    There are no public ImageNet weights: pass ``weights=None`` or the path of a file. ``MeliusNet`` explains the
    arguments.
    """
    return meliusnet_builder(configs.MELIUSNET_B).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )


def MeliusNetC(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = "imagenet",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    stem: str = "grouped",
    convention: str | ReferenceImplementation | None = None,
    name: str = "meliusnetc",
) -> tf.keras.Model:
    """MeliusNetC, with the operations of MobileNet-v1 0.5 and transitions in 4 groups (paper, Table 1).

    12.28 million parameters, 4.46 MiB, 1.50e8 operations (4.35e9 binary, 0.82e8 32-bit); 64.1% top-1 and 85.0%
    top-5 on ImageNet in the paper.

    The third transition of Table 1 must read 288/832. There are no public ImageNet weights: pass ``weights=None``
    or the path of a file. ``MeliusNet`` explains the arguments.
    """
    return meliusnet_builder(configs.MELIUSNET_C).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )


def MeliusNetTiny(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = "digits",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Any = "softmax",
    *,
    stem: str = "thumbnail",
    convention: str | ReferenceImplementation | None = None,
    name: str = "meliusnettiny",
) -> tf.keras.Model:
    """MeliusNetTiny, a MeliusNet for 8x8 images of handwritten digits, which ships with its weights.

    0.69 million parameters, 0.17 MiB, 7.19e5 operations (2.48e7 binary, 3.32e5 32-bit).

    ``weights="digits"`` is part of the package. ``MeliusNet`` explains the arguments.
    """
    return meliusnet_builder(configs.MELIUSNET_TINY).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )


def NaiveNet17(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = "imagenet",
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    stem: str = "conv7x7",
    convention: str | ReferenceImplementation | None = None,
    name: str = "naivenet17",
) -> tf.keras.Model:
    """NaiveNet17, the naive approach that MeliusNet improves on (paper, supplementary B).

    10.02 million parameters, 3.26 MiB, 2.58e8 operations (6.44e9 binary, 1.57e8 32-bit).

    A residual block over all channels follows every Dense Block. There are no public ImageNet weights: pass
    ``weights=None`` or the path of a file. ``MeliusNet`` explains the arguments.
    """
    return meliusnet_builder(configs.NAIVENET17).build(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, stem, convention, name
    )
