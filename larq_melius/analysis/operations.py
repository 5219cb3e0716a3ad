"""Counts the operations and the memory of a network as the paper does."""

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from math import prod
from typing import Any

import larq as lq
import tensorflow as tf

#: Binary operations that count as one 32-bit operation (paper, Table 1).
BINARY_SPEEDUP = 64

_PASSES_THROUGH = (
    tf.keras.layers.Activation,
    tf.keras.layers.Dropout,
    tf.keras.layers.Flatten,
    tf.keras.layers.Reshape,
    tf.keras.layers.Softmax,
)


# Layers that belong together are named after their block. In other models, each layer is a block of its own.
_BLOCK = re.compile(r"stage\d+_block\d+|transition\d+|stem")


@dataclass(frozen=True)
class Operations:
    """What one network costs.

    Multiply-accumulates are those of convolutions and dense layers for one image, padding included; batch norms,
    pooling, additions and activations count nothing.

    Attributes:
        binary_macs: Multiply-accumulates of one bit by one bit.
        float_macs: All others.
        classifier_macs: The part of ``float_macs`` that the final classifier takes.
        binary_weights: Weights of one bit.
        float_weights: Other weights and biases, batch norms aside.
        batchnorm_channels: Channels over all batch norms.
        batchnorm_params: Variables of the batch norms, moving statistics included.
    """

    binary_macs: int
    float_macs: int
    classifier_macs: int
    binary_weights: int
    float_weights: int
    batchnorm_channels: int
    batchnorm_params: int

    @property
    def params(self) -> int:
        """All variables, as Keras counts them."""
        return self.binary_weights + self.float_weights + self.batchnorm_params

    @property
    def float_macs_without_classifier(self) -> int:
        """32-bit multiply-accumulates before the final classifier, which the paper leaves out."""
        return self.float_macs - self.classifier_macs

    @property
    def ops(self) -> float:
        """Binary operations over 64 plus 32-bit ones, with the final classifier."""
        return self.binary_macs / BINARY_SPEEDUP + self.float_macs

    @property
    def ops_without_classifier(self) -> float:
        """Binary operations over 64 plus 32-bit ones, without the final classifier: the paper's OPs."""
        return self.binary_macs / BINARY_SPEEDUP + self.float_macs_without_classifier

    @property
    def size_mib(self) -> float:
        """Size in MiB: binary weights at 1 bit, others and two parameters per batch-norm channel at 32 bits."""
        return (self.binary_weights / 8 + 4 * self.float_weights + 8 * self.batchnorm_channels) / 2**20


@dataclass(frozen=True)
class Block:
    """One block of a network.

    Attributes:
        name: The common beginning of its layers' names.
        output_shape: Shape of its output without the batch.
        operations: What it costs.
    """

    name: str
    output_shape: tuple[int, ...]
    operations: Operations


def count_operations(model: tf.keras.Model) -> Operations:
    """Counts the operations, weights and size of a model at its input shape.

    Args:
        model: A functional or sequential model with a static input shape. Nested models are counted with it.

    Raises:
        ValueError: If the model is not functional, its input shape is not static, or a layer has weights but no known
            way to count its operations.

    Source: paper, section 4 and Table 1 (binary operations count one 64th; sizes in MiB, printed as MB).

    Example:
        >>> from larq_melius import MeliusNet22
        >>> count_operations(MeliusNet22(weights=None)).binary_macs
        4624220160
    """
    uses = _uses(model)
    classifier = _classifier(uses)
    return _sum(_count_layer(layer, shapes, layer is classifier) for layer, shapes in uses.items())


def count_blocks(model: tf.keras.Model) -> list[Block]:
    """Counts each block of a network: its stem, the blocks of its stages, its transitions, and what follows them.

    The arguments and errors are those of ``count_operations``, whose result is the sum of the blocks'. Layers without
    weights that stand alone are left out.
    """
    uses = _uses(model)
    classifier = _classifier(uses)
    blocks: dict[str, list[Any]] = {}
    for layer in uses:
        found = _BLOCK.match(layer.name)
        blocks.setdefault(found[0] if found else layer.name, []).append(layer)
    return [
        Block(
            name,
            tuple(uses[layers[-1]][-1][1:]),
            _sum(_count_layer(layer, uses[layer], layer is classifier) for layer in layers),
        )
        for name, layers in blocks.items()
        if any(layer.weights for layer in layers)
    ]


