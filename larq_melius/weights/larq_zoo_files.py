"""Loads the weight files that the Larq Zoo publishes into networks of this zoo, which compute the same function.

The files are HDF5 as Keras 2's ``save_weights`` writes it: a group for each layer, listed in the order of the layers.
Names depend on the version of the Larq Zoo that wrote the file, and are often nothing but a kind and a number. Layers
are therefore matched by their order among those of their kind, the order by which the Larq Zoo itself loads its files,
and checked by their shapes.

The Larq Zoo slices a grouped convolution into one convolution for each group; their kernels, side by side, are ours.
"""

import contextlib
import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import larq as lq
import numpy as np
import tensorflow as tf

from larq_melius.layers import SymmetricPadding2D
from larq_melius.reference_implementations import LARQ_ZOO
from larq_melius.weights.checks import abridge, check_finite, naming_file
from larq_melius.weights.hdf5 import find_dataset, layers_root, open_hdf5, read_names
from larq_melius.weights.store import file_hash

_CONVOLUTION, _BINARY, _BATCHNORM, _CLASSIFIER = "convolution", "binary convolution", "batch norm", "classifier"
_KINDS = {
    ("kernel",): _CONVOLUTION,
    ("gamma", "beta", "moving_mean", "moving_variance"): _BATCHNORM,
    ("kernel", "bias"): _CLASSIFIER,
}
_BINARY_NAME = re.compile(r"(^|_)(quant_conv2d(_\d+)?|binconv)$")
_SLICE_NAME = re.compile(r"(?P<whole>.+)_conv(?P<index>\d+)")
#: Files of BinaryDenseNet37Dilated, with and without the top: just the arrays of BinaryDenseNet37, of another network.
_DILATED = (
    "15c1bcd79b8dc22971382fbf79acf364a3f51049d0e584a11533e6fdbb7363d3",
    "8b31fbfdc8de08a46c6adcda1ced48ace0a2ff0ce45a05c72b2acc27901dd88b",
)


def load_larq_zoo(
    source: str | os.PathLike[str], keras_model: tf.keras.Model, *, skip_classifier: bool = False
) -> None:
    """Sets the weights of a network to those of a file of the Larq Zoo.

    Args:
        source: The file (``.h5``).
        keras_model: A network that this package's builders made with the convention ``"larq_zoo"``. If the file does
            not fit, it stays as it is.
        skip_classifier: Whether the file may have a classifier that the network does not have.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the network has another convention; if the file is damaged; if a layer of the network finds no
            weights in it or ones of another shape; or if an array is not used or holds numbers that are not finite.
    """
    path = Path(source)
    if stranger := _padded_otherwise(keras_model):
        raise ValueError(
            f"{path}: {stranger} of {keras_model.name} does not pad as the Larq Zoo's networks do; build the network "
            f"with convention={LARQ_ZOO.name!r}"
        )
    if file_hash(path) in _DILATED:
        raise ValueError(f"{path}: these are weights of BinaryDenseNet37Dilated, a network that this zoo does not have")
    with _reading(path) as layers:
        values = _match(layers, keras_model, skip_classifier=skip_classifier)
    for variable, array in values:
        variable.assign(array)


def is_larq_zoo_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds weights in Keras' HDF5 with the Larq Zoo's names of layers, and not with this package's."""
    try:
        with open_hdf5(path) as file:
            return any(_BINARY_NAME.search(name) for name in read_names(layers_root(file), "layer_names"))
    except (OSError, ValueError):
        return False


def _padded_otherwise(model: tf.keras.Model) -> str | None:
    """A layer that pads what the Larq Zoo's networks pad in another way, or ``None``."""
    for layer in model.layers:
        binary = isinstance(layer, lq.layers.QuantConv2D)
        if isinstance(layer, SymmetricPadding2D) or (binary and layer.pad_values != LARQ_ZOO.binary_pad_value):
            return layer.name
    return None


@dataclass(frozen=True)
class _Layer:
    """A layer in a file.

    Attributes:
        name: Its name.
        kind: One of the kinds above.
        datasets: Its weights, not read yet.
    """

    name: str
    kind: str
    datasets: tuple[h5py.Dataset, ...]


@dataclass(frozen=True)
class LarqZooDescription:
    """What a file tells of its network: ``classes`` are ``None`` if it has no classifier."""

    stem: str
    channels: int
    classes: int | None


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[list[_Layer]]:
    """The layers with weights in a file, in its order; names the file in whatever is wrong with it.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is no weight file, or damaged.
    """
    with naming_file(path), open_hdf5(path) as file:
        yield _layers(layers_root(file))


def _layers(root: h5py.Group) -> list[_Layer]:
    layers = []
    for name in read_names(root, "layer_names"):
        weights = read_names(root[name], "weight_names")
        if not weights:
            continue
        leaves = tuple(weight.rpartition("/")[2].removesuffix(":0") for weight in weights)
        if leaves not in _KINDS:
            raise ValueError(f"no layer of the Larq Zoo's networks has weights like {name}: {', '.join(weights)}")
        kind = _KINDS[leaves]
        if kind == _CONVOLUTION and _BINARY_NAME.search(name):
            kind = _BINARY
        layers.append(_Layer(name, kind, tuple(find_dataset(root[name], weight) for weight in weights)))
    if not layers:
        raise ValueError("there are no weights in the file")
    return layers


