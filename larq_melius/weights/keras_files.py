"""Weight files that Keras writes: HDF5 of ``save_weights`` or ``save``, ``.weights.h5`` and ``.keras``.

They are read as arrays. No model is built from them, so that no code runs that a file names.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf

from larq_melius.weights.checks import check_finite, naming_file
from larq_melius.weights.hdf5 import (
    find_dataset,
    layers_root,
    open_hdf5,
    read_array,
    read_names,
)
from larq_melius.weights.keras_configs import Config, list_layers, read_archive, read_hdf5_config

#: Settings of layers that change what they compute, but not the shapes of their weights.
_COMPUTATION = ("strides", "padding", "pad_values", "value", "groups", "pool_size", "epsilon")

Shape = tuple[int, ...]


def load_keras(model: tf.keras.Model, path: Path, *, skip: tuple[str, ...] = ()) -> None:
    """Sets a model's weights from a file of the same network.

    Layers are matched by their names, but in ``.weights.h5``, which has none, by their classes and order.

    Args:
        model: The model; nothing of it changes unless everything fits.
        path: The file.
        skip: Names of layers that may be in the file and not in the model.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If the file is damaged, its layers are not those of the model, or a weight is not finite.
    """
    if path.suffix == ".keras":
        config, weights = read_archive(path)
        values = _from_archive(model, config, weights, path, skip)
    elif path.name.endswith(".weights.h5"):
        values = _from_structure(model, path)
    else:
        values = _from_hdf5(model, path, skip)
    for variable, value in values:
        variable.assign(value)


_Values = list[tuple[tf.Variable, np.ndarray]]


def _from_archive(
    model: tf.keras.Model, config: Config, weights: io.BytesIO, path: Path, skip: tuple[str, ...]
) -> _Values:
    with naming_file(path):
        layers = list_layers(config)
        places = _structure([layer["class_name"].rpartition(">")[2] for layer in layers])
        _check_computation(model, layers)
        with open_hdf5(weights) as file:
            groups = {
                layer["config"]["name"]: _variables_group(file, place)
                for layer, place in zip(layers, places, strict=True)
            }
            names = {name: [] if group is None else _numbered(group) for name, group in groups.items()}
            return _match(model, groups, names, skip)


def _from_structure(model: tf.keras.Model, path: Path) -> _Values:
    """The weights in ``.weights.h5``, of layers in the order and of the classes of the model's."""
    places = _structure([type(layer).__name__ for layer in model.layers])
    try:
        with open_hdf5(path) as file:
            groups = {
                layer.name: _variables_group(file, place) for layer, place in zip(model.layers, places, strict=True)
            }
            layers = file.get("layers")
            if not isinstance(layers, h5py.Group) or not set(layers) <= {place.rpartition("/")[2] for place in places}:
                raise ValueError("it has other layers")
            names = {name: [] if group is None else _numbered(group) for name, group in groups.items()}
            return _match(model, groups, names, ())
    except ValueError as error:
        raise ValueError(f"{path} does not hold the weights of {model.name}: {error}") from error


def _from_hdf5(model: tf.keras.Model, path: Path, skip: tuple[str, ...]) -> _Values:
    try:
        with open_hdf5(path) as file:
            config = read_hdf5_config(file)
            root = layers_root(file)
            groups = {name: _group(root, name) for name in read_names(root, "layer_names")}
            names = {name: read_names(group, "weight_names") for name, group in groups.items()}
    except ValueError as error:
        raise ValueError(f"{path} is not a weight file that Keras wrote, or it is damaged: {error}") from error
    with naming_file(path):
        if config is not None:
            _check_computation(model, list_layers(config))
        with open_hdf5(path) as file:
            root = layers_root(file)
            return _match(model, {name: _group(root, name) for name in names}, names, skip)


def _match(
    model: tf.keras.Model,
    groups: dict[str, h5py.Group | None],
    names: dict[str, list[str]],
    skip: tuple[str, ...],
) -> _Values:
    """The variables of a model with the arrays of a file.

    Args:
        model: The model.
        groups: Where each layer of the file keeps its arrays.
        names: The arrays of each layer of the file, in the order of its variables.
        skip: Names of layers that may be in the file and not in the model.

    Raises:
        ValueError: If the layers are others, or an array has another shape or is not finite.
    """
    unused = dict(names)
    values: _Values = []
    for layer in model.layers:
        group, given = groups.get(layer.name), unused.pop(layer.name, [])
        expected = [tuple(variable.shape) for variable in layer.weights]
        found = [find_dataset(group, name).shape for name in given]
        if expected != found:
            raise ValueError(f"layer {layer.name} expects weights of the shapes {expected}, but finds {found}.")
        for variable, name in zip(layer.weights, given, strict=True):
            array = read_array(group, name).astype(variable.dtype.as_numpy_dtype)
            values.append((variable, check_finite(array, variable.name)))
    left_over = [name for name, arrays in unused.items() if arrays and name not in skip]
    if left_over:
        raise ValueError(f"holds weights for the layer {left_over[0]}, which the network does not have.")
    return values


def _structure(class_names: Sequence[str]) -> list[str]:
    """Where ``.keras`` and ``.weights.h5`` keep each layer of a model: named by its class, and numbered."""
    seen: Counter[str] = Counter()
    places = []
    for class_name in class_names:
        name = _snake_case(class_name)
        places.append(f"layers/{name}" + (f"_{seen[name]}" if seen[name] else ""))
        seen[name] += 1
    return places


def _snake_case(name: str) -> str:
    """A class's name as Keras writes it in files: ``QuantConv2D`` is ``quant_conv2d``."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _variables_group(file: h5py.File, place: str) -> h5py.Group | None:
    group = file.get(f"{place}/vars")
    return group if isinstance(group, h5py.Group) else None


def _numbered(group: h5py.Group) -> list[str]:
    """The arrays ``0``, ``1``, ... of a group."""
    names = [str(number) for number in range(len(group))]
    if set(group) != set(names):
        raise ValueError(f"{group.name} is damaged: its arrays are not numbered")
    return names


def _group(root: h5py.Group, name: str) -> h5py.Group:
    group = root.get(name)
    if not isinstance(group, h5py.Group):
        raise ValueError(f"there is no layer {name}")
    return group


def _check_computation(model: tf.keras.Model, layers: list[Config]) -> None:
    """Unlike other files, a whole model tells what its weights were trained for."""
    saved = {layer["config"]["name"]: layer for layer in layers}
    for layer in model.layers:
        if layer.name not in saved:
            continue
        theirs = saved[layer.name]["config"]
        ours = json.loads(json.dumps(layer.get_config(), default=str))
        same_class = saved[layer.name]["class_name"].rpartition(">")[2] == type(layer).__name__
        for name in _COMPUTATION:
            # An earlier version of the same layer may not know a setting, and computed as its default does.
            if theirs.get(name) != ours.get(name) and not (same_class and name not in theirs):
                raise ValueError(
                    f"layer {layer.name} was saved with {name}={theirs.get(name)!r}, but the network has "
                    f"{ours.get(name)!r}. Its weights are for another network or convention."
                )
