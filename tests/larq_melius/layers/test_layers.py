"""The package's own layers against NumPy."""

from pathlib import Path
from typing import Any

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

import larq_melius
from larq_melius.layers import ChannelShuffle, ImprovementMerge, SymmetricPadding2D, UnitScale


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def test_channel_shuffle_interleaves_the_groups() -> None:
    channels = np.arange(6, dtype="float32").reshape(1, 1, 1, 6)
    assert ChannelShuffle(2)(channels).numpy().ravel().tolist() == [0, 3, 1, 4, 2, 5]
    assert ChannelShuffle(3)(channels).numpy().ravel().tolist() == [0, 2, 4, 1, 3, 5]


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
def test_channel_shuffle_keeps_pixels_apart(groups: int, static: bool) -> None:
    image = tf.keras.Input((5, 3, 16) if static else (None, None, 16))
    model = tf.keras.Model(image, ChannelShuffle(groups)(image))
    assert model.output_shape == ((None, 5, 3, 16) if static else (None, None, None, 16))
    x = random(2, 5, 3, 16)
    expected = x.reshape(2, 5, 3, groups, 16 // groups).swapaxes(3, 4).reshape(x.shape)
    np.testing.assert_array_equal(model(x), expected)


@pytest.mark.parametrize("groups", [0, -1])
def test_channel_shuffle_refuses_no_groups(groups: int) -> None:
    with pytest.raises(ValueError, match=rf"groups must be at least 1, got {groups}"):
        ChannelShuffle(groups)


@pytest.mark.parametrize("channels", [6, None])
def test_channel_shuffle_refuses_channels_that_do_not_divide(channels: int | None) -> None:
    with pytest.raises(ValueError, match=f"{channels} channels in 4 groups"):
        ChannelShuffle(4)(tf.keras.Input((8, 8, channels)))


def test_improvement_merge_adds_to_the_newest_channels_only() -> None:
    features, new, improvement = (random(2, 3, 4, c) for c in (5, 2, 2))
    merged = ImprovementMerge()([features, new, improvement])
    expected = np.concatenate([features, new], axis=3)
    expected[..., -2:] += improvement
    np.testing.assert_array_equal(merged, expected)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ((5, 2, 3), "improvement has 3 channels, but 2 new ones"),
        ((5, 2), "got 2 inputs"),
        ((5, 2, 2, 2), "got 4 inputs"),
    ],
)
def test_improvement_merge_refuses_what_does_not_fit(channels: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImprovementMerge()([tf.zeros((1, 4, 4, c)) for c in channels])


@pytest.mark.parametrize("window", [1, 3, 5, 7])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 9), (8, 11), (13, 10)])
@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_symmetric_padding_equals_padding_both_sides(
    window: int, height: int, width: int, static: bool, value: float
) -> None:
    x = random(2, height, width, 2)
    kernel = random(window, window, 2, 3)
    border = window // 2
    both_sides = np.pad(x, [(0, 0), (border, border), (border, border), (0, 0)], constant_values=value)

    image = tf.keras.Input((height, width, 2) if static else (None, None, 2))
    padded = tf.keras.Model(image, SymmetricPadding2D(window, value)(image))(x)

    np.testing.assert_allclose(
        tf.nn.conv2d(padded, kernel, 2, "VALID"), tf.nn.conv2d(both_sides, kernel, 2, "VALID"), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_array_equal(
        tf.nn.max_pool2d(padded, window, 2, "VALID"), tf.nn.max_pool2d(both_sides, window, 2, "VALID")
    )


@pytest.mark.parametrize(
    ("window", "size", "expected"),
    [(3, 8, 9), (3, 9, 11), (5, 8, 11), (5, 9, 13), (7, 8, 13), (1, 8, 8), (1, 9, 9), (3, None, None)],
)
def test_symmetric_padding_is_uneven_at_even_sizes(window: int, size: int | None, expected: int | None) -> None:
    # Larq Compute Engine shifts an evenly padded, strided convolution by a pixel.
    assert SymmetricPadding2D(window)(tf.keras.Input((size, size, 4))).shape[1:3] == (expected, expected)


@pytest.mark.parametrize("window", [2, 0, -3])
def test_symmetric_padding_refuses_even_windows(window: int) -> None:
    with pytest.raises(ValueError, match=f"window must be odd and positive, got {window}"):
        SymmetricPadding2D(window)


def test_unit_scale_answers_ones() -> None:
    held = UnitScale()(tf.constant([0.5, -2.0, 1.0], tf.float16))
    assert held.dtype == tf.float16
    assert held.numpy().tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("layer", "own"),
    [
        (ChannelShuffle(4, name="mix"), {"groups": 4}),
        (ImprovementMerge(name="merge"), {}),
        (SymmetricPadding2D(5, value=1.0, name="pad"), {"window": 5, "value": 1.0}),
    ],
)
def test_layers_come_back_from_their_config(layer: tf.keras.layers.Layer, own: dict[str, Any]) -> None:
    serialized = tf.keras.layers.serialize(layer)
    again = tf.keras.layers.deserialize(serialized)
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    assert own.items() <= again.get_config().items()
    assert again.name == layer.name


def test_unit_scale_comes_back_from_its_config() -> None:
    serialized = tf.keras.constraints.serialize(UnitScale())
    assert isinstance(tf.keras.constraints.deserialize(serialized), UnitScale)


def test_only_layers_whose_weights_can_starve_warn(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    network = larq_melius.MeliusNet([1], [], stem="thumbnail", input_shape=(8, 8, 1), classes=3)
    network.save(tmp_path / "net.keras")
    tf.keras.models.load_model(tmp_path / "net.keras", compile=False)
    assert caplog.messages == []
    lq.layers.QuantConv2D(1, 3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
    assert caplog.messages == []
    lq.layers.QuantConv2D(1, 3, kernel_quantizer="ste_sign")
    assert ["`kernel_constraint`" in message for message in caplog.messages] == [True]
    lq.layers.QuantDense(1, kernel_quantizer=lq.quantizers.SteSign(clip_value=1.3))
    assert len(caplog.messages) == 2
