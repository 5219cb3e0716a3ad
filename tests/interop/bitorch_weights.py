"""Copies the state dict of a BITorch model into the Keras model of the same network."""

import re
from collections.abc import Mapping

import larq as lq
import numpy as np
import tensorflow as tf

State = Mapping[str, np.ndarray]

_STEM_LAYERS = {
    "conv7x7": {"stem_conv": 0, "stem_bn": 1},
    "grouped": {"stem_conv1": 0, "stem1_bn": 1, "stem_conv2": 3, "stem2_bn": 4, "stem_conv3": 6, "stem3_bn": 7},
    "thumbnail": {"stem_conv": 0},
}
# All of BITorch's stem, with its activations and pools.
_STEM_LENGTH = {"conv7x7": 4, "grouped": 10, "thumbnail": 1}

_BATCHNORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_CONVOLUTION = {"kernel": "weight"}
_DENSE = {"kernel": "weight", "bias": "bias"}

# ResNetE's batch norm of the image, which BITorch lacks, and its epsilon.
_IMAGE_BATCHNORM = "image_bn"
_IMAGE_EPSILON = 2e-5


def load_state(model: tf.keras.Model, state: State, stem: str, *, flip_signs: bool) -> None:
    """Sets every variable of the model from the state dict.

    Args:
        model: A MeliusNet, Binary DenseNet or ResNetE of this project.
        state: The tensors by name, with or without the ``_model.`` in front.
        stem: The model's stem.
        flip_signs: Whether to negate each binary convolution together with the batch norm in front of it, which turns
            weights for maps padded with -1 into those for +1. Only networks with a batch norm in front of every
            binary convolution can be turned: in ResNetE's last stage the sign and the final ReLU read the same sum,
            and the sign needs it negated, the ReLU as it is.

    Raises:
        ValueError: If the state dict lacks a tensor or has one more, or if a shape does not fit.
    """
    remaining = _without_copies({_common_name(name): tensor for name, tensor in state.items()})
    negated = _negated_layers(model) if flip_signs else set()
    for layer in model.layers:
        if not layer.weights:
            continue
        if layer.name == _IMAGE_BATCHNORM:
            _make_identity(layer)
            continue
        prefix = _bitorch_name(layer, stem)
        sign = -1.0 if layer.name in negated else 1.0
        for variable in layer.weights:
            leaf, tensor = _take(remaining, prefix, layer, variable)
            tensor = sign * tensor if leaf in ("gamma", "beta", "kernel") else tensor
            if tensor.shape != tuple(variable.shape):
                raise ValueError(f"{prefix} has the shape {tensor.shape}, but {variable.name} {tuple(variable.shape)}.")
            variable.assign(tensor)
    if remaining:
        raise ValueError(f"The model has no place for {sorted(remaining)}.")


def _common_name(name: str) -> str:
    """The name within the network, with the classifier called the same in all of them."""
    return name.removeprefix("_model.").replace("output_layer.", "output.")


def _without_copies(state: State) -> dict[str, np.ndarray]:
    """The state without counters, and without the second names of the last stage's tensors."""
    stages = sorted({match[0] for name in state if (match := re.match(r"features\.DenseBlock_\d+", name))})
    kept = {}
    for name, tensor in state.items():
        if name.endswith(".num_batches_tracked"):
            continue
        if not name.startswith("current_dense_block."):
            kept[name] = tensor
        elif not np.array_equal(tensor, state[name.replace("current_dense_block", stages[-1])]):
            raise ValueError(f"{name} differs from the tensor of the last stage that it should repeat.")
    return kept


def _negated_layers(model: tf.keras.Model) -> set[str]:
    """The binary convolutions and the batch norms in front of them."""
    convolutions = [layer.name for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)]
    names = set(convolutions) | {name.removesuffix("_conv") + "_bn" for name in convolutions}
    for name in convolutions:
        before = model.get_layer(name).inbound_nodes[0].inbound_layers
        if before.name not in names:
            raise ValueError(f"{name} has no batch norm in front of it, so its sign cannot be flipped.")
    return names


def _bitorch_name(layer: tf.keras.layers.Layer, stem: str) -> str:
    """What BITorch calls the layer."""
    name = layer.name
    if name in _STEM_LAYERS[stem]:
        return f"features.{_STEM_LAYERS[stem][name]}"
    if match := re.fullmatch(r"stage(\d+)_block(\d+)_(dense|improve)_(bn|conv)", name):
        stage, block, kind, leaf = match.groups()
        part = f"DenseLayer_{block}.features" if kind == "dense" else f"ImprovementBlock{block}.body"
        return f"features.DenseBlock_{stage}.{part}.{('bn', 'conv').index(leaf)}"
    if match := re.fullmatch(r"transition(\d+)_(bn|conv)", name):
        index = 0 if match[2] == "bn" else 3 + (layer.groups > 1)
        return f"features.Transition_{match[1]}.{index}"
    if match := re.fullmatch(r"stage(\d+)_block(\d+)_(shortcut_)?(bn|conv)", name):
        stage, block, shortcut, leaf = match.groups()
        part = f"{'downsample' if shortcut else 'body'}.{('conv', 'bn').index(leaf) + bool(shortcut)}"
        return f"features.{_STEM_LENGTH[stem] + int(stage)}.{int(block) - 1}.{part}"
    return {
        "stem_output_bn": f"features.{_STEM_LENGTH[stem]}",
        "final_bn": "finalize.0",
        "predictions": "output",
    }[name]


def _take(
    remaining: dict[str, np.ndarray], prefix: str, layer: tf.keras.layers.Layer, variable: tf.Variable
) -> tuple[str, np.ndarray]:
    """Removes a variable's tensor from the state, and returns it in Keras' layout behind the variable's own name."""
    leaf = variable.name.split("/")[-1].split(":")[0]
    if isinstance(layer, tf.keras.layers.BatchNormalization):
        key = f"{prefix}.{_BATCHNORM[leaf]}"
    elif isinstance(layer, tf.keras.layers.Dense):
        key = f"{prefix}.{_DENSE[leaf]}"
    else:
        key = f"{prefix}.{_CONVOLUTION[leaf]}"
    if key not in remaining:
        raise ValueError(f"The state dict has no {key} for {variable.name}.")
    tensor = remaining.pop(key)
    return leaf, tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T


def _make_identity(layer: tf.keras.layers.BatchNormalization) -> None:
    if layer.epsilon != _IMAGE_EPSILON:
        raise ValueError(f"{layer.name} has the epsilon {layer.epsilon}, not {_IMAGE_EPSILON}.")
    for variable, value in (
        (layer.gamma, 1.0),
        (layer.beta, 0.0),
        (layer.moving_mean, 0.0),
        (layer.moving_variance, 1.0 - _IMAGE_EPSILON),
    ):
        variable.assign(np.full(variable.shape, value))
