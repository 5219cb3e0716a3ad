"""Converts checkpoints of the authors' BMXNet-v2 networks to networks of this zoo that compute the same function.

The two implementations express the function differently, and the weights are converted without loss:

- The authors' binary convolution returns ``(h + n) / 2``, with ``h`` the sum of its ``n`` products of signs; ours
  returns ``h``. Each channel of their feature maps is thus ``scale * x + offset`` of ours, with a scale of 1 or 1/2,
  through all concatenations and additions up to the batch norms that read it, whose statistics absorb both.
- The authors pad binarized feature maps with -1, we with +1; ``binary_padding`` tells which layers to negate.
"""

import os
import re
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from larq_melius.analysis.graph import input_layers
from larq_melius.converters.importers.binary_padding import can_mirror, mirrored_layers, with_sign
from larq_melius.converters.importers.identify import check_network, kernels_of
from larq_melius.converters.importers.layouts import to_keras_layout
from larq_melius.converters.importers.mxnet_params import read_params
from larq_melius.layers import ImprovementMerge
from larq_melius.models.registry import find_variant
from larq_melius.reference_implementations import AUTHORS
from larq_melius.weights.checks import abridge, naming_file

Params = Mapping[str, np.ndarray]

_EPSILON = 1e-5
# The authors normalize ResNetE's image with another epsilon, and without the scale that MXNet stores all the same.
_IMAGE_BATCHNORM, _IMAGE_EPSILON = "image_bn", 2e-5
# ResNetE's batch norm behind the stem, which the authors leave out behind the thumbnail stem.
_STEM_OUTPUT = "stem_output_bn"

_GROUPED_STEM = {"stem_conv1": 0, "stem1_bn": 1, "stem_conv2": 3, "stem2_bn": 4, "stem_conv3": 6}
_LEAVES = {
    "batchnorm": ("gamma", "beta", "running_mean", "running_var"),
    "conv": ("weight",),
    "sc_conv": ("weight",),
    "qconv": ("weight",),
    "dense": ("weight", "bias"),
}
_LEAF = "|".join(sorted({leaf for leaves in _LEAVES.values() for leaf in leaves}))
_EXPORTED = re.compile(
    rf"(?:arg:|aux:)?(?:\w*?_)??(?P<scope>stem_|stage\d+_)?(?:(?P<kind>batchnorm|qconv|conv|dense)(?P<number>\d+)|sc_conv)"
    rf"_(?P<leaf>{_LEAF})"
)
# The authors' code leaves an attribute behind that is a second name of the last stage.
_COPIES = "current_stage."
# The order in which the authors' code builds the parts that stand side by side.
_BUILD_ORDER = ("features", "layer", "finalize", "output", "body", "downsample", "qconv")


def bmxnet_to_keras(
    source: str | os.PathLike[str],
    model: str,
    *,
    stem: str | None = None,
    input_shape: tuple[int, int, int] | None = None,
    classifier_activation: Any = "softmax",
    binary_pad_value: float | None = None,
) -> tf.keras.Model:
    """Builds a network of the zoo with the weights of a BMXNet-v2 checkpoint.

    The result is an ordinary network of the zoo, and computes what the authors' code computes. In 32-bit arithmetic
    the two round differently, so that in a few images an activation that is almost zero gets the other sign.

    Args:
        source: A ``.params`` file that Gluon's ``save_parameters`` or ``export`` wrote.
        model: Name of the network, such as ``"MeliusNet22"``.
        stem: The checkpoint's stem; recognized by default.
        input_shape: Height, width and channels of the image; the network's usual ones by default.
        classifier_activation: Activation of the classifier; ``None`` for logits.
        binary_pad_value: What the network pads binarized feature maps with: 1, or the authors' own -1, which Larq
            Compute Engine does not run as a binary convolution. By default it is 1, but -1 for ResNetE and Bi-Real-Net
            (see Raises). Weights of a network that pads with -1 only fit other networks that do.

    Returns:
        The network, with as many classes as the file has. It expects the images as the authors normalized them.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If there is no such network, the file is damaged or from another network, stem or configuration
            (where the zoo has that network, the message names it), or the padding cannot be converted from -1 to +1. It
            cannot for ResNetE and Bi-Real-Net, where a padding of +1 would need the sums of the last stage negated
            where they are binarized, but unchanged in the final ReLU.

    Example:
        >>> network = bmxnet_to_keras("meliusnet22_1bit_best.params", "MeliusNet22")  # doctest: +SKIP
    """
    function = find_variant(model).function
    params = read_params(source)
    with naming_file(source):
        stem = stem or _find_stem(params)
        classes = _count_classes(params)
        check_network(kernels_of(_without_copies(params)), model, stem)

    def build(pad_value: float) -> tf.keras.Model:
        return function(
            weights=None,
            input_shape=input_shape,
            classes=classes,
            classifier_activation=classifier_activation,
            stem=stem,
            convention=replace(AUTHORS, binary_pad_value=pad_value),
        )

    network = build(1.0 if binary_pad_value is None else binary_pad_value)
    if binary_pad_value is None and not can_mirror(network):
        network = build(-1.0)
    with naming_file(source):
        convert_bmxnet(params, network)
    return network


