"""Reads image files into arrays of the size and colors a network wants."""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from larq_melius.preprocessing import Preprocessing

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}
_MODES = {1: "L", 3: "RGB"}


def load_image(
    image: str | os.PathLike[str] | BinaryIO, shape: tuple[int, int, int], preprocessing: Preprocessing
) -> np.ndarray:
    """Reads an image file, crops it and resizes it for a network.

    EXIF orientation is applied, and transparent parts become white. The center of the image is cropped in the aspect
    ratio of ``shape`` and resized; it is not normalized yet.

    Args:
        image: Path of a file in a format that Pillow reads (JPEG, PNG, WebP, GIF, BMP, TIFF and others), or such a file
            opened for reading in binary mode.
        shape: Height, width and number of channels (1 for gray, 3 for RGB) of the result.
        preprocessing: Crop and interpolation.

    Returns:
        A uint8 array of ``shape``.

    Raises:
        OSError: If the file cannot be opened, or is not an image that can be read.
        ValueError: If ``shape`` has neither 1 nor 3 channels.
    """
    height, width, channels = shape
    name = getattr(image, "name", "The image") if hasattr(image, "read") else Path(image)
    if channels not in _MODES:
        raise ValueError(f"Images have 1 or 3 channels, but the network wants {channels}.")
    try:
        with Image.open(image) as file:
            decoded = _on_white(_to_8_bits(ImageOps.exif_transpose(file))).convert(_MODES[channels])
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise OSError(f"{name} is not an image that can be read: {error}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"Cannot read the image {name}: {reason}") from error
    box = _central_box(decoded.size, width / height, preprocessing.crop_fraction)
    resized = decoded.resize((width, height), _RESAMPLING[preprocessing.interpolation], box=box)
    return np.asarray(resized, "uint8").reshape(shape)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scales 16-bit gray, which Pillow would clip at 255, to 8 bits."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image.convert("I")).clip(0, 65535) // 257).astype("uint8"))


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _central_box(size: tuple[int, int], aspect: float, fraction: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the central part of ``size`` (width, height), in pixels."""
    width, height = size
    crop_width = min(width, height * aspect) * fraction
    crop_height = crop_width / aspect
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    return left, top, left + crop_width, top + crop_height
