"""Converts checkpoints of BITorch, the authors' PyTorch library, to networks of this zoo with the same function.

BITorch pads binarized feature maps with -1, our networks with +1; ``binary_padding`` converts the weights.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from larq_melius.converters.importers.binary_padding import mirrored_layers, with_sign
from larq_melius.converters.importers.identify import check_network, kernels_of
from larq_melius.converters.importers.layouts import to_keras_layout
from larq_melius.converters.importers.torch_files import read_state
from larq_melius.models.registry import find_variant
from larq_melius.reference_implementations import AUTHORS, ReferenceImplementation
from larq_melius.stems import STEMS
from larq_melius.weights.checks import abridge, naming_file

State = Mapping[str, np.ndarray]

# BITorch's residual networks do not normalize the image, and their padding cannot be converted from -1 to +1.
_RESIDUAL = replace(AUTHORS, binary_pad_value=-1.0, input_batchnorm=False)

#: The convolution that every stem begins with.
_FIRST = "features.0.weight"
_STEM_LAYERS = {
    "conv7x7": {"stem_conv": 0, "stem_bn": 1},
    "grouped": {"stem_conv1": 0, "stem1_bn": 1, "stem_conv2": 3, "stem2_bn": 4, "stem_conv3": 6, "stem3_bn": 7},
    "thumbnail": {"stem_conv": 0},
}
#: Layers of BITorch's stem, with its activations and pools.
_STEM_LENGTH = {"conv7x7": 4, "grouped": 10, "thumbnail": 1}

_LEAVES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "kernel": "weight",
    "bias": "bias",
}

# What our residual networks normalize the image with under the authors' convention, and its epsilon.
_IMAGE_BATCHNORM, _IMAGE_EPSILON = "image_bn", 2e-5


def bitorch_to_keras(
    source: str | os.PathLike[str],
    model: str,
    *,
    stem: str | None = None,
    input_shape: tuple[int, int, int] | None = None,
    classifier_activation: Any = "softmax",
) -> tf.keras.Model:
    """Builds a network of the zoo with the weights of a BITorch checkpoint. Needs PyTorch to read it.

    The result computes what BITorch computes. In 32-bit arithmetic the two round differently, so that in some images
    an activation that is almost zero gets the other sign.

    A MeliusNet or Binary DenseNet becomes an ordinary network of the zoo. ResNetE and Bi-Real-Net cannot: a padding of
    +1 would need the sums of their last stage negated where they are binarized, but unchanged in the final ReLU. They
    become networks that pad with BITorch's -1 and do not normalize the image. These are exact in Keras, but Larq
    Compute Engine has no binary convolution with that padding, so the export refuses them. Their weights do not fit the
    zoo's own ResNetE, which pads with +1: save the whole model.

    Args:
        source: A state dict that ``torch.save`` wrote (``.pth``), or a checkpoint that holds one, such as PyTorch
            Lightning's ``.ckpt``. Code in the file is never run.
        model: Name of the network, such as ``"MeliusNet22"``; BITorch's ``ResnetE34`` is ``"BiRealNet34"``.
        stem: The checkpoint's stem; recognized by default.
        input_shape: Height, width and channels of the image; by default the network's usual size, and the file's
            channels.
        classifier_activation: Activation of the classifier; ``None`` for logits.

    Returns:
        The network, with as many classes as the file has. It expects the images as BITorch's were normalized.

    Raises:
        ImportError: If PyTorch is not installed.
        OSError: If the file cannot be read.
        ValueError: If there is no such network; if the file is damaged, needs code to be run, or is from another
            network, stem or configuration (where the zoo has that network, the message names it); or if it is a
            MeliusNet of BITorch 0.4, which lacks the Improvement Blocks.

    Example:
        >>> network = bitorch_to_keras("meliusnet22.pth", "MeliusNet22")  # doctest: +SKIP
    """
    variant = find_variant(model)
    state = read_state(source)
    with naming_file(source):
        tensors = _network(state)
        stem = stem or _find_stem(tensors)
        classes = _size(tensors, "output.bias", axis=0)
        channels = _size(tensors, _FIRST, axis=1)
        check_network(kernels_of(tensors), model, stem)
    network = variant.function(
        weights=None,
        input_shape=input_shape or (*variant.input_shape[:2], channels),
        classes=classes,
        classifier_activation=classifier_activation,
        stem=stem,
        convention=_convention(tensors),
    )
    with naming_file(source):
        convert_bitorch(state, network)
    return network


def convert_bitorch(state: State, model: tf.keras.Model) -> None:
    """Sets the weights of a network to those of a BITorch state dict.

    Args:
        state: The tensors by name, as ``read_state`` returns them: kernels of the shape (filters, input channels,
            height, width), the classifier's of the shape (classes, features).
        model: A binary network that this package's builders made with the top and the authors' convention, whose
            padding may also be -1. If the tensors do not fit, it stays as it is. A batch norm of the image, which
            BITorch lacks, is set to change nothing.

    Raises:
        ValueError: If a tensor is missing, has another shape than the network's layer, holds numbers that are not
            finite, or is not used, or if BITorch's padding of -1 cannot be converted to the network's.
    """
    remaining = _network(state)
    _check_improvement(remaining, model)
    flipped = mirrored_layers(model)
    stem = _stem_of(model)
    weights = {}
    for layer in model.layers:
        if layer.name == _IMAGE_BATCHNORM:
            weights[layer.name] = _identity(layer)
        elif layer.weights:
            arrays = [_take(remaining, _path(layer, stem), layer, variable) for variable in layer.weights]
            weights[layer.name] = _mirror(layer, arrays, flip=layer.name in flipped)
    if remaining:
        raise ValueError(f"{model.name} has no place for {abridge(list(remaining))}")
    for name, arrays in weights.items():
        model.get_layer(name).set_weights(arrays)


def _network(state: State) -> dict[str, np.ndarray]:
    """The tensors of the network itself, by their names within it, without batch counters and copies.

    Raises:
        ValueError: If there is no network, or if there are other tensors than its own.
    """
    # BITorch's training with distillation keeps the teacher in its checkpoints.
    own = {name: tensor for name, tensor in state.items() if not name.startswith("teacher.")}
    firsts = [name for name in own if f".{name}".endswith(f".{_FIRST}")]
    if not firsts:
        raise ValueError(f"there is no MeliusNet, Binary DenseNet or ResNetE of BITorch's: no {_FIRST}")
    # The blocks of dense networks have features of their own, behind longer names.
    prefix = min(firsts, key=len).removesuffix(_FIRST)
    if outside := [name for name in own if not name.startswith(prefix)]:
        raise ValueError(f"there is no place for {abridge(outside)} beside the network {prefix}")
    # The classifier has two names: one in dense networks, one in residual ones.
    named = {name.removeprefix(prefix).replace("output_layer.", "output."): own[name] for name in own}
    return _without_copies({name: named[name] for name in named if not name.endswith(".num_batches_tracked")})


def _without_copies(tensors: State) -> dict[str, np.ndarray]:
    """Leaves out the second names that BITorch 0.3.0 gives to the tensors of a dense network's last stage."""
    stages = {int(match[1]) for name in tensors if (match := re.match(r"features\.DenseBlock_(\d+)\.", name))}
    kept = {}
    for name, tensor in tensors.items():
        if not name.startswith("current_dense_block."):
            kept[name] = tensor
            continue
        original = name.replace("current_dense_block", f"features.DenseBlock_{max(stages, default=1)}", 1)
        if original not in tensors or not np.array_equal(tensor, tensors[original]):
            raise ValueError(f"{name} does not repeat {original}, of which it should be a copy")
    return kept