def convert_bmxnet(params: Params, model: tf.keras.Model) -> None:
    """Sets the weights of a network to those of a BMXNet-v2 checkpoint.

    Args:
        params: The arrays of a ``.params`` file by name, as ``read_params`` returns them: kernels of the shape
            (filters, input channels, height, width), the classifier's of the shape (classes, features).
        model: A binary network that this package's builders made with the top and the authors' convention, whose
            padding may also be -1. If the arrays do not fit, it stays as it is.

    Raises:
        ValueError: If an array is missing, has another shape than the network's layer, holds numbers that are not
            finite, or is not used, or if the authors' padding of -1 cannot be converted to the network's.
    """
    flipped = mirrored_layers(model)
    values = _match(_Checkpoint(params), model)
    weights = _fold(model, values, flipped)
    for name, arrays in weights.items():
        model.get_layer(name).set_weights(arrays)


@dataclass(frozen=True)
class _Place:
    """Where the authors' network has a layer of ours.

    Files of ``save_parameters`` name a layer's arrays by its path, exported files by its scope, kind and number.

    Attributes:
        layer: Our name of the layer.
        path: Its path in the structure of their network.
        scope: The name scope it is built in.
        kind: The kind of layer.
        number: Its number among the layers of that scope and kind, in the order in which they are built.
    """

    layer: str
    path: str
    scope: str
    kind: str
    number: int


