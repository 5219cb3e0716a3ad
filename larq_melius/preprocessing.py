"""From pixels to the numbers a network was trained on."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from larq_melius.validation import Items, checked

Interpolation = Literal["bilinear", "bicubic", "box"]


@checked
class Preprocessing:
    """How an image becomes the input of a network.

    Attributes:
        mean: Value subtracted from each channel, on the scale 0 to 255.
        std: Value each channel is divided by afterwards, on the same scale.
        crop_fraction: Side of the central square that is kept, relative to the image's short side.
        interpolation: How the crop is resized: ``"bilinear"``, ``"bicubic"`` or ``"box"`` (averages areas).
    """

    mean: Items[float]
    std: Items[Annotated[float, Field(gt=0)]]
    crop_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    interpolation: Interpolation = "bilinear"

    def normalize(self, images: Any) -> Any:
        """Maps pixels of 0 to 255, ``(..., channels)``, to ``(pixels - mean) / std`` in float32.

        NumPy arrays (and what converts to them) give NumPy arrays, tensors give tensors.
        """
        import tensorflow as tf  # takes seconds, and the registry of weights is read without it

        channels = images.shape[-1] if hasattr(images, "shape") and len(images.shape) else np.shape(images)[-1]
        # A tensor may not know its channels before it runs, as what tf.io.decode_jpeg returns.
        if channels is not None and channels != len(self.mean):
            raise ValueError(f"Expected images with {len(self.mean)} channels in the last axis, got {channels}.")
        mean = np.asarray(self.mean, "float32")
        std = np.asarray(self.std, "float32")
        if tf.is_tensor(images):
            return (tf.cast(images, tf.float32) - mean) / std
        return (np.asarray(images, "float32") - mean) / std

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Preprocessing":
        """The inverse of ``to_dict``, which also takes lists.

        Raises:
            ValueError: If a field is missing or unknown, or a value is wrong.
        """
        return cls(**fields)


#: What the authors' ImageNet networks were trained on: ImageNet's mean and standard deviation, and a center crop
#: of 224 pixels from an image whose short side is 256.
IMAGENET = Preprocessing(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
    crop_fraction=224 / 256,
)


def preprocess_input(x: Any) -> Any:
    """Normalizes RGB images as the ImageNet networks of this zoo expect them (paper, section 4.1).

    Args:
        x: One image or a batch, ``(..., height, width, 3)``, of integers or floats from 0 to 255: a NumPy array or
            a tensor.

    Returns:
        ``(x - mean) / std`` per channel in float32: an array for an array, a tensor for a tensor. ``x`` itself is left
        as it is.

    Raises:
        ValueError: If the last axis does not hold three channels, or ``x`` is not an image or a batch of them.

    Example:
        >>> import numpy as np
        >>> preprocess_input(np.zeros((224, 224, 3), "uint8")).shape
        (224, 224, 3)
    """
    rank = len(x.shape) if hasattr(x, "shape") else np.ndim(x)
    if rank not in (3, 4):
        raise ValueError(f"Expected one image (3 axes) or a batch of images (4 axes), got {rank} axes.")
    return IMAGENET.normalize(x)
