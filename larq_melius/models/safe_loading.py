"""Builds models from files that nobody vouches for."""

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from larq_melius.models.config_check import UntrustedConfigError, check_config, check_graphs, without_compilation
from larq_melius.weights.checks import first_line
from larq_melius.weights.hdf5 import check_arrays, open_hdf5
from larq_melius.weights.keras_configs import Config, read_archive, read_hdf5_config

#: Numbers in the largest input or output of a layer, for one image; a gigabyte in float32.
_LARGEST_TENSOR = 1 << 28
KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")


def is_saved_model(source: str | os.PathLike[str]) -> bool:
    """Whether ``source`` has the name of a Keras file (``.keras``, ``.h5``, ``.hdf5``), or is a folder."""
    return Path(source).suffix in KERAS_SUFFIXES or Path(source).is_dir()


def load_model_safely(path: str | os.PathLike[str], *, trust: bool = False) -> tf.keras.Model:
    """Loads a Keras model from a ``.keras`` file, an HDF5 file or a SavedModel folder, without its optimizer.

    Args:
        path: The file or folder.
        trust: Whether to load all that Keras can, with whatever code the file names. Otherwise a model may consist of
            the layers of Keras, Larq and this package only, without ``Lambda``, and is no SavedModel.

    Raises:
        FileNotFoundError: If there is nothing at ``path``.
        ValueError: If the file is damaged, is not to be loaded without ``trust``, or has weights that are not finite.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    try:
        if path.is_dir():
            model = _load_folder(path, trust=trust)
        elif path.suffix == ".keras":
            model = _load_archive(path, trust=trust)
        else:
            model = _load_hdf5(path, trust=trust)
        _check_model(model)
        return model
    except UntrustedConfigError as error:
        raise ValueError(
            f"{path} is refused: {error}, but only the layers of Keras (without Lambda), Larq and larq-melius are sure "
            "to run no code of the file's. If you trust the file, pass trust=True (--trust)."
        ) from error
    except Exception as error:  # Keras raises whatever its layers raise
        raise ValueError(f"{path} is not a saved Keras model that can be read: {first_line(error)}") from error


def _load_folder(path: Path, *, trust: bool) -> tf.keras.Model:
    if not trust:
        raise UntrustedConfigError("a SavedModel can hold any operator of TensorFlow")
    return tf.keras.models.load_model(path, compile=False)


def _load_archive(path: Path, *, trust: bool) -> tf.keras.Model:
    if trust:
        return tf.keras.models.load_model(path, compile=False, safe_mode=False)
    config, weights = read_archive(path)
    config = _checked(config)
    size = len(weights.getbuffer())
    with open_hdf5(weights) as file:
        check_arrays(file, size)
    # Keras gets a file with what was checked and nothing else.
    with tempfile.TemporaryDirectory() as folder, _limited_variables(size):
        checked = Path(folder) / path.name
        with zipfile.ZipFile(checked, "w") as archive:
            archive.writestr("metadata.json", "{}")
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", weights.getbuffer())
        return tf.keras.models.load_model(checked, compile=False)


def _load_hdf5(path: Path, *, trust: bool) -> tf.keras.Model:
    if trust:
        return tf.keras.models.load_model(path, compile=False)
    size = path.stat().st_size
    with open_hdf5(path) as file:
        config = read_hdf5_config(file)
        if config is None:
            raise ValueError("it holds no model, but perhaps weights of one, which weights= (--weights) takes")
        check_arrays(file, size)
    with _limited_variables(size):
        model = tf.keras.models.model_from_config(_checked(config))
        model.load_weights(path)
    return model


def _checked(config: Config) -> Config:
    config = without_compilation(config)
    check_config(config)
    check_graphs(config)
    return config


@contextmanager
def _limited_variables(size: int) -> Iterator[None]:
    """Lets Keras make no more variables than a file of that size has numbers for."""
    # Numbers can be stored as 16 bits and become 32. Layers that draw random numbers keep a state of their own.
    remaining = 2 * size + (1 << 20)

    def create(make: Any, **options: Any) -> Any:
        nonlocal remaining
        shape, value = options.get("shape"), options.get("initial_value")
        if shape is None and value is not None and not callable(value):
            shape = np.shape(value)
        if shape is not None:
            remaining -= 4 * int(np.prod([int(side) for side in shape], dtype=object))
            if remaining < 0:
                raise ValueError(f"a layer has weights of the shape {tuple(shape)}, for which the file is too small")
        return make(**options)

    with tf.variable_creator_scope(create):
        yield


def _check_model(model: tf.keras.Model) -> None:
    for variable in model.variables:
        if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
            raise ValueError(f"{variable.name} holds numbers that are not finite")
    for layer in model.layers:
        for shape in _shapes(getattr(layer, "output_shape", None)):
            if np.prod([side or 1 for side in shape], dtype=object) > _LARGEST_TENSOR:
                raise ValueError(f"layer {layer.name} has an output of the shape {shape}, which is too large")


def _shapes(value: Any) -> Iterator[tuple[int | None, ...]]:
    """The shapes in what Keras has as the shape of one or several tensors."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple) and all(side is None or isinstance(side, int) for side in value):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _shapes(item)
