"""Builds networks with the weights of other projects' files."""

import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from larq_melius.weights.checks import check_finite, naming_file

FORMATS = ("bmxnet", "bitorch", "larq_zoo")

#: How the files of each format begin: a list of arrays of MXNet's, a pickle (PyTorch before 1.6), HDF5.
_BEGINNINGS = {
    "bmxnet": (0x112).to_bytes(8, "little"),
    "bitorch": b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
    "larq_zoo": b"\x89HDF\r\n\x1a\n",
}
_ZIP = b"PK\x03\x04"


def import_weights(
    source: str | os.PathLike[str],
    model: str,
    *,
    stem: str | None = None,
    input_shape: tuple[int, int, int] | None = None,
    format: str | None = None,  # noqa: A002 - what it is called everywhere
) -> tf.keras.Model:
    """Builds a network of the zoo with the weights of another project's file.

    Args:
        source: The file: a checkpoint of the authors' BMXNet-v2 networks (``.params``) or of BITorch (``.pth``,
            ``.ckpt``; needs PyTorch), or weights of the Larq Zoo (``.h5``).
        model: Name of the network, such as ``"MeliusNet22"``.
        stem: The stem of the network in the file; recognized by default.
        input_shape: Height, width and channels of the images; the network's usual ones by default.
        format: ``"bmxnet"``, ``"bitorch"`` or ``"larq_zoo"``; recognized by the file's content by default.

    Returns:
        The network, which computes what the file's own project computes. ResNetE and Bi-Real-Net of the authors and of
        BITorch keep their padding of -1: their weights do not fit the zoo's networks, and LCE does not run them.

    Raises:
        ImportError: If the format needs a package that is not installed.
        OSError: If the file cannot be read.
        ValueError: If the format is unknown, the file does not fit, or a weight is not finite.

    Example:
        >>> network = import_weights("meliusnet22.pth", "MeliusNet22")  # doctest: +SKIP
    """
    found = recognize_format(source) if format is None else format
    options: dict[str, Any] = {"stem": stem} if input_shape is None else {"stem": stem, "input_shape": input_shape}
    network = _import(found, source, model, options)
    # The importers check the file's numbers, which float32 may not be able to hold.
    with naming_file(source):
        for variable in network.weights:
            check_finite(variable.numpy(), variable.name)
    return network


def _import(found: str, source: str | os.PathLike[str], model: str, options: dict[str, Any]) -> tf.keras.Model:
    if found == "bmxnet":
        from larq_melius.converters.importers.bmxnet import bmxnet_to_keras

        return bmxnet_to_keras(source, model, **options)
    if found == "bitorch":
        from larq_melius.converters.importers.bitorch import bitorch_to_keras

        return bitorch_to_keras(source, model, **options)
    if found == "larq_zoo":
        from larq_melius.converters.importers.larq_zoo import larq_zoo_to_keras

        return larq_zoo_to_keras(source, model, **options)
    raise ValueError(f"Unknown format {found!r}; choose one of {list(FORMATS)}.")


def recognize_format(source: str | os.PathLike[str]) -> str:
    """Recognizes the format of a weight file by its first bytes.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is none of ``FORMATS``.
    """
    with Path(source).open("rb") as file:
        beginning = file.read(512)
    for name, signature in _BEGINNINGS.items():
        if beginning.startswith(signature):
            return name
    if beginning.startswith(_ZIP) and _first_member(beginning).endswith(b"/data.pkl"):
        return "bitorch"
    raise ValueError(
        f"{source} is not a weight file of BMXNet-v2 (.params), BITorch (.pth, .ckpt) or the Larq Zoo (.h5): its first "
        "bytes match none of them. Files of this package and of Keras need no import: pass them as weights=."
    )


def _first_member(archive: bytes) -> bytes:
    """The name of the first file in a zip archive, which tells PyTorch's from ``.npz`` and ``.keras``."""
    length = int.from_bytes(archive[26:28], "little")
    return archive[30 : 30 + length]