class _Checkpoint:
    """The arrays of a file by their place in the network, whichever way the file names them.

    Attributes:
        params: The arrays by name.
        exported: Whether the names are those of exported files.
        names: For each place, as its path or its scope, kind and number, the names of its arrays by leaf.
    """

    def __init__(self, params: Params) -> None:
        self.params = params
        self.exported = not any("." in name for name in params)
        self.names: dict[Hashable, dict[str, str]] = {}
        for key, leaf, name in self._exported_names() if self.exported else self._structural_names():
            leaves = self.names.setdefault(key, {})
            if leaf in leaves:
                raise ValueError(f"{leaves[leaf]} and {name} are the same array of one layer")
            leaves[leaf] = name

    def has(self, place: _Place) -> bool:
        return self._key(place) in self.names

    def take(self, place: _Place, leaf: str) -> tuple[str, np.ndarray]:
        """The name of an array and the array, which then counts as used."""
        leaves = self.names.get(self._key(place), {})
        if leaf not in leaves:
            prefix = f"{place.scope}{place.kind}{place.number}_" if self.exported else f"{place.path}."
            raise ValueError(f"there is no {prefix}{leaf} for {place.layer}")
        name = leaves.pop(leaf)
        return name, self.params[name]

    def unused(self) -> list[str]:
        return [name for leaves in self.names.values() for name in leaves.values()]

    def _key(self, place: _Place) -> Hashable:
        return (place.scope, place.kind, place.number) if self.exported else place.path

    def _structural_names(self) -> list[tuple[Hashable, str, str]]:
        stages = [match[0] for name in self.params if (match := re.match(r"layer(\d+)\.", name))]
        last = max(stages, key=lambda stage: int(stage[5:-1]), default="layer0.")
        last_stage = f"{last}{0 if last == 'layer0.' else 1}."
        names: list[tuple[Hashable, str, str]] = []
        for name in self.params:
            if name.startswith(_COPIES):
                original = name.replace(_COPIES, last_stage, 1)
                if original not in self.params or not np.array_equal(self.params[name], self.params[original]):
                    raise ValueError(f"{name} does not repeat {original}, of which it should be a copy")
                continue
            path, _, leaf = name.rpartition(".")
            names.append((path, leaf, name))
        return names

    def _exported_names(self) -> list[tuple[Hashable, str, str]]:
        matches = {name: _EXPORTED.fullmatch(name) for name in self.params}
        found = []
        for name, match in matches.items():
            if match is None:
                raise ValueError(f"{name} is no array of the authors' networks")
            place = (match["scope"] or "", match["kind"] or "sc_conv", int(match["number"] or 0))
            found.append((place, match["leaf"], name))
        # Outside of all scopes, the numbers count on through all networks that a process builds.
        numbers: dict[tuple[str, str], list[int]] = {}
        for scope, kind, number in sorted({place for place, _, _ in found}):
            numbers.setdefault((scope, kind), []).append(number)
        return [((*place[:2], numbers[place[:2]].index(place[2])), leaf, name) for place, leaf, name in found]


def _without_copies(params: Params) -> Params:
    return {name: array for name, array in params.items() if not name.startswith(_COPIES)}


def _find_stem(params: Params) -> str:
    """The stem whose kernels the file holds."""
    if any(re.search(r"^features\.[01]\.0\.weight$|(^|[_:])stem_conv\d+_weight$", name) for name in params):
        return "grouped"
    names = _Checkpoint(params).names
    for key in ("features.0", "features.1", ("", "conv", 0)):
        name = names.get(key, {}).get("weight")
        if name is not None and params[name].ndim == 4:
            sizes = {7: "conv7x7", 3: "thumbnail"}
            if params[name].shape[2] in sizes:
                return sizes[params[name].shape[2]]
    raise ValueError("the file holds no stem of the authors' networks")


def _count_classes(params: Params) -> int:
    names = _Checkpoint(params).names
    for key in ("output", ("", "dense", 0)):
        bias = names.get(key, {}).get("bias")
        if bias is not None and params[bias].ndim == 1 and params[bias].size:
            return int(params[bias].size)
    raise ValueError("the file holds no classifier of the authors' networks")


def _match(checkpoint: _Checkpoint, model: tf.keras.Model) -> dict[str, list[np.ndarray]]:
    """The arrays of each layer in the order of Keras' weights, in float64 and Keras' layout.

    Raises:
        ValueError: If an array is missing, does not fit, or is left over.
    """
    values: dict[str, list[np.ndarray]] = {}
    for place in _places(model, checkpoint):
        layer = model.get_layer(place.layer)
        arrays = []
        for leaf, variable in zip(_LEAVES[place.kind], layer.weights, strict=True):
            name, array = checkpoint.take(place, leaf)
            arrays.append(to_keras_layout(array, name, place.layer, variable))
        values[place.layer] = arrays
    if unused := checkpoint.unused():
        raise ValueError(f"{model.name} has no place for {abridge(unused)}")
    return values


def _places(model: tf.keras.Model, checkpoint: _Checkpoint) -> list[_Place]:
    """The place of each layer that has arrays in the file."""
    layers = [layer for layer in model.layers if layer.weights]
    names = {layer.name for layer in layers}
    without_output = {_STEM_OUTPUT} if _lacks_stem_output(names, checkpoint) else set()
    paths = {layer.name: _path(layer, names - without_output) for layer in layers if layer.name not in without_output}
    counts: Counter[tuple[str, str]] = Counter()
    places = []
    for name, path in sorted(paths.items(), key=lambda item: _build_position(item[1])):
        scope, kind = _scope(name), _kind(model.get_layer(name))
        places.append(_Place(name, path, scope, kind, counts[scope, kind]))
        counts[scope, kind] += 1
    return places


