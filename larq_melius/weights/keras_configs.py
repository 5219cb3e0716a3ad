"""Reads what Keras' files say about their models, as plain JSON: nothing is built from it here."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py

from larq_melius.weights.checks import first_line, read_member

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {"metadata.json", _CONFIG, _WEIGHTS}
#: Bytes of a model's configuration; that of the largest network of this zoo takes 0.3 MB.
_LONGEST_CONFIG = 16 << 20

Config = dict[str, Any]


def read_archive(path: Path) -> tuple[Config, io.BytesIO]:
    """Reads a ``.keras`` file, whose checksums are checked on the way.

    Returns:
        The model's configuration, and its weights as an HDF5 file.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is damaged, or claims to hold more than such a file may.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if set(names) != _MEMBERS or len(names) != len(_MEMBERS):
                raise ValueError(f"it holds {', '.join(names[:5]) or 'nothing'}, not {', '.join(sorted(_MEMBERS))}")
            config = parse_config(read_member(archive, _CONFIG, _LONGEST_CONFIG))
            # Keras does not compress, and weights hardly give way to it.
            return config, io.BytesIO(read_member(archive, _WEIGHTS, 4 * size))
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged archives make zipfile raise almost anything
        raise ValueError(f"{path} is not a Keras file that can be read: {first_line(error)}") from error


def read_hdf5_config(file: h5py.File) -> Config | None:
    """The model's configuration in an HDF5 file of a whole model, or ``None`` if the file has weights alone.

    Raises:
        ValueError: If it is damaged.
    """
    if "model_config" not in file.attrs:
        return None
    text = file.attrs["model_config"]
    return parse_config(text if isinstance(text, bytes) else str(text).encode())


def parse_config(text: bytes) -> Config:
    """Parses a model's configuration.

    Raises:
        ValueError: If it is not JSON, too long, too deep, or no configuration.
    """
    if len(text) > _LONGEST_CONFIG:
        raise ValueError(f"the model's configuration takes {len(text):,} bytes, more than {_LONGEST_CONFIG:,}")
    try:
        config = json.loads(text)
    except RecursionError as error:
        raise ValueError("the model's configuration is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"the model's configuration is damaged: {first_line(error)}") from error
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ValueError("the model's configuration is damaged: it is not that of a model")
    return config


def list_layers(config: Config) -> list[Config]:
    """The configurations of a model's layers, in their order.

    Raises:
        ValueError: If there are none, or not all have a class and a name.
    """
    layers = config["config"].get("layers")
    if not isinstance(layers, list) or not all(_is_layer(layer) for layer in layers):
        raise ValueError("the model's configuration is damaged: it has no list of layers")
    return layers


def _is_layer(layer: Any) -> bool:
    return (
        isinstance(layer, dict)
        and isinstance(layer.get("class_name"), str)
        and isinstance(layer.get("config"), dict)
        and isinstance(layer["config"].get("name"), str)
    )
