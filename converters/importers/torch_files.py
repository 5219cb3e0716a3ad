"""Reads the tensors of PyTorch's files. Needs PyTorch, which is imported on use, and nothing of this package."""

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

#: Where a checkpoint of PyTorch Lightning keeps its tensors, and where BITorch's first examples did.
_STATE_DICTS = ("state_dict", "model")


def read_state(source: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch file by name, without running any code that the file may hold.

    Args:
        source: What ``torch.save`` wrote: a state dict, or a checkpoint with a state dict under ``"state_dict"`` (as
            PyTorch Lightning's ``.ckpt``) or ``"model"``.

    Returns:
        The tensors in their own shapes and types, except that bfloat16, which NumPy lacks, becomes float32.

    Raises:
        ImportError: If PyTorch is not installed.
        OSError: If the file cannot be read.
        ValueError: If the file is damaged, holds no state dict, or holds what only code can restore.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("Reading a PyTorch file needs PyTorch: pip install 'larq-melius[torch]'.") from error
    with open(source, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _check_archive(file)
            content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # PyTorch documents none: a damaged file can raise anything
            raise ValueError(_reason(source, error)) from error
    state = _state_dict(content)
    if not state or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise ValueError(f"{source} holds no state dict: save one with torch.save(model.state_dict(), path).")
    return {str(name): _array(torch, tensor) for name, tensor in state.items()}


def _check_archive(file: BinaryIO) -> None:
    """Checks the checksums of what PyTorch 1.6 and later write, which PyTorch itself does not."""
    if zipfile.is_zipfile(file):
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            claimed = sum(member.file_size for member in members)
            # As PyTorch writes them; other methods of compression can take any memory.
            if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
                raise ValueError("it is compressed in an unusual way")
            if claimed > 4 * file.seek(0, os.SEEK_END) + (1 << 20):
                raise ValueError(f"it claims to hold {claimed:,} bytes")
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {damaged} is wrong")
    file.seek(0)


def _reason(source: str | os.PathLike[str], error: Exception) -> str:
    # PyTorch's own message advises to let the file run its code, so it is not passed on.
    unpickling = isinstance(error, pickle.UnpicklingError)
    if not unpickling or "Unsupported operand" in str(error):
        details = "" if unpickling else f": {(str(error).splitlines() or [type(error).__name__])[0]}"
        return f"{source} is not a PyTorch file, or it is damaged{details}"
    asked = re.search(r"GLOBAL (\S+)", str(error))
    return (
        f"{source} is refused: it holds more than tensors and plain values"
        + (f" ({asked[1]})" if asked else "")
        + ", and restoring that can run any code. If you trust the file, load it with PyTorch and save its state dict "
        "alone: torch.save(model.state_dict(), path)."
    )


def _state_dict(content: Any) -> Mapping[Any, Any]:
    if not isinstance(content, Mapping):
        return {}
    nested = [content[key] for key in _STATE_DICTS if isinstance(content.get(key), Mapping)]
    return nested[0] if nested else content


def _array(torch: Any, tensor: Any) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