def _lacks_stem_output(names: set[str], checkpoint: _Checkpoint) -> bool:
    if _STEM_OUTPUT not in names or names & {"stem_bn", "stem3_bn"}:
        return False
    return not checkpoint.has(_Place(_STEM_OUTPUT, "features.2", "", "batchnorm", 1))


def _path(layer: tf.keras.layers.Layer, names: set[str]) -> str:
    """The path of a layer in the authors' network, which has the layers of these names."""
    name = layer.name
    first = int(_IMAGE_BATCHNORM in names)
    # A convolution or a group of them, and unless it is a thumbnail's: batch norm, ReLU, pool.
    end = first + (4 if names & {"stem_bn", "stem3_bn"} else 1)
    if name in _GROUPED_STEM:
        return f"features.{first}.{_GROUPED_STEM[name]}"
    if match := re.fullmatch(r"stage(\d+)_block(\d+)_(dense|improve)_(bn|conv)", name):
        stage, block, kind, part = match.groups()
        step = int(block) - 1
        if any(other.endswith("_improve_conv") for other in names):
            step = 2 * step + (kind == "improve")
        inner = {"dense": "1", "improve": "body"}[kind] + {"bn": ".0", "conv": ".1.qconv"}[part]
        return f"layer{int(stage) - 1}.{int(stage != '1')}.{step}.{inner}"
    if match := re.fullmatch(r"transition(\d+)_(bn|conv)", name):
        return f"layer{match[1]}.0.{0 if match[2] == 'bn' else 3 + (layer.groups > 1)}"
    if match := re.fullmatch(r"stage(\d+)_block(\d+)_(shortcut_)?(bn|conv)", name):
        stage, block, shortcut, part = match.groups()
        inner = {"bn": "body.1", "conv": "body.0.qconv"}[part]
        if shortcut:
            inner = {"bn": "downsample.2", "conv": "downsample.1"}[part]
        return f"features.{end + (_STEM_OUTPUT in names) + int(stage) - 1}.{int(block) - 1}.{inner}"
    single = {
        _IMAGE_BATCHNORM: "features.0",
        "stem_conv": f"features.{first}",
        "stem_bn": f"features.{first + 1}",
        "stem3_bn": f"features.{first + 1}",
        _STEM_OUTPUT: f"features.{end}",
        "final_bn": "finalize.0",
        "predictions": "output",
    }
    if name not in single:
        raise ValueError(f"the authors' networks have no layer like {name}")
    return single[name]


def _build_position(path: str) -> list[int]:
    return [int(part) if part.isdigit() else _BUILD_ORDER.index(part) for part in re.findall(r"[a-z]+|\d+", path)]


def _scope(name: str) -> str:
    if name in _GROUPED_STEM:
        return "stem_"
    match = re.match(r"stage\d+_", name)
    return match[0] if match else ""


def _kind(layer: tf.keras.layers.Layer) -> str:
    if isinstance(layer, tf.keras.layers.BatchNormalization):
        return "batchnorm"
    if isinstance(layer, tf.keras.layers.Dense):
        return "dense"
    if isinstance(layer, lq.layers.QuantConv2D):
        return "qconv"
    return "sc_conv" if layer.name.endswith("_shortcut_conv") else "conv"


@dataclass(frozen=True)
class _Affine:
    """A feature map of the authors' as ``scale * x + offset`` of ours, ``x``; both have the shape (channels,)."""

    scale: np.ndarray
    offset: np.ndarray

    @classmethod
    def uniform(cls, channels: int, scale: float, offset: float = 0.0) -> "_Affine":
        return cls(np.full(channels, scale), np.full(channels, offset))

    def __add__(self, other: "_Affine") -> "_Affine":
        if not np.array_equal(self.scale, other.scale):
            raise ValueError("maps of different scales are added")
        return _Affine(self.scale, self.offset + other.offset)

    def beside(self, other: "_Affine") -> "_Affine":
        return _Affine(np.append(self.scale, other.scale), np.append(self.offset, other.offset))


