"""Fused programs: equal to the bit to unfused ones, and to the runtime's own operators around LCE's."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lce_models import ModelBuilder, pack_bits

FAST = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))


class RandomNetwork:
    """A network of the parts that LCE's converter writes for dense and residual networks, in any order."""

    def __init__(self, seed, steps):
        self.rng = np.random.default_rng(seed)
        self.builder = ModelBuilder()
        self.size = tuple(int(n) for n in self.rng.integers(4, 11, 2))
        self.channels = {}
        self.input = self.map(int(self.rng.choice([8, 24, 32, 40])))
        self.maps = [self.input]
        self.outputs = []
        for _ in range(steps):
            step = self.rng.choice(
                [self.dense, self.improve, self.improve_padded, self.residual, self.affine, self.pool, self.shrink]
            )
            self.maps.append(step(self.maps[-1]))
            if self.rng.random() < 0.1:
                self.outputs.append(self.maps[-1])

    def finish(self):
        outputs = [*dict.fromkeys([*self.outputs, self.maps[-1]])]
        return self.builder.finish([self.input], [output for output in outputs if output != self.input])

    def map(self, channels):
        index = self.builder.tensor([1, *self.size, channels])
        self.channels[index] = channels
        return index

    def whole(self, low, high, count):
        """Small whole numbers, so that a batch norm gives exactly zero now and then."""
        return self.builder.constant(self.rng.integers(low, high, count).astype("f4"))

    def scale(self, channels):
        values = self.rng.choice([1.0, -1.0, 0.5, 1 / 3, -0.1, 0.0, -0.0, 3.7], channels)
        return self.builder.constant(values.astype("f4"))

    def arithmetic(self, name, x, other, activation=0):
        y = self.map(self.channels[x])
        inputs = [x, other] if self.rng.random() < 0.8 else [other, x]
        self.builder.builtin(name, inputs, [y], fusedActivationFunction=activation)
        return y

    def batch_norm(self, x, activation=0):
        if self.rng.random() < 0.9:
            x = self.arithmetic("MUL", x, self.scale(self.channels[x]))
        if self.rng.random() < 0.9:
            x = self.arithmetic("ADD", x, self.whole(-9, 9, self.channels[x]), activation)
        return x

    def binary_conv(self, x, filters, *, stride=1):
        """Batch norm, sign and 3x3 convolution; with a stride it is VALID, and its border added before the sign."""
        channels = self.channels[x]
        if stride == 1:
            x = self.batch_norm(x)
        else:
            padding = self.builder.constant(np.asarray([[0, 0], [1, 0], [1, 1], [0, 0]], "i4"))
            value = self.builder.constant(np.asarray(self.rng.choice([1.0, 0.0, -1.0]), "f4"))
            height, width = self.size
            padded = self.builder.tensor([1, height + 1, width + 2, channels])
            self.builder.builtin("PADV2", [x, padding, value], [padded])
            x, self.size = padded, (height + 1, width + 2)
        bits = self.builder.tensor([1, *self.size, -(-channels // 32)], "int32")
        self.builder.custom("LceQuantize", [x], [bits])
        kernel = self.builder.constant(pack_bits(self.rng.random((filters, 3, 3, channels)) < 0.5))
        if stride != 1:
            self.size = tuple((n - 3) // stride + 1 for n in self.size)
        y = self.map(filters)
        keys = ["stride_height", "stride_width"]
        options = {**dict.fromkeys(keys, stride), "padding": int(stride != 1), "channels_in": channels}
        options |= {"dilation_height_factor": 1, "dilation_width_factor": 1}
        options |= {"pad_values": int(self.rng.integers(2)), "fused_activation_function": 0}
        constants = [kernel, self.whole(-2, 3, filters), self.whole(-9, 9, filters), -1]
        self.builder.custom("LceBconv2d", [bits, *constants], [y], options)
        return y

    def concatenate(self, *parts):
        y = self.map(sum(self.channels[part] for part in parts))
        self.builder.builtin("CONCATENATION", parts, [y], axis=int(self.rng.choice([3, -1])))
        return y

    def dense(self, x):
        return self.concatenate(x, self.binary_conv(x, int(self.rng.choice([8, 32]))))

    def improve(self, x):
        y = self.binary_conv(x, 32)
        dense = self.concatenate(x, y)
        return self.concatenate(x, self.arithmetic("ADD", y, self.binary_conv(dense, 32)))

    def improve_padded(self, x):
        """As Larq Zoo writes it: the whole map, and the new channels padded with zeros."""
        dense = self.concatenate(x, self.binary_conv(x, 32))
        y = self.binary_conv(dense, 32)
        pads = self.builder.constant(np.asarray([[0, 0], [0, 0], [0, 0], [self.channels[x], 0]], "i4"))
        padded = self.map(self.channels[dense])
        self.builder.builtin("PAD", [y, pads], [padded])
        return self.arithmetic("ADD", dense, padded)

    def residual(self, x):
        return self.arithmetic("ADD", self.binary_conv(x, self.channels[x]), x, int(self.rng.choice([0, 0, 1])))

    def affine(self, x):
        return self.batch_norm(x, int(self.rng.choice([0, 1, 3])))

    def pool(self, x):
        if self.rng.random() < 0.7:
            x = self.batch_norm(x, int(self.rng.choice([0, 1])))
        if min(self.size) < 3:
            return x
        padding = 1
        if self.rng.random() < 0.5:
            pads = self.builder.constant(np.asarray([[0, 0], [1, 0], [1, 0], [0, 0]], "i4"))
            self.size = tuple(n + 1 for n in self.size)
            padded = self.map(self.channels[x])
            self.builder.builtin("PAD", [x, pads], [padded])
            x = padded
        else:
            padding = int(self.rng.integers(2))
        stride = int(self.rng.integers(1, 3))
        self.size = tuple((n - 2) // stride + 1 if padding else -(-n // stride) for n in self.size)
        y = self.map(self.channels[x])
        options = {"strideW": stride, "strideH": stride, "filterWidth": 2, "filterHeight": 2, "padding": padding}
        self.builder.builtin("MAX_POOL_2D", [x], [y], **options, fusedActivationFunction=int(self.rng.integers(2)))
        return y

    def shrink(self, x):
        return x if min(self.size) < 3 else self.binary_conv(x, self.channels[x], stride=2)


def check_network(seed, steps, batch, instruction_sets, run_delegate):
    network = RandomNetwork(seed, steps)
    if not any(output != network.input for output in [*network.outputs, network.maps[-1]]):
        return
    model = network.finish()
    shape = (batch, *network.builder.graph.tensors[network.input].shape[1:])
    x = np.random.default_rng(seed).integers(-3, 4, shape).astype("f4")
    expected = run_delegate(model, x, resize=True, isa="portable", glue="0")
    for isa in instruction_sets:
        for fuse in "01":
            actual = run_delegate(model, x, resize=True, isa=isa, fuse=fuse, num_threads=2)
            for a, b in zip(actual, expected, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"{isa}, fuse {fuse}")


@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 7), batch=st.integers(1, 2))
@FAST
def test_random_networks(seed, steps, batch, instruction_sets, run_delegate):
    check_network(seed, steps, batch, instruction_sets, run_delegate)


@pytest.mark.slow
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 12), batch=st.integers(1, 2))
@LONG
def test_random_networks_at_length(seed, steps, batch, instruction_sets, run_delegate):
    check_network(seed, steps, batch, instruction_sets, run_delegate)


def test_plan_of_a_dense_stage(run_delegate, capfd):
    network = RandomNetwork(0, 0)
    x = network.improve_padded(network.improve(network.input))
    model = network.builder.finish([network.input], [network.pool(x)])
    run_delegate(model, np.zeros((1, *network.builder.graph.tensors[network.input].shape[1:]), "f4"), dump="1")
    plan = capfd.readouterr().err
    assert plan.count("= binary_conv(") == 4
    # The input is compared for all four at once, what the convolutions make by themselves.
    assert plan.count("= pack(") == plan.count("compared, into map") == 1
    assert plan.count("program:") == 1
    assert "claimed 8 of 8 operators of Larq Compute Engine" in plan
    assert "concatenate(" not in plan
    assert "= add(" not in plan
