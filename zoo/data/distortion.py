"""Small random distortions of digits."""

import math
from typing import Any

import tensorflow as tf

#: Largest rotation to either side.
DEGREES = 12.0
#: Largest relative change of each side's length.
ZOOM = 0.1
#: Largest horizontal shift of a row, relative to its distance from the center.
SHEAR = 0.1
#: Largest shift along each axis, in pixels.
SHIFT = 0.8


def distort(images: Any, seed: Any) -> tf.Tensor:
    """Rotates, zooms, shears and shifts each image about its center by random amounts of its own.

    The ranges were chosen on the validation split.

    Args:
        images: Pixels, ``(batch, height, width, channels)``; pixels from outside the image are 0.
        seed: Two integers; the same seed gives the same result.

    Returns:
        float32 images, ``(batch, height, width, channels)``, interpolated bilinearly.
    """
    images = tf.cast(images, tf.float32)
    count, height, width = tf.unstack(tf.shape(images)[:3])
    draws = tf.random.stateless_uniform((6, count), seed, -1.0, 1.0)
    angle = draws[0] * math.radians(DEGREES)
    zoom_x, zoom_y = 1 + ZOOM * draws[1], 1 + ZOOM * draws[2]
    slant = SHEAR * draws[3]
    # The op maps an output point (x, y) to the input point (a x + b y + c, d x + e y + f).
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = cos * zoom_x, (cos * slant - sin) * zoom_y
    d, e = sin * zoom_x, (sin * slant + cos) * zoom_y
    center_x, center_y = tf.cast(width - 1, tf.float32) / 2, tf.cast(height - 1, tf.float32) / 2
    c = center_x - a * center_x - b * center_y + SHIFT * draws[4]
    f = center_y - d * center_x - e * center_y + SHIFT * draws[5]
    zero = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, c, d, e, f, zero, zero], axis=1),
        output_shape=tf.stack([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
