"""LCE's operators in the delegate: equal to the bit to LCE's own interpreter and to a NumPy reference."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from larq_compute_engine.tflite.python.interpreter import Interpreter as LceInterpreter
from lce_models import ModelBuilder, convolve_signs, pack_bits, same_padding, signs

ACTIVATIONS = {0: (-(10**6), 10**6), 1: (0, 10**6), 2: (-1, 1), 3: (0, 6)}
FAST = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=4000, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Conv:
    """A binary convolution: its options, and the seed of its numbers."""

    size: tuple[int, int] = (6, 7)
    channels_in: int = 64
    channels_out: int = 40
    filter_size: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    padding: str = "one"  # or "zero", "valid"
    groups: int = 1
    output: str = "float32"  # or "int8", "int32"
    activation: int = 0
    batch: int = 1
    scale: float = 1.0
    seed: int = 0

    @property
    def extents(self):
        return [(k - 1) * d + 1 for k, d in zip(self.filter_size, self.dilations, strict=True)]

    @property
    def same(self):
        return self.padding != "valid"

    @property
    def terms(self):
        return self.filter_size[0] * self.filter_size[1] * self.channels_in // self.groups

    def numbers(self):
        rng = np.random.default_rng(self.seed)
        x = rng.choice([-1, 1], (self.batch, *self.size, self.channels_in))
        kernel = rng.choice([-1, 1], (self.channels_out, *self.filter_size, self.channels_in // self.groups))
        multiplier = (rng.normal(0, self.scale, self.channels_out)).astype("f4")
        bias = rng.normal(0, self.scale * 10, self.channels_out).astype("f4")
        thresholds = rng.integers(-2, self.terms + 2, self.channels_out).astype("i4")
        return x, kernel, multiplier, bias, thresholds

    def model(self, batch):
        _, kernel, multiplier, bias, thresholds = self.numbers()
        builder = ModelBuilder()
        x = builder.tensor([batch, *self.size, -(-self.channels_in // 32)], "int32")
        constants = [-1, -1, builder.constant(thresholds)]
        if self.output != "int32":
            constants = [builder.constant(multiplier), builder.constant(bias), -1]
        channels = -(-self.channels_out // 32) if self.output == "int32" else self.channels_out
        quantization = {"scale": 0.37, "zero_point": -5} if self.output == "int8" else {}
        y = builder.tensor([batch, *self.out_size, channels], self.output, **quantization)
        options = {
            "stride_height": self.strides[0],
            "stride_width": self.strides[1],
            "dilation_height_factor": self.dilations[0],
            "dilation_width_factor": self.dilations[1],
            "padding": 0 if self.same else 1,
            "pad_values": 1 if self.padding == "one" else 0,
            "channels_in": self.channels_in,
            "fused_activation_function": self.activation,
        }
        builder.custom("LceBconv2d", [x, builder.constant(pack_bits(kernel < 0)), *constants], [y], options)
        return builder.finish([x], [y])

    @property
    def out_size(self):
        if self.same:
            return [-(-n // s) for n, s in zip(self.size, self.strides, strict=True)]
        return [(n - e) // s + 1 for n, e, s in zip(self.size, self.extents, self.strides, strict=True)]

    def expected(self):
        """What LCE defines, in ten lines of NumPy."""
        x, kernel, multiplier, bias, thresholds = self.numbers()
        options = {"strides": self.strides, "dilations": self.dilations, "same": self.same, "groups": self.groups}
        true = convolve_signs(x, kernel, pad_value=0 if self.padding == "zero" else 1, **options)
        if self.output == "int32":
            return pack_bits(self.terms - true > 2 * thresholds.astype("i8"))
        scale, zero_point = (float(np.float32(0.37)), -5) if self.output == "int8" else (1.0, 0.0)
        corrected_later = self.padding == "zero" and self.output == "float32" and self.activation == 0
        start = convolve_signs(x, kernel, pad_value=1, **options) if corrected_later else true
        clamped = np.clip(start, *np.clip(ACTIVATIONS[self.activation], -self.terms, self.terms))
        factor = (-multiplier.astype("f8") / scale).astype("f4")
        offset = ((bias.astype("f8") + self.terms * multiplier.astype("f8")) / scale + zero_point).astype("f4")
        y = (self.terms - clamped).astype("f4") * factor + offset
        if corrected_later:
            y += -multiplier * (start - true).astype("f4")
        return y if self.output == "float32" else np.clip(_round_half_away(y), -128, 127).astype("i8")

    @property
    def lce_flags(self):
        """How LCE's interpreter is made to run it; ``None`` if it cannot run it, or computes something else."""
        if self.padding == "zero":
            if any(e > n for e, n in zip(self.extents, self.size, strict=True)) or self.output == "int32":
                return None  # It leaves its correction out, or crashes.
            if self.output == "int8" or self.activation:
                return {"use_reference_bconv": True} if self.channels_in % 2 == 0 else None
        return {"use_indirect_bgemm": True} if self.groups > 1 else {}


