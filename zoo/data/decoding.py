"""Decodes, crops and resizes images.

An image here is either the bytes of a JPEG, which can be decoded in part, or the decoded uint8 pixels of any other
format, ``(height, width, channels)``.
"""

from collections.abc import Callable

import tensorflow as tf

from larq_melius.preprocessing import Preprocessing

#: TensorFlow's names of Pillow's filters, and their radius in pixels of the smaller of the two images.
_KERNELS = {"bilinear": ("triangle", 1.0), "bicubic": ("keyscubic", 2.0), "box": ("box", 0.5)}
#: The accurate transform, as in Pillow and OpenCV; TensorFlow's default differs by one in many pixels.
_DCT = "INTEGER_ACCURATE"


def with_image(record: tf.Tensor, channels: int, function: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Calls ``function`` with the image in ``record``: the bytes of a JPEG, or the decoded pixels of another format.

    Args:
        record: Encoded bytes of any format that TensorFlow reads, or pixels. File names do not matter: ImageNet has a
            PNG file named JPEG.
        channels: 1 for grayscale, 3 for RGB.
        function: Returns the same type and shape for both.
    """
    if record.dtype != tf.string:
        return function(record)
    return tf.cond(
        tf.io.is_jpeg(record),
        lambda: function(record),
        lambda: function(tf.io.decode_image(record, channels=channels, expand_animations=False)),
    )


def image_size(image: tf.Tensor) -> tf.Tensor:
    """Height and width, int32 ``(2,)``; of a JPEG, only the header is read."""
    return tf.io.extract_jpeg_shape(image)[:2] if image.dtype == tf.string else tf.shape(image)[:2]


def crop(image: tf.Tensor, begin: tf.Tensor, size: tf.Tensor, channels: int) -> tf.Tensor:
    """Crops a window out of an image; of a JPEG, only the window is decoded.

    Args:
        image: Bytes of a JPEG, or pixels.
        begin: Row and column of the window's first pixel, int32 ``(2,)``.
        size: Height and width of the window, int32 ``(2,)``.
        channels: 1 for grayscale, 3 for RGB.

    Returns:
        uint8 pixels ``(height, width, channels)``.
    """
    if image.dtype != tf.string:
        return tf.slice(image, tf.concat([begin, [0]], 0), tf.concat([size, [-1]], 0))
    window = tf.concat([begin, size], 0)
    return tf.io.decode_and_crop_jpeg(image, window, channels=channels, dct_method=_DCT)


def resize(
    pixels: tf.Tensor, begin: tf.Tensor, size: tf.Tensor, shape: tuple[int, int, int], preprocessing: Preprocessing
) -> tf.Tensor:
    """Resizes a part of an image with Pillow's filters, as ``larq_melius.images`` does.

    Args:
        pixels: ``(height, width, channels)``.
        begin: Top and left edge of the part, float32 ``(2,)``: it may start between pixels.
        size: Height and width of the part, float32 ``(2,)``.
        shape: Height, width and channels of the result.
        preprocessing: Interpolation.

    Returns:
        float32 pixels from 0 to 255 in ``shape``.
    """
    scale = tf.constant(shape[:2], tf.float32) / size
    kernel, _ = _KERNELS[preprocessing.interpolation]
    # tf.image.resize calls this op, too, but cannot take a part.
    resized = tf.raw_ops.ScaleAndTranslate(
        images=pixels[tf.newaxis],
        size=shape[:2],
        scale=scale,
        translation=-begin * scale,
        kernel_type=kernel,
        # Otherwise, images that shrink would depend on single pixels.
        antialias=True,
    )
    return tf.ensure_shape(tf.clip_by_value(resized[0], 0.0, 255.0), shape)


def central_crop(image: tf.Tensor, shape: tuple[int, int, int], preprocessing: Preprocessing) -> tf.Tensor:
    """Crops the center in the aspect ratio of ``shape`` and resizes it, as for evaluation (paper, section 4.1).

    Args:
        image: Bytes of a JPEG, or pixels.
        shape: Height, width and channels of the result.
        preprocessing: Crop and interpolation.

    Returns:
        float32 pixels of 0 to 255 in ``shape``.
    """
    if image.dtype == tf.string or preprocessing.crop_fraction != 1.0:
        return _central_part(image, shape, preprocessing)
    # Small images mostly have the right size already, and resizing would be most of the work.
    if image.shape.is_fully_defined():
        return tf.cast(image, tf.float32) if image.shape == shape else _central_part(image, shape, preprocessing)
    return tf.cond(
        tf.reduce_all(image_size(image) == shape[:2]),
        lambda: tf.ensure_shape(tf.cast(image, tf.float32), shape),
        lambda: _central_part(image, shape, preprocessing),
    )


def _central_part(image: tf.Tensor, shape: tuple[int, int, int], preprocessing: Preprocessing) -> tf.Tensor:
    whole = tf.cast(image_size(image), tf.float32)
    aspect = shape[1] / shape[0]
    width = tf.minimum(whole[1], whole[0] * aspect) * preprocessing.crop_fraction
    size = tf.stack([width / aspect, width])
    begin = (whole - size) / 2
    # Pillow's filters also read pixels around the part, within their radius.
    _, reach = _KERNELS[preprocessing.interpolation]
    margin = tf.math.ceil(reach * tf.maximum(size / tf.constant(shape[:2], tf.float32), 1.0))
    first = tf.maximum(tf.floor(begin) - margin, 0.0)
    last = tf.minimum(tf.math.ceil(begin + size) + margin, whole)
    window = crop(image, tf.cast(first, tf.int32), tf.cast(last - first, tf.int32), shape[2])
    return resize(window, begin - first, size, shape, preprocessing)
