"""From encoded bytes to the pixels of a part of an image.

What is called an image here is either the bytes of a JPEG, of which a part can be decoded by itself, or the uint8
pixels, ``(height, width, channels)``, of any other.
"""

from collections.abc import Callable

import tensorflow as tf

from larq_melius.preprocessing import Preprocessing

#: TensorFlow's names of Pillow's filters, and how far these reach, in pixels of the smaller of the two images.
_KERNELS = {"bilinear": ("triangle", 1.0), "bicubic": ("keyscubic", 2.0), "box": ("box", 0.5)}
#: The exact transform, as in Pillow and OpenCV; TensorFlow's own choice is off by one in every pixel.
_DCT = "INTEGER_ACCURATE"


def with_image(record: tf.Tensor, channels: int, function: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Calls ``function`` with the image that ``record`` holds: the bytes of a JPEG as they are, pixels otherwise.

    Args:
        record: Encoded bytes of any format that TensorFlow reads, or pixels. Names of files do not matter: ImageNet
            has a PNG that is called JPEG.
        channels: 1 for gray, 3 for RGB.
        function: Gives the same type and shape for both.
    """
    if record.dtype != tf.string:
        return function(record)
    return tf.cond(
        tf.io.is_jpeg(record),
        lambda: function(record),
        lambda: function(tf.io.decode_image(record, channels=channels, expand_animations=False)),
    )


def image_size(image: tf.Tensor) -> tf.Tensor:
    """Height and width, ``(2,)``; of a JPEG, only the header is read for that."""
    return tf.io.extract_jpeg_shape(image)[:2] if image.dtype == tf.string else tf.shape(image)[:2]


def crop(image: tf.Tensor, begin: tf.Tensor, size: tf.Tensor, channels: int) -> tf.Tensor:
    """A window of an image; of a JPEG, no more than the window is decoded.

    Args:
        image: Bytes of a JPEG, or pixels.
        begin: Row and column of the window's first pixel, int32.
        size: Height and width of the window, int32.
        channels: 1 for gray, 3 for RGB.

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
    """Resizes a part of an image, with the filters of Pillow, so as ``larq_melius.images`` does.

    Args:
        pixels: ``(height, width, channels)``.
        begin: Upper and left edge of the part, float32: it need not begin at a whole pixel.
        size: Height and width of the part, float32.
        shape: Height, width and channels of the result.
        preprocessing: Interpolation.

    Returns:
        float32 pixels of 0 to 255 in ``shape``.
    """
    scale = tf.constant(shape[:2], tf.float32) / size
    kernel, _ = _KERNELS[preprocessing.interpolation]
    # What tf.image.resize calls, too, but for the part that it cannot take.
    resized = tf.raw_ops.ScaleAndTranslate(
        images=pixels[tf.newaxis],
        size=shape[:2],
        scale=scale,
        translation=-begin * scale,
        kernel_type=kernel,
        # Without that, small images of large ones depend on single pixels.
        antialias=True,
    )
    return tf.ensure_shape(tf.clip_by_value(resized[0], 0.0, 255.0), shape)


def central_crop(image: tf.Tensor, shape: tuple[int, int, int], preprocessing: Preprocessing) -> tf.Tensor:
    """The central part of an image in the aspect ratio of ``shape``, as networks are evaluated on (paper, section 4.1).

    Args:
        image: Bytes of a JPEG, or pixels.
        shape: Height, width and channels of the result.
        preprocessing: Crop and interpolation.

    Returns:
        float32 pixels of 0 to 255 in ``shape``.
    """
    if image.dtype == tf.string or preprocessing.crop_fraction != 1.0:
        return _central_part(image, shape, preprocessing)
    # Small images mostly are what the network takes, and resizing them to what they are is most of their work.
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
    # Pillow's filters also see pixels around the part, as far as they reach.
    _, reach = _KERNELS[preprocessing.interpolation]
    margin = tf.math.ceil(reach * tf.maximum(size / tf.constant(shape[:2], tf.float32), 1.0))
    first = tf.maximum(tf.floor(begin) - margin, 0.0)
    last = tf.minimum(tf.math.ceil(begin + size) + margin, whole)
    window = crop(image, tf.cast(first, tf.int32), tf.cast(last - first, tf.int32), shape[2])
    return resize(window, begin - first, size, shape, preprocessing)