def _round_half_away(y):
    return np.trunc(y + np.copysign(np.float32(0.5), y))


@st.composite
def convs(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    filter_size = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    dilations = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    padding = draw(st.sampled_from(["one", "zero", "valid"]))
    extents = [(k - 1) * d + 1 for k, d in zip(filter_size, dilations, strict=True)]
    smallest = extents if padding == "valid" else (1, 1)
    return Conv(
        size=tuple(draw(st.integers(n, n + 8)) for n in smallest),
        channels_in=draw(st.integers(1, 150)) if groups == 1 else 32 * groups * draw(st.integers(1, 3)),
        channels_out=draw(st.integers(1, 140 // groups)) * groups,
        filter_size=filter_size,
        strides=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        dilations=dilations,
        padding=padding,
        groups=groups,
        output=draw(st.sampled_from(["float32", "float32", "int8", "int32"])),
        activation=draw(st.sampled_from([0, 0, 1, 2, 3])),
        batch=draw(st.integers(1, 3)),
        scale=draw(st.sampled_from([1e-3, 1.0, 1e4])),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def check_conv(conv, instruction_sets, run_delegate):
    x = pack_bits(conv.numbers()[0] < 0)
    expected = conv.expected()
    if conv.lce_flags is not None:
        lce = LceInterpreter(conv.model(batch=1), **conv.lce_flags).predict(x)
        np.testing.assert_array_equal(np.reshape(lce, expected.shape), expected)
    for isa in instruction_sets:
        for threads in (1, 3):
            (y,) = run_delegate(conv.model(batch=1), x, resize=True, isa=isa, num_threads=threads)
            np.testing.assert_array_equal(y, expected, err_msg=f"{isa}, {threads} threads")


@given(conv=convs())
@example(conv=Conv(padding="zero", size=(2, 2)))
@example(conv=Conv(padding="zero", size=(1, 1)))
@example(conv=Conv(channels_in=832, channels_out=64, size=(7, 7)))
@example(conv=Conv(channels_in=96, channels_out=200, filter_size=(1, 1), size=(5, 3)))
@FAST
def test_binary_convolution(conv, instruction_sets, run_delegate):
    check_conv(conv, instruction_sets, run_delegate)


@pytest.mark.slow
@given(conv=convs())
@LONG
def test_binary_convolution_at_length(conv, instruction_sets, run_delegate):
    check_conv(conv, instruction_sets, run_delegate)


def test_binary_convolution_with_more_terms_than_16_bits_count(instruction_sets, run_delegate):
    check_conv(
        Conv(size=(3, 4), channels_in=16384, channels_out=33, filter_size=(3, 2)), instruction_sets, run_delegate
    )


def quantize_model(shape, dtype, zero_point=0):
    builder = ModelBuilder()
    x = builder.tensor(shape, dtype, **({"scale": 0.5, "zero_point": zero_point} if dtype == "int8" else {}))
    y = builder.tensor([*shape[:-1], -(-shape[-1] // 32)], "int32")
    builder.custom("LceQuantize", [x], [y])
    return builder.finish([x], [y])


def dequantize_model(shape, dtype, scale=0.0, zero_point=0):
    builder = ModelBuilder()
    x = builder.tensor([*shape[:-1], -(-shape[-1] // 32)], "int32")
    y = builder.tensor(shape, dtype, scale=scale, zero_point=zero_point)
    builder.custom("LceDequantize", [x], [y])
    return builder.finish([x], [y])


SHAPES = st.lists(st.integers(1, 6), max_size=3).flatmap(
    lambda lead: st.integers(1, 200).map(lambda channels: (1, *lead, channels))
)


@given(
    shape=SHAPES,
    dtype=st.sampled_from(["float32", "int8", "bool"]),
    zero_point=st.integers(-128, 127),
    seed=st.integers(0, 2**32 - 1),
)
@FAST
def test_quantize(shape, dtype, zero_point, seed, instruction_sets, run_delegate):
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        x = rng.normal(size=shape).astype("f4")
        special = np.asarray([0.0, -0.0, 1e-45, -1e-45, np.inf, -np.inf, np.nan], "f4")
        x = np.where(rng.random(shape) < 0.3, rng.choice(special, shape), x)
        expected = pack_bits(x <= -np.finfo("f4").tiny)  # denormals are zeros
    elif dtype == "int8":
        x = rng.integers(-128, 128, shape).astype("i1")
        expected = pack_bits(x < zero_point)
    else:
        x = rng.random(shape) < 0.5
        expected = pack_bits(~x)
    model = quantize_model(shape, dtype, zero_point)
    lce = np.reshape(LceInterpreter(model).predict(x), expected.shape)
    np.testing.assert_array_equal(lce, expected)
    for isa in instruction_sets:
        (y,) = run_delegate(model, x, isa=isa, num_threads=2)
        np.testing.assert_array_equal(y, expected, err_msg=isa)


@given(
    shape=SHAPES,
    dtype=st.sampled_from(["float32", "int8", "bool"]),
    scale=st.sampled_from([0.003, 0.4, 0.67, 1.0, 3.0]),
    zero_point=st.integers(-128, 127),
    seed=st.integers(0, 2**32 - 1),
)
@FAST
def test_dequantize(shape, dtype, scale, zero_point, seed, run_delegate):
    x = pack_bits(np.random.default_rng(seed).random(shape) < 0.5)
    values = signs(x, shape[-1])
    if dtype == "int8":
        one = int(_round_half_away(np.float32(1) / np.float32(scale)))
        expected = np.where(values > 0, min(127, zero_point + one), max(-128, zero_point - one)).astype("i1")
    else:
        expected = values > 0 if dtype == "bool" else values.astype("f4")
    model = dequantize_model(shape, dtype, *((scale, zero_point) if dtype == "int8" else ()))
    np.testing.assert_array_equal(np.reshape(LceInterpreter(model).predict(x), expected.shape), expected)
    (y,) = run_delegate(model, x, num_threads=2)
    np.testing.assert_array_equal(y, expected)


def max_pool_model(size, words, window, strides, same, out_size):
    builder = ModelBuilder()
    x = builder.tensor([1, *size, words], "int32")
    y = builder.tensor([1, *out_size, words], "int32")
    options = {
        "filter_height": window[0],
        "filter_width": window[1],
        "stride_height": strides[0],
        "stride_width": strides[1],
        "padding": 0 if same else 1,
    }
    builder.custom("LceBMaxPool2d", [x], [y], options)
    return builder.finish([x], [y])


@given(
    window=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    extra=st.tuples(st.integers(0, 8), st.integers(0, 8)),
    words=st.integers(1, 4),
    same=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@FAST
def test_binary_max_pool(window, strides, extra, words, same, seed, run_delegate):
    size = tuple(w + e for w, e in zip(window, extra, strict=True))
    x = np.random.default_rng(seed).choice([-1, 1], (1, *size, 32 * words), p=[0.8, 0.2])
    pads = [same_padding(n, w, s) if same else (0, 0) for n, w, s in zip(size, window, strides, strict=True)]
    padded = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(1, 2))
    expected = pack_bits(windows[:, :: strides[0], :: strides[1]].max(axis=(-2, -1)) < 0)
    model = max_pool_model(size, words, window, strides, same, expected.shape[1:3])
    packed = pack_bits(x < 0)
    np.testing.assert_array_equal(np.reshape(LceInterpreter(model).predict(packed), expected.shape), expected)
    (y,) = run_delegate(model, packed, num_threads=2)
    np.testing.assert_array_equal(y, expected)