def _fold(
    model: tf.keras.Model, values: Mapping[str, list[np.ndarray]], flipped: set[str]
) -> dict[str, list[np.ndarray]]:
    """The weights of our layers by name, converted from the authors' arrays in Keras' layout."""
    doubled = _doubled_layers(model)
    maps: dict[str, _Affine] = {}
    weights = {}
    for layer in model.layers:  # from the input to the output
        inputs = [maps[before.name] for before in input_layers(layer)]
        arrays = values.get(layer.name)
        if isinstance(layer, lq.layers.QuantConv2D) and arrays is not None:
            terms = int(np.prod(arrays[0].shape[:3]))
            maps[layer.name] = _Affine.uniform(layer.filters, 0.5, terms / 2)
            weights[layer.name] = [with_sign(arrays[0], flip=layer.name in flipped)]
        elif layer.weights:
            scale = 0.5 if layer.name in doubled else 1.0
            maps[layer.name] = _Affine.uniform(layer.output_shape[-1], scale)
            if isinstance(layer, tf.keras.layers.BatchNormalization):
                arrays = _fold_batchnorm(layer, arrays, inputs[0], flip=layer.name in flipped)
            if arrays is not None:
                # All but a batch norm's statistics are linear in the output; powers of two do not round.
                weights[layer.name] = [array / scale for array in arrays[:2]] + arrays[2:]
        elif isinstance(layer, ImprovementMerge):
            features, new, improvement = inputs
            maps[layer.name] = features.beside(new + improvement)
        elif isinstance(layer, tf.keras.layers.Concatenate):
            maps[layer.name] = inputs[0].beside(inputs[1])
        elif isinstance(layer, tf.keras.layers.Add):
            maps[layer.name] = inputs[0] + inputs[1]
        else:
            # Pools, ReLUs and paddings, which read maps without an offset and keep a positive scale.
            maps[layer.name] = inputs[0] if inputs else _Affine.uniform(layer.output_shape[0][-1], 1.0)
    return weights


def _doubled_layers(model: tf.keras.Model) -> set[str]:
    """The last layers of the stem and of the transitions, in networks where their outputs have to be doubled.

    These are the ones where the authors add half of a binary convolution's sum to them, and we add all of it, such as
    NaiveNet.
    """
    additions = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.Add)]
    added = [before for addition in additions for before in input_layers(addition)]
    if not any(isinstance(layer, lq.layers.QuantConv2D) for layer in added):
        return set()
    names = [layer.name for layer in model.layers]
    stem = next(name for name in ("stem3_bn", "stem_bn", "stem_conv") if name in names)
    return {stem} | {name for name in names if re.fullmatch(r"transition\d+_conv", name)}


def _fold_batchnorm(
    layer: tf.keras.layers.Layer, arrays: list[np.ndarray] | None, before: _Affine, *, flip: bool
) -> list[np.ndarray]:
    """The weights of a batch norm that computes from our feature map what the authors' computes from theirs.

    ``arrays`` are the authors' weights, or ``None`` if they have no such layer and ours has to be the identity.
    """
    channels = len(before.scale)
    epsilon = _IMAGE_EPSILON if layer.name == _IMAGE_BATCHNORM else _EPSILON
    if arrays is None:
        arrays = [np.ones(channels), np.zeros(channels), np.zeros(channels), np.full(channels, 1 - epsilon)]
    gamma, beta, mean, variance = arrays
    if layer.name == _IMAGE_BATCHNORM:
        gamma = np.ones(channels)
    if flip:
        gamma, beta = -gamma, with_sign(beta, flip=True)
    mean = (mean - before.offset) / before.scale
    # sqrt(variance + epsilon) is divided by the scale. The result is not negative, since no scale is above 1.
    variance = variance / before.scale**2 + (epsilon / before.scale**2 - layer.epsilon)
    return [gamma, beta, mean, variance]
