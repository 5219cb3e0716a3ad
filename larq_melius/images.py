"""Reads image files into arrays of the size and colors a network wants."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from larq_melius.preprocessing import Preprocessing

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}
_MODES = {1: "L", 3: "RGB"}


def load_image(path: str | os.PathLike[str], shape: tuple[int, int, int], preprocessing: Preprocessing) -> np.ndarray:
    """Reads an image file and crops and resizes it for a network.

    The image is turned as its EXIF data says, laid on white where it is transparent, cut to the central part that
    ``preprocessing`` names in the aspect ratio of ``shape``, and resized. It is not normalized yet.

    Args:
        path: A file in any format that Pillow reads: JPEG, PNG, WebP, GIF, BMP, TIFF…
        shape: Height, width and number of channels (1 for gray, 3 for RGB) of the result.
        preprocessing: Crop and interpolation.

    Returns:
        A uint8 array of ``shape``.

    Raises:
        OSError: If the file cannot be opened, or is not an image that can be read.
        ValueError: If ``shape`` has neither 1 nor 3 channels.
    """
    height, width, channels = shape
    if channels not in _MODES:
        raise ValueError(f"Images have 1 or 3 channels, but the network wants {channels}.")
    try:
        with Image.open(path) as file:
            image = _on_white(_to_8_bits(ImageOps.exif_transpose(file))).convert(_MODES[channels])
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise OSError(f"{Path(path)} is not an image that can be read: {error}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"Cannot read the image {Path(path)}: {reason}") from error
    box = _central_box(image.size, width / height, preprocessing.crop_fraction)
    resized = image.resize((width, height), _RESAMPLING[preprocessing.interpolation], box=box)
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