def count_binary_convolutions(model: tf.keras.Model) -> int:
    """Number of convolutions whose inputs and weights are both binary."""
    return sum(is_binary_convolution(layer) for layer in _uses(model))


def is_binary_convolution(layer: Any) -> bool:
    """Whether a layer is a convolution whose inputs and weights are both binary."""
    return (
        isinstance(layer, lq.layers.QuantConv2D)
        and _is_binary(layer, "kernel_quantizer")
        and _is_binary(layer, "input_quantizer")
    )


def _count_layer(layer: Any, output_shapes: list[Any], classifier: bool) -> Operations:
    """Counts one layer over all its uses; ``classifier`` says whether it is the network's classifier."""
    counts = dict.fromkeys((field.name for field in fields(Operations)), 0)
    weights = sum(prod(variable.shape) for variable in layer.weights)
    if not weights:
        return Operations(**counts)
    if isinstance(layer, tf.keras.layers.BatchNormalization):
        counts["batchnorm_channels"] = layer.moving_mean.shape[0]
        counts["batchnorm_params"] = weights
        return Operations(**counts)
    macs = _macs_per_output(layer) * sum(_outputs(layer, shape) for shape in output_shapes)
    if not macs and not isinstance(layer, tf.keras.layers.Normalization):
        raise ValueError(f"Cannot count the operations of layer {layer.name!r}, a {type(layer).__name__}.")
    binary_weights = _binary_weights(layer)
    binary = bool(binary_weights) and _is_binary(layer, "input_quantizer")
    counts["binary_weights"] = binary_weights
    counts["float_weights"] = weights - binary_weights
    counts["binary_macs" if binary else "float_macs"] = macs
    counts["classifier_macs"] = macs if classifier and not binary else 0
    return Operations(**counts)


def _sum(counts: Iterable[Operations]) -> Operations:
    return Operations(*(sum(numbers) for numbers in zip(*map(astuple, counts), strict=True)))


def _uses(model: tf.keras.Model) -> dict[Any, list[Any]]:
    """The layers of a model and of the models in it, inputs first, each with its output shape in every use."""
    if not model.inputs:
        raise ValueError(f"Model {model.name!r} is not functional, or has no input shape yet.")
    uses: dict[Any, list[Any]] = {}
    # Unlike a layer's own list of nodes, the model's has no uses of the layer in other models.
    for _, nodes in sorted(model._nodes_by_depth.items(), reverse=True):
        for node in nodes:
            nested = isinstance(node.layer, tf.keras.Model)
            for layer, shapes in _uses(node.layer).items() if nested else [(node.layer, [node.output_shapes])]:
                uses.setdefault(layer, []).extend(shapes)
    return uses


def _is_binary(layer: Any, quantizer: str) -> bool:
    return getattr(getattr(layer, quantizer, None), "precision", None) == 1


def _binary_weights(layer: Any) -> int:
    if _is_binary(layer, "kernel_quantizer"):
        return prod(layer.kernel.shape)
    if _is_binary(layer, "depthwise_quantizer"):
        return prod(layer.depthwise_kernel.shape)
    return 0


def _macs_per_output(layer: Any) -> int:
    """Multiply-accumulates for one number of the layer's output, or 0 if the layer is of no known kind."""
    if isinstance(layer, tf.keras.layers.DepthwiseConv2D):
        return prod(layer.kernel_size)
    # Keras' transposed convolution is a Conv2D, too, whose kernel meets every input instead.
    if isinstance(layer, tf.keras.layers.Conv2D) and not isinstance(layer, tf.keras.layers.Conv2DTranspose):
        return prod(layer.kernel.shape[:-1])
    if isinstance(layer, tf.keras.layers.Dense):
        return int(layer.kernel.shape[0])
    return 0


def _outputs(layer: Any, output_shape: Any) -> int:
    shape = output_shape[1:]
    if None in shape:
        raise ValueError(f"Layer {layer.name!r} has no static output shape: build the model with a static input_shape.")
    return prod(shape)


def _classifier(uses: dict[Any, list[Any]]) -> Any:
    """The layer that turns features into classes, or ``None`` if the layers end in features."""
    for layer, output_shapes in reversed(uses.items()):
        if isinstance(layer, tf.keras.layers.Dense):
            return layer
        if isinstance(layer, tf.keras.layers.Conv2D):
            return layer if output_shapes[-1][1:3] == (1, 1) else None
        if not isinstance(layer, _PASSES_THROUGH):
            return None
    return None