def _find_stem(tensors: State) -> str:
    kernel = tensors[_FIRST]
    if kernel.ndim == 4 and kernel.shape[2] == 7:
        return "conv7x7"
    if kernel.ndim == 4 and kernel.shape[2] == 3:
        second = tensors.get("features.3.weight")
        return "grouped" if second is not None and second.ndim == 4 else "thumbnail"
    raise ValueError(f"{_FIRST} has the shape {kernel.shape}, which no stem has")


def _size(tensors: State, name: str, axis: int) -> int:
    if name not in tensors:
        raise ValueError(f"there is no {name}")
    shape = tensors[name].shape
    if len(shape) <= axis:
        raise ValueError(f"{name} has the shape {shape}")
    return int(shape[axis])


def _convention(tensors: State) -> ReferenceImplementation:
    return AUTHORS if any(name.startswith("features.DenseBlock_") for name in tensors) else _RESIDUAL


def _check_improvement(tensors: State, model: tf.keras.Model) -> None:
    expected = any(re.search(r"_improve_conv$", layer.name) for layer in model.layers)
    dense = any("DenseLayer_" in name for name in tensors)
    if expected and dense and not any("ImprovementBlock" in name for name in tensors):
        raise ValueError(
            f"there are no Improvement Blocks for {model.name}: the weights are of a Binary DenseNet, or of what "
            "BITorch 0.4.0 and 0.4.1 call a MeliusNet, which build it without them; train it with BITorch 0.3.0"
        )


