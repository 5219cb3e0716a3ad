"""MeliusNet (paper, section 3) as a generic builder, and the configurations of Table 1."""

import os
from collections.abc import Sequence
from typing import Any, Literal

import tensorflow as tf

from larq_melius.models import blocks
from larq_melius.models.model_builder import ModelBuilder, Shape
from larq_melius.reference_implementations import ReferenceImplementation

Improvement = Literal["newest", "all"] | None

_IMPROVEMENTS = ("newest", "all", None)


def MeliusNet(
    num_blocks: Sequence[int],
    transition_filters: Sequence[int],
    transition_groups: int = 1,
    growth_rate: int = 64,
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    *,
    shuffle_groups: int = blocks.SHUFFLE_GROUPS,
    improvement: Improvement = "newest",
    binary: bool = True,
    clip_value: float = 1.3,
    stem: str = "grouped",
    convention: str | ReferenceImplementation | None = None,
    name: str = "meliusnet",
    model_name: str | None = None,
    default_shape: tuple[int, int, int] = (224, 224, 3),
) -> tf.keras.Model:
    """Builds a MeliusNet of any configuration, and its relatives: dense, naive and 32-bit networks.

    Args:
        num_blocks: Blocks of each stage; every block is a Dense Block and, unless ``improvement`` says otherwise, an
            Improvement Block.
        transition_filters: Channels after the transition between each two stages: one fewer than stages.
        transition_groups: Groups of the 1x1 convolutions in the transitions; above 1, a channel shuffle precedes them.
        growth_rate: Channels that a Dense Block adds.
        include_top: Whether the network ends in its classifier.
        weights: ``None`` for random weights, the path of a weight file, or (for networks of the zoo) a tag such as
            ``"imagenet"``.
        input_tensor: Keras tensor to use as the image.
        input_shape: Height, width and channels; at least 32 pixels a side (8 with the thumbnail stem). Defaults to
            ``(224, 224, 3)``, and to any size without the top.
        pooling: Without the top, ``None`` for the last feature map, ``"avg"`` or ``"max"`` for its global pooling.
        classes: Number of classes.
        classifier_activation: Activation of the classifier; ``None`` for logits.
        shuffle_groups: Groups of that shuffle, which must divide the channels that enter a transition. The authors'
            code takes 16 throughout.
        improvement: ``"newest"`` for the paper's Improvement Block, ``"all"`` for the naive residual block over all
            channels (supplementary B), ``None`` for none, which gives a Binary DenseNet. With ``"all"``, the stem and
            the transitions start at twice their usual scale, since the authors add half of a binary convolution's sum:
            a fresh network computes what theirs does. Under Adam and RAdam those few layers change at half the
            relative rate of theirs.
        binary: Whether the blocks' convolutions are binary, or 32-bit ones behind a ReLU (section 4.2).
        clip_value: Largest absolute value at which the gradient of an activation passes the sign. Under the Larq Zoo's
            convention the latent weights are clipped to it, too; under the authors' they are not clipped.
        stem: ``"grouped"`` (the paper's), ``"conv7x7"`` or ``"thumbnail"`` (for images under 50 pixels).
        convention: ``"authors"`` or ``"larq_zoo"``: whose padding the weights were, or will be, trained with.
            Defaults to that of the weights, or else to the authors'.
        name: Name of the Keras model.
        model_name: Name under which the zoo keeps weights of the network, if it is one of its own.
        default_shape: Shape of the image when ``input_shape`` is not given.

    Returns:
        A ``tf.keras.Model`` from ``(batch, height, width, channels)`` to ``(batch, classes)``, or without the top to
        the feature map ``(batch, height / 32, width / 32, channels)`` (``/ 8`` with the thumbnail stem) or its pooling.

    Raises:
        ValueError: If an argument is wrong, or the weights do not fit.

    Example:
        >>> model = MeliusNet([1, 1], [64], weights=None, classes=10, stem="thumbnail", input_shape=(32, 32, 3))
        >>> model.output_shape
        (None, 10)
    """
    if not num_blocks or any(count < 1 for count in num_blocks):
        raise ValueError(f"num_blocks must give at least one block to each stage, got {list(num_blocks)}.")
    if len(transition_filters) != len(num_blocks) - 1:
        raise ValueError(
            f"{len(num_blocks)} stages need {len(num_blocks) - 1} transition_filters, got {list(transition_filters)}."
        )
    if growth_rate < 1:
        raise ValueError(f"growth_rate must be at least 1, got {growth_rate}.")
    if transition_groups < 1 or any(filters % transition_groups for filters in transition_filters):
        raise ValueError(
            f"transition_groups must divide every one of transition_filters, got {transition_groups} for "
            f"{list(transition_filters)}."
        )
    if improvement not in _IMPROVEMENTS:
        raise ValueError(f"Unknown improvement {improvement!r}; choose one of {list(_IMPROVEMENTS)}.")

    def features(image: tf.Tensor, convention: ReferenceImplementation) -> tf.Tensor:
        # The authors' binary convolution returns (h + k) / 2, with h the sum of its k products of signs; ours returns
        # h. The next batch norm absorbs the difference unless h is added to the output of the stem or of a transition,
        # as in NaiveNet: these are doubled, so that both networks start as the same function.
        gain = 2.0 if improvement == "all" and binary else 1.0
        config = blocks.ConvConfig(convention, binary=binary, clip_value=clip_value, trunk_gain=gain)
        x = blocks.stem(image, stem, config)
        for stage, count in enumerate(num_blocks, start=1):
            if stage > 1:
                filters = transition_filters[stage - 2]
                x = blocks.transition(
                    x,
                    filters,
                    transition_groups,
                    config,
                    shuffle_groups=shuffle_groups,
                    pool_padding=convention.meliusnet_pool_padding if improvement == "newest" else "valid",
                    name=f"transition{stage - 1}",
                )
            for block in range(1, count + 1):
                prefix = f"stage{stage}_block{block}"
                new = blocks.dense_block(x, growth_rate, config, name=f"{prefix}_dense")
                if improvement == "newest":
                    x = blocks.improvement_block(x, new, config, name=f"{prefix}_improve")
                elif improvement == "all":
                    x = blocks.naive_improvement_block(x, new, config, name=f"{prefix}_improve")
                else:
                    x = blocks.concatenate(x, new, name=f"{prefix}_concat")
        return blocks.batchnorm_relu(x, "final")

    return ModelBuilder(
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        stem=stem,
        convention=convention,
        name=name,
        model_name=model_name,
        default_shape=default_shape,
    ).build(features)
