"""The delegate's float convolutions and what it runs around them: equal to NumPy, and to the bit however they are run.

Beside NumPy numbers are small and whole, so that no sum is rounded.
"""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lce_models import ModelBuilder, convolve_signs, pack_bits, same_padding

FAST = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
RANGES = {0: (-np.inf, np.inf), 1: (0, np.inf), 2: (-1, 1), 3: (0, 6)}


class Network:
    """Operators one behind the other, each added to the flatbuffer and computed in NumPy."""

    def __init__(self, seed, batch, size, channels):
        self.rng = np.random.default_rng(seed)
        self.builder = ModelBuilder()
        self.x = self.whole(3, (batch, *size, channels))
        self.value = self.x
        self.input = self.tensor = self.builder.tensor([1, *size, channels])
        self.bits = self.signs = None

    def whole(self, most, shape):
        return self.rng.integers(-most, most + 1, shape).astype("f4")

    def add(self, name, constants, value, **options):
        """Adds an operator that reads the last tensor and computes ``value``."""
        inputs = [self.tensor, *(self.builder.constant(constant) for constant in constants)]
        self.tensor = self.builder.tensor([value.shape[0] // len(self.x), *value.shape[1:]])
        self.value = value.astype("f4")
        self.builder.builtin(name, inputs, [self.tensor], **options)

    def conv(self, kernel_shape, groups=1, strides=(1, 1), dilations=(1, 1), same=True, activation=0):
        kernel = self.whole(3, kernel_shape)
        bias = self.whole(9, kernel_shape[0])
        self.kernel, self.bias = kernel, bias
        options = {"strides": strides, "dilations": dilations, "same": same, "groups": groups}
        value = convolve_signs(self.value, kernel, pad_value=0, **options) + bias
        self.add(
            "CONV_2D",
            [kernel, bias],
            np.clip(value, *RANGES[activation]),
            strideH=strides[0],
            strideW=strides[1],
            dilationHFactor=dilations[0],
            dilationWFactor=dilations[1],
            padding=0 if same else 1,
            fusedActivationFunction=activation,
        )

    def pad(self, top, bottom, left, right):
        pads = np.asarray([[0, 0], [top, bottom], [left, right], [0, 0]], "i4")
        self.add("PAD", [pads], np.pad(self.value, pads))

    def affine(self, activation=0):
        channels = self.value.shape[-1]
        multiplier, addend = self.whole(2, channels), self.whole(9, channels)
        self.add("MUL", [multiplier], self.value * multiplier, fusedActivationFunction=0)
        self.add("ADD", [addend], np.clip(self.value + addend, *RANGES[activation]), fusedActivationFunction=activation)

    def pool(self, window, strides, same, activation=0):
        x = self.value
        if same:
            pads = [same_padding(n, w, s) for n, w, s in zip(x.shape[1:3], window, strides, strict=True)]
            x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(x, window, axis=(1, 2))
        value = windows[:, :: strides[0], :: strides[1]].max(axis=(-2, -1))
        options = {"filterHeight": window[0], "filterWidth": window[1], "padding": 0 if same else 1}
        options |= {"strideH": strides[0], "strideW": strides[1], "fusedActivationFunction": activation}
        self.add("MAX_POOL_2D", [], np.clip(value, *RANGES[activation]), **options)

    def shuffle(self, groups):
        """A channel shuffle, as Keras's Reshape and Permute become it."""
        _, height, width, channels = self.value.shape
        steps = self.value.reshape(-1, groups, channels // groups)
        self.add("RESHAPE", [np.asarray([-1, *steps.shape[1:]], "i4")], steps)
        steps = steps.transpose(0, 2, 1)
        self.add("TRANSPOSE", [np.asarray([0, 2, 1], "i4")], steps)
        self.add(
            "RESHAPE",
            [np.asarray([-1, height, width, channels], "i4")],
            steps.reshape(self.x.shape[0], height, width, channels),
        )

    def sign(self):
        """Signs of the last tensor, an output of the network."""
        self.bits = self.builder.tensor([1, *self.value.shape[1:3], -(-self.value.shape[3] // 32)], "int32")
        self.builder.custom("LceQuantize", [self.tensor], [self.bits])
        self.signs = pack_bits(self.value < 0)

    def check(self, instruction_sets, run_delegate):
        """Runs it with a sign, as which the delegate takes it."""
        if self.bits is None:
            self.sign()
        model = self.builder.finish([self.input], [self.tensor, self.bits])
        for isa in instruction_sets:
            for fuse, threads in [(1, 1), (1, 3), (0, 2)]:
                y, packed = run_delegate(model, self.x, resize=True, isa=isa, fuse=fuse, num_threads=threads)
                np.testing.assert_array_equal(y, self.value, err_msg=f"{isa}, fuse {fuse}, {threads} threads")
                np.testing.assert_array_equal(packed, self.signs)
        self.check_rounding(model, instruction_sets, run_delegate)

    def check_rounding(self, model, instruction_sets, run_delegate):
        """On other numbers: the same bits from all instruction sets but the portable one, which rounds more often."""
        x = self.rng.normal(size=self.x.shape).astype("f4")
        expected = None
        for isa in instruction_sets:
            for fuse, threads in [(1, 1), (0, 2)] if isa != "portable" else []:
                outputs = [
                    output.tobytes()
                    for output in run_delegate(model, x, resize=True, isa=isa, fuse=fuse, num_threads=threads)
                ]
                expected = expected or outputs
                assert outputs == expected, f"{isa}, fuse {fuse}, {threads} threads"


@st.composite
def stems(draw):
    """Convolutions of few channels, from an image or in groups, and a max pool."""
    groups = draw(st.sampled_from([1, 2, 3, 4]))
    channels = draw(st.integers(1, 4)) * groups if groups > 1 else draw(st.integers(1, 4))
    filter_size = (draw(st.integers(2, 5)), draw(st.integers(2, 5)))
    dilations = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    same = draw(st.booleans())
    smallest = [1 if same else (k - 1) * d + 1 for k, d in zip(filter_size, dilations, strict=True)]
    size = (smallest[0] + draw(st.integers(0, 12)), smallest[1] + draw(st.integers(0, 40)))
    network = Network(draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 2)), size, channels)
    if draw(st.booleans()):
        network.pad(*(draw(st.integers(0, 2)) for _ in range(4)))
    filters = draw(st.integers(1, 6)) * 4 * groups
    strides = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    activation = draw(st.sampled_from([0, 1, 2, 3]))
    network.conv((filters, *filter_size, channels // groups), groups, strides, dilations, same, activation)
    for _ in range(draw(st.integers(0, 2))):
        stride = draw(st.sampled_from([1, 1, 1, 2]))
        options = {"groups": 4, "strides": (stride, stride), "activation": draw(st.sampled_from([1, 3]))}
        network.conv((draw(st.sampled_from([16, 32])), 3, 3, filters // 4), **options)
        filters = network.value.shape[-1]
        if filters // 4 > 4:
            break
    if draw(st.booleans()):
        if draw(st.booleans()):
            network.affine(draw(st.sampled_from([0, 1])))
        elif draw(st.booleans()):
            network.pad(1, 0, 1, 0)
        window = tuple(draw(st.integers(1, min(3, n))) for n in network.value.shape[1:3])
        strides = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
        network.pool(window, strides, draw(st.booleans()), draw(st.sampled_from([0, 1])))
    return network


@st.composite
def tall_stems(draw):
    """Stems so tall that their instructions take turns, and what reads the rows of their pool as they come."""
    size = (draw(st.integers(20, 70)), draw(st.integers(3, 24)))
    network = Network(draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 2)), size, 3)
    stride = draw(st.integers(1, 2))
    network.conv((draw(st.sampled_from([8, 16, 32])), draw(st.integers(2, 4)), 3, 3), strides=(stride, 1))
    for _ in range(draw(st.integers(1, 3))):
        filters = network.value.shape[-1]
        groups = draw(st.sampled_from([2, 4]))
        kernel_shape = (draw(st.sampled_from([16, 32])), 3, 3, filters // groups)
        network.conv(kernel_shape, groups, activation=draw(st.integers(0, 1)))
    window = draw(st.integers(1, 3))
    network.pool((window, window), (draw(st.integers(1, 3)), 1), draw(st.booleans()))
    network.sign()
    if draw(st.booleans()):
        network.affine()
    network.pool((draw(st.integers(1, 2)), 1), (2, 1), draw(st.booleans()))
    return network


@st.composite
def transitions(draw):
    """What stands between stages: a batch norm, a max pool, a channel shuffle, a 1x1 convolution."""
    groups = draw(st.sampled_from([1, 1, 2, 4]))
    shuffled = draw(st.sampled_from([1, 2, 4, 8, 16]))
    channels = draw(st.integers(1, 100 // groups)) * 16 * groups if draw(st.booleans()) else 48 * groups * shuffled
    size = (draw(st.integers(1, 9)), draw(st.integers(1, 20)))
    network = Network(draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 2)), size, channels)
    if draw(st.booleans()):
        network.affine(draw(st.sampled_from([0, 1])))
    if draw(st.booleans()):
        network.pool((1, 1), (draw(st.integers(1, 2)), draw(st.integers(1, 2))), same=True, activation=1)
    if shuffled > 1 and channels % shuffled == 0:
        network.shuffle(shuffled)
    filters = draw(st.integers(16, 100)) * groups
    network.conv((filters, 1, 1, channels // groups), groups, activation=draw(st.sampled_from([0, 1, 2, 3])))
    if draw(st.booleans()):
        network.affine()
    return network


@given(network=transitions())
@FAST
def test_transitions(network, instruction_sets, run_delegate):
    network.check(instruction_sets, run_delegate)


@pytest.mark.slow
@given(network=transitions())
@LONG
def test_transitions_at_length(network, instruction_sets, run_delegate):
    network.check(instruction_sets, run_delegate)


def test_shuffle_that_others_read_too(instruction_sets, run_delegate):
    """Then it stays as the file has it."""
    network = Network(1, 1, (3, 5), 64)
    network.shuffle(4)
    shuffled = network.tensor
    network.conv((32, 1, 1, 16), groups=4)
    bits = network.builder.tensor([1, 3, 5, 1], "int32")
    network.builder.custom("LceQuantize", [network.tensor], [bits])
    model = network.builder.finish([network.input], [shuffled, network.tensor, bits])
    expected = network.x.reshape(1, 3, 5, 4, 16).swapaxes(3, 4).reshape(1, 3, 5, 64)
    for isa in instruction_sets:
        for fuse in "01":
            results = run_delegate(model, network.x, isa=isa, fuse=fuse)
            np.testing.assert_array_equal(results[0], expected)
            np.testing.assert_array_equal(results[1], network.value)


@given(network=stems())
@FAST
def test_stems(network, instruction_sets, run_delegate):
    network.check(instruction_sets, run_delegate)


@given(network=tall_stems())
@FAST
def test_tall_stems(network, instruction_sets, run_delegate):
    network.check(instruction_sets, run_delegate)


@pytest.mark.slow
@given(network=tall_stems())
@LONG
def test_tall_stems_at_length(network, instruction_sets, run_delegate):
    network.check(instruction_sets, run_delegate)


def test_rounding(instruction_sets, run_delegate):
    """Of 3x3 convolutions, whose products are of sums: hardly more than where they are not."""
    rng = np.random.default_rng(2)
    network = Network(0, 1, (40, 40), 64)
    network.whole = lambda most, shape: rng.normal(size=shape).astype("f4")
    network.conv((64, 3, 3, 16), groups=4)
    network.sign()
    model = network.builder.finish([network.input], [network.tensor, network.bits])
    x = rng.normal(size=network.x.shape).astype("f4")
    options = {"pad_value": 0, "strides": (1, 1), "dilations": (1, 1), "same": True, "groups": 4}
    exact = convolve_signs(x.astype("f8"), network.kernel.astype("f8"), **options) + network.bias

    def error(**settings):
        y, _ = run_delegate(model, x, **settings)
        return np.sqrt(np.mean((y - exact) ** 2))

    errors = {isa: error(isa=isa) / error(isa=isa, glue=0) for isa in instruction_sets}
    assert all(ratio < 1.5 for ratio in errors.values())


@pytest.mark.slow
@given(network=stems())
@LONG
def test_stems_at_length(network, instruction_sets, run_delegate):
    network.check(instruction_sets, run_delegate)


def test_plan_of_a_stem(run_delegate, capfd):
    """That of MeliusNet: the runtime keeps no map of it."""
    network = Network(0, 1, (32, 40), 3)
    network.pad(1, 0, 1, 0)
    network.conv((16, 3, 3, 3), strides=(2, 2), same=False, activation=1)
    network.conv((16, 3, 3, 4), groups=4, activation=1)
    network.conv((32, 3, 3, 4), groups=4, activation=1)
    network.pad(1, 0, 1, 0)
    network.pool((3, 3), (2, 2), same=False)
    network.check([], run_delegate)
    model = network.builder.finish([network.input], [network.tensor])
    run_delegate(model, network.x, dump=1)
    plan = capfd.readouterr().err
    assert "program: 5 instructions" in plan
    assert re.findall(r"(?:pixels|planes) to (?:pixels|planes)", plan) == [
        "pixels to planes", "planes to planes", "planes to planes", "planes to pixels"
    ]  # fmt: skip


def test_plan_of_a_transition(run_delegate, capfd):
    """The shuffle is a part of the convolution, and the runtime keeps no map."""
    network = Network(0, 1, (4, 6), 128)
    network.affine()
    network.pool((2, 2), (2, 2), same=False, activation=1)
    network.shuffle(16)
    network.conv((64, 1, 1, 32), groups=4)
    network.check([], run_delegate)
    model = network.builder.finish([network.input], [network.tensor])
    run_delegate(model, network.x, dump=1)
    plan = capfd.readouterr().err
    assert "program: 3 instructions" in plan
    assert "shuffled 16" in plan


@pytest.mark.parametrize(
    ("kernel_shape", "groups"),
    [((16, 3, 3, 32), 1), ((8, 1, 1, 32), 1), ((32, 3, 3, 32), 2), ((6, 3, 3, 4), 2), ((8, 13, 3, 3), 1)],
)
def test_other_convolutions_stay_with_the_runtime(kernel_shape, groups, run_delegate, capfd):
    network = Network(0, 1, (9, 9), kernel_shape[3] * groups)
    network.conv(kernel_shape, groups)
    network.check(["portable"], run_delegate)
    model = network.builder.finish([network.input], [network.tensor])
    run_delegate(model, network.x, dump=1)
    assert "conv(" not in capfd.readouterr().err