def _stem_of(model: tf.keras.Model) -> str:
    names = {layer.name for layer in model.layers}
    return next(stem for stem in STEMS if names.issuperset(_STEM_LAYERS[stem]))


def _path(layer: tf.keras.layers.Layer, stem: str) -> str:
    """BITorch's name of a layer."""
    name = layer.name
    if name in _STEM_LAYERS[stem]:
        return f"features.{_STEM_LAYERS[stem][name]}"
    if match := re.fullmatch(r"stage(\d+)_block(\d+)_(dense|improve)_(bn|conv)", name):
        stage, block, kind, part = match.groups()
        place = f"DenseLayer_{block}.features" if kind == "dense" else f"ImprovementBlock{block}.body"
        return f"features.DenseBlock_{stage}.{place}.{('bn', 'conv').index(part)}"
    if match := re.fullmatch(r"transition(\d+)_(bn|conv)", name):
        return f"features.Transition_{match[1]}.{0 if match[2] == 'bn' else 3 + (layer.groups > 1)}"
    if match := re.fullmatch(r"stage(\d+)_block(\d+)_(shortcut_)?(bn|conv)", name):
        stage, block, shortcut, part = match.groups()
        place = f"{'downsample' if shortcut else 'body'}.{('conv', 'bn').index(part) + bool(shortcut)}"
        return f"features.{_STEM_LENGTH[stem] + int(stage)}.{int(block) - 1}.{place}"
    single = {
        "stem_output_bn": f"features.{_STEM_LENGTH[stem]}",
        "final_bn": "finalize.0",
        "predictions": "output",
    }
    if name not in single:
        raise ValueError(f"BITorch's networks have no layer like {name}")
    return single[name]


def _take(
    remaining: dict[str, np.ndarray], path: str, layer: tf.keras.layers.Layer, variable: tf.Variable
) -> np.ndarray:
    """Removes a variable's tensor from those that remain, and returns it in float64 and Keras' layout."""
    leaf = variable.name.split("/")[-1].split(":")[0]
    name = f"{path}.{_LEAVES[leaf]}"
    if name not in remaining:
        raise ValueError(f"there is no {name} for {layer.name}")
    return to_keras_layout(remaining.pop(name), name, layer.name, variable)


def _mirror(layer: tf.keras.layers.Layer, arrays: list[np.ndarray], *, flip: bool) -> list[np.ndarray]:
    """The weights of a layer; with ``flip``, those that negate its output, or that fit a negated input."""
    if isinstance(layer, lq.layers.QuantConv2D):
        return [with_sign(arrays[0], flip=flip)]
    if not flip:
        return arrays
    gamma, beta, mean, variance = arrays
    # Where gamma is zero, the sign is that of beta.
    return [-gamma, with_sign(beta, flip=True), mean, variance]


def _identity(layer: tf.keras.layers.BatchNormalization) -> list[np.ndarray]:
    """The weights of a batch norm that changes nothing."""
    if layer.epsilon != _IMAGE_EPSILON:
        raise ValueError(f"{layer.name} has the epsilon {layer.epsilon}, not {_IMAGE_EPSILON}")
    ones = np.ones(layer.gamma.shape)
    return [ones, 0 * ones, 0 * ones, (1 - layer.epsilon) * ones]
