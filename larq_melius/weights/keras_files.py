"""Weight files that Keras writes: HDF5 of ``save_weights`` or ``save``, and ``.keras``."""

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorflow as tf

#: Attributes of layers that change what they compute, but not the shapes of their weights.
_COMPUTATION = ("strides", "padding", "pad_values", "value", "groups", "pool_size", "epsilon")


def load_keras(model: tf.keras.Model, path: Path, *, skip: tuple[str, ...] = ()) -> None:
    """Sets a model's weights from a file of the same network, matched by the names of layers.

    Args:
        model: The model; nothing of it changes unless everything fits.
        path: The file.
        skip: Names of layers that may be in the file and not in the model.

    Raises:
        ValueError: If the file is damaged, or its layers are not those of the model.
    """
    if path.name.endswith(".weights.h5"):
        _load_by_structure(model, path)
        return
    stored = _of_saved_model(path, model) if path.suffix == ".keras" else _of_hdf5(path)
    values: list[tuple[Any, np.ndarray]] = []
    for layer in model.layers:
        weights = layer.weights
        given = stored.pop(layer.name, [])
        expected = [tuple(weight.shape) for weight in weights]
        found = [array.shape for array in given]
        if expected != found:
            raise ValueError(f"{path}: layer {layer.name} expects weights of the shapes {expected}, but finds {found}.")
        values += zip(weights, given, strict=True)
    left_over = [name for name, arrays in stored.items() if arrays and name not in skip]
    if left_over:
        raise ValueError(f"{path} holds weights for the layer {left_over[0]}, which the network does not have.")
    for weight, value in values:
        weight.assign(value)


def _load_by_structure(model: tf.keras.Model, path: Path) -> None:
    """Loads what ``save_weights`` writes to ``.weights.h5``: it has no names of layers, and only Keras can read it."""
    before = model.get_weights()
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        model.set_weights(before)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} does not hold the weights of {model.name}: {reason}") from error


def _of_saved_model(path: Path, model: tf.keras.Model) -> dict[str, list[np.ndarray]]:
    try:
        saved = tf.keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is not a Keras file that can be read: {reason}") from error
    layers = {layer.name: layer for layer in saved.layers}
    for layer in model.layers:
        if layer.name in layers:
            _check_same_computation(path, layers[layer.name], layer)
    return {name: layer.get_weights() for name, layer in layers.items()}


def _check_same_computation(path: Path, saved: tf.keras.layers.Layer, layer: tf.keras.layers.Layer) -> None:
    """Unlike other files, a whole model tells what its weights were trained for."""
    for attribute in _COMPUTATION:
        theirs, ours = getattr(saved, attribute, None), getattr(layer, attribute, None)
        if theirs != ours:
            raise ValueError(
                f"{path}: layer {layer.name} was saved with {attribute}={theirs!r}, but the network has {ours!r}. Its "
                "weights are for another network or convention."
            )


def _of_hdf5(path: Path) -> dict[str, list[np.ndarray]]:
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            return {_text(name): _arrays(root[_text(name)]) for name in root.attrs["layer_names"]}
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise ValueError(f"{path} is not a weight file that Keras wrote, or it is damaged: {error}") from error


def _arrays(group: Any) -> list[np.ndarray]:
    return [np.asarray(group[_text(name)]) for name in group.attrs["weight_names"]]


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
