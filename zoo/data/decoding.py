"""From encoded bytes to the pixels of a part of an image."""

import tensorflow as tf

from larq_melius.preprocessing import Preprocessing

_METHODS = {"bilinear": "bilinear", "bicubic": "bicubic", "box": "area"}


def image_size(record: tf.Tensor) -> tf.Tensor:
    """Height and width of an example, encoded or not; only the header of a JPEG is read for that."""
    if record.dtype != tf.string:
        return tf.shape(record)[:2]
    return tf.cond(
        tf.io.is_jpeg(record),
        lambda: tf.io.extract_jpeg_shape(record)[:2],
        lambda: tf.shape(_decode(record, 3))[:2],
    )


def crop(record: tf.Tensor, begin: tf.Tensor, size: tf.Tensor, channels: int) -> tf.Tensor:
    """A window of an image; of a JPEG, no more than the window is decoded.

    Args:
        record: Encoded bytes, or pixels.
        begin: Row and column of the window's first pixel.
        size: Height and width of the window.
        channels: 1 for grey, 3 for RGB.

    Returns:
        uint8 pixels ``(height, width, channels)``.
    """
    if record.dtype != tf.string:
        return _window(record, begin, size)
    return tf.cond(
        tf.io.is_jpeg(record),
        lambda: tf.io.decode_and_crop_jpeg(record, tf.concat([begin, size], 0), channels=channels),
        lambda: _window(_decode(record, channels), begin, size),
    )


def resize(image: tf.Tensor, shape: tuple[int, int, int], preprocessing: Preprocessing) -> tf.Tensor:
    """Resizes an image as ``larq_melius.images`` does, to float32 pixels of 0 to 255 with the given shape."""
    method = _METHODS[preprocessing.interpolation]
    # Without anti-aliasing, small images of large ones depend on single pixels.
    resized = tf.image.resize(image, shape[:2], method=method, antialias=method != "area")
    return tf.ensure_shape(tf.clip_by_value(resized, 0.0, 255.0), shape)


def central_crop(record: tf.Tensor, shape: tuple[int, int, int], preprocessing: Preprocessing) -> tf.Tensor:
    """The central part of an image in the aspect ratio of ``shape``, as networks are evaluated on."""
    height, width = tf.unstack(tf.cast(image_size(record), tf.float32))
    aspect = shape[1] / shape[0]
    crop_width = tf.minimum(width, height * aspect) * preprocessing.crop_fraction
    crop_height = crop_width / aspect
    size = tf.cast(tf.maximum(tf.round([crop_height, crop_width]), 1.0), tf.int32)
    begin = (image_size(record) - size) // 2
    return resize(crop(record, begin, size, shape[2]), shape, preprocessing)


def _decode(record: tf.Tensor, channels: int) -> tf.Tensor:
    return tf.io.decode_image(record, channels=channels, expand_animations=False)


def _window(image: tf.Tensor, begin: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return tf.slice(image, tf.concat([begin, [0]], 0), tf.concat([size, [-1]], 0))
