"""Checks that the readers of all weight files share, and errors that name the file."""

import contextlib
import os
import zipfile
from collections.abc import Iterator, Sequence

import numpy as np

#: What Keras, and MXNet and PyTorch in short, call a variance.
_VARIANCES = ("moving_variance", "running_var")


@contextlib.contextmanager
def naming_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts a file's path in front of the message of any ``ValueError`` that is raised while the file is read."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def check_finite(array: np.ndarray, name: str) -> np.ndarray:
    """Returns the array; a ``ValueError`` names it if it is no weight: not finite, or a negative variance."""
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    if name.removesuffix(":0").endswith(_VARIANCES) and array.size and array.min() < 0:
        raise ValueError(f"{name} holds a negative variance")
    return array


def read_member(archive: zipfile.ZipFile, member: str | zipfile.ZipInfo, most: int) -> bytes:
    """Reads a file of a zip archive that nobody vouches for.

    Args:
        archive: The archive.
        member: The file, or its name.
        most: Bytes that it may have. No more are decompressed, whatever the archive claims.

    Raises:
        KeyError: If there is no such file.
        ValueError: If it claims more, or is compressed in a way that can take any memory.
        zipfile.BadZipFile: If its checksum is wrong.
    """
    info = archive.getinfo(member) if isinstance(member, str) else member
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is compressed in an unusual way")
    if info.file_size > most:
        raise ValueError(f"{info.filename} claims {info.file_size:,} bytes, more than {most:,}")
    with archive.open(info) as file:
        # Without a number, all that the compressed data holds is decompressed before it is cut to its claimed size.
        return file.read(info.file_size + 1)


def abridge(names: Sequence[str]) -> str:
    """The first of one or more names, and how many follow: ``"output.bias and 2 more"``."""
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]


def first_line(error: Exception) -> str:
    """The first line of what an error says, or its kind if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