def describe_larq_zoo_file(path: Path) -> LarqZooDescription:
    """Reads off a file what has to be known to build its network."""
    with _reading(path) as layers:
        firsts = {layer.kind: layer for layer in reversed(layers)}
        if _CONVOLUTION not in firsts:
            raise ValueError("there is no stem in the file")
        # The network takes its sizes from these two, and is built before their numbers are read.
        for layer in (firsts[kind] for kind in (_CONVOLUTION, _CLASSIFIER) if kind in firsts):
            if layer.datasets[0].nbytes > path.stat().st_size:
                raise ValueError(f"{layer.name} has {layer.datasets[0].size} weights, for which the file is too small")
        stem, channels = _stem_and_channels(firsts[_CONVOLUTION])
        return LarqZooDescription(stem, channels, _classes(firsts[_CLASSIFIER]) if _CLASSIFIER in firsts else None)


def _stem_and_channels(first: _Layer) -> tuple[str, int]:
    """The stem that begins with a convolution, and the channels of its image."""
    shape = first.datasets[0].shape
    if len(shape) == 4 and shape[2] > 0:
        window, filters = shape[:2], shape[3]
        if window == (7, 7):
            return "conv7x7", shape[2]
        if window == (3, 3) and filters in (32, 64):
            return "grouped" if filters == 32 else "thumbnail", shape[2]
    raise ValueError(f"{first.name} has a kernel of the shape {shape}, which no stem begins with")


def _classes(classifier: _Layer) -> int:
    kernel, bias = (dataset.shape for dataset in classifier.datasets)
    if len(kernel) != 2 or kernel[1:] != bias or not bias[0]:
        raise ValueError(f"{classifier.name} has a kernel of the shape {kernel} and a bias of the shape {bias}")
    return int(bias[0])


def _match(
    layers: list[_Layer], model: tf.keras.Model, *, skip_classifier: bool
) -> list[tuple[tf.Variable, np.ndarray]]:
    """The variables of a network with the arrays of a file.

    Raises:
        ValueError: If a layer finds nothing or something else than it needs, or something is left over.
    """
    queues: dict[str, deque[_Layer]] = {kind: deque() for kind in (*_KINDS.values(), _BINARY)}
    for layer in layers:
        queues[layer.kind].append(layer)
    values: list[tuple[tf.Variable, np.ndarray]] = []
    for layer in model.layers:
        if layer.weights:
            values += _take(queues[_kind(layer)], layer)
    if skip_classifier:
        queues[_CLASSIFIER].clear()
    unused = [_called(dataset) for queue in queues.values() for layer in queue for dataset in layer.datasets]
    if unused:
        raise ValueError(f"{model.name} has no place for {abridge(unused)}")
    return values


def _kind(layer: tf.keras.layers.Layer) -> str:
    """The kind of a layer of ours."""
    if isinstance(layer, lq.layers.QuantConv2D):
        return _BINARY
    kinds = {
        tf.keras.layers.Conv2D: _CONVOLUTION,
        tf.keras.layers.BatchNormalization: _BATCHNORM,
        tf.keras.layers.Dense: _CLASSIFIER,
    }
    for keras_class, kind in kinds.items():
        if isinstance(layer, keras_class):
            return kind
    raise ValueError(f"the Larq Zoo's networks have no layer like {layer.name}")


def _take(queue: deque[_Layer], layer: tf.keras.layers.Layer) -> list[tuple[tf.Variable, np.ndarray]]:
    """Removes the weights of a layer of ours from those that are left of its kind, and reads them."""
    groups = getattr(layer, "groups", 1)
    if groups > 1:
        (variable,) = layer.weights
        *rest, filters = variable.shape
        slices = _in_order([_next(queue, layer) for _ in range(groups)], layer)
        arrays = [_read(one.datasets[0], (*rest, filters // groups), variable, layer) for one in slices]
        return [(variable, np.concatenate(arrays, axis=-1))]
    datasets = _next(queue, layer).datasets
    pairs = list(zip(layer.weights, datasets, strict=True))
    return [(variable, _read(dataset, tuple(variable.shape), variable, layer)) for variable, dataset in pairs]


def _next(queue: deque[_Layer], layer: tf.keras.layers.Layer) -> _Layer:
    if not queue:
        raise ValueError(
            f"{layer.name} finds no weights in the file, which has fewer layers of the kind {_kind(layer)!r}"
        )
    return queue.popleft()


def _in_order(slices: list[_Layer], layer: tf.keras.layers.Layer) -> list[_Layer]:
    """The slices of a grouped convolution by their numbers, if their names have some, or else as they come."""
    matches = [_SLICE_NAME.fullmatch(one.name) for one in slices]
    numbered = {int(match["index"]): one for match, one in zip(matches, slices, strict=True) if match}
    if not numbered:
        return slices
    wholes = {match["whole"] for match in matches if match}
    if len(wholes) > 1 or sorted(numbered) != list(range(len(slices))):
        names = ", ".join(one.name for one in slices)
        raise ValueError(f"{layer.name} needs the {len(slices)} slices of one convolution, but finds {names}")
    return [numbered[index] for index in sorted(numbered)]


def _called(dataset: h5py.Dataset) -> str:
    """The name that Keras gave to a weight."""
    return "/".join(dataset.name.split("/")[-2:])


def _read(
    dataset: h5py.Dataset, expected: tuple[int, ...], variable: tf.Variable, layer: tf.keras.layers.Layer
) -> np.ndarray:
    """Reads the array of a variable, or of a slice of it, as the variable's numbers."""
    if dataset.shape != expected:
        raise ValueError(f"{layer.name} needs the shape {expected}, but {_called(dataset)} has {dataset.shape}")
    with np.errstate(over="ignore"):
        array = dataset[()].astype(variable.dtype.as_numpy_dtype)
    return check_finite(array, _called(dataset))
