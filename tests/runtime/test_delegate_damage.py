"""Damaged models: an exception or a result, whatever is wrong with them, never a crash."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, load_delegate
from lce_models import ModelBuilder, pack_bits

OPTIONS = {
    "stride_height": 1,
    "stride_width": 1,
    "dilation_height_factor": 1,
    "dilation_width_factor": 1,
    "padding": 0,
    "pad_values": 1,
    "channels_in": 64,
    "fused_activation_function": 0,
}
POOL = {"filter_height": 2, "filter_width": 2, "stride_height": 2, "stride_width": 2, "padding": 1}


def stem(rng, builder, x):
    """Float operators that the delegate takes: a grouped and a 1x1 convolution, and a channel shuffle between them."""
    stride = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    maps = [builder.tensor(shape) for shape in ([1, 6, 6, 64], [36, 4, 16], [36, 16, 4], [1, 6, 6, 64], [1, 6, 6, 64])]
    bias = builder.constant(rng.normal(size=64).astype("f4"))
    kernels = [builder.constant(rng.normal(size=(64, n, n, c)).astype("f4")) for n, c in [(3, 4), (1, 32)]]
    builder.builtin("CONV_2D", [x, kernels[0], bias], [maps[0]], padding=0, **stride)
    builder.builtin("RESHAPE", [maps[0], builder.constant(np.asarray([-1, 4, 16], "i4"))], [maps[1]])
    builder.builtin("TRANSPOSE", [maps[1], builder.constant(np.asarray([0, 2, 1], "i4"))], [maps[2]])
    builder.builtin("RESHAPE", [maps[2], builder.constant(np.asarray([-1, 6, 6, 64], "i4"))], [maps[3]])
    builder.builtin("CONV_2D", [maps[3], kernels[1], bias], [maps[4]], padding=0, **stride)
    return maps[4]


def network(rng, options=OPTIONS, pool=POOL):
    """All of LCE's operators, and float operators that the delegate takes with them."""
    builder = ModelBuilder()
    x = builder.tensor([1, 6, 6, 64])
    product, norm, y = (builder.tensor([1, 6, 6, 64]) for _ in range(3))
    bits = builder.tensor([1, 6, 6, 2], "int32")
    channels = builder.constant(rng.normal(size=64).astype("f4"))
    builder.builtin("MUL", [stem(rng, builder, x), channels], [product])
    builder.builtin("ADD", [product, channels], [norm])
    builder.custom("LceQuantize", [norm], [bits])
    filters = builder.constant(pack_bits(rng.random((64, 3, 3, 64)) < 0.5))
    thresholds = builder.constant(rng.integers(200, 300, 64).astype("i4"))
    builder.custom("LceBconv2d", [bits, filters, channels, channels, -1], [y], options)
    wide = builder.tensor([1, 6, 6, 128])
    builder.builtin("CONCATENATION", [x, y], [wide], axis=3)
    bits2, bits3 = (builder.tensor([1, 6, 6, 2], "int32") for _ in range(2))
    builder.custom("LceQuantize", [y], [bits2])
    builder.custom("LceBconv2d", [bits2, filters, -1, -1, thresholds], [bits3], options)
    pooled = builder.tensor([1, 3, 3, 2], "int32")
    builder.custom("LceBMaxPool2d", [bits3], [pooled], pool)
    signs = builder.tensor([1, 3, 3, 64])
    builder.custom("LceDequantize", [pooled], [signs])
    return builder, x, [wide, signs]


def damage(rng):
    """A network with one to three things wrong, and what it would be without."""
    options, pool = dict(OPTIONS), dict(POOL)
    kinds = rng.choice(["option", "bytes", "inputs", "shape", "type", "buffer"], rng.integers(1, 4))
    if "option" in kinds:
        chosen = options if rng.random() < 0.7 else pool
        key = str(rng.choice(list(chosen)))
        if rng.random() < 0.3:
            del chosen[key]
        else:
            chosen[key] = int(rng.choice([-(2**31), -1, 0, 2, 3, 7, 1000, 2**31 - 1, 2**40]))
    builder, x, outputs = network(rng, options, pool)
    graph = builder.graph
    custom = [operator for operator in graph.operators if operator.customOptions is not None]
    ours = [operator for operator in graph.operators if operator.builtinOptions is None]
    inner = [i for i in range(len(graph.tensors)) if i != x and i not in outputs]
    if "bytes" in kinds:
        operator = custom[rng.integers(len(custom))]
        data = np.array(operator.customOptions)
        data[rng.integers(0, len(data), rng.integers(1, 5))] = rng.integers(0, 256)
        operator.customOptions = data[: rng.integers(0, len(data) + 1)] if rng.random() < 0.3 else data
    if "inputs" in kinds:
        operator = ours[rng.integers(len(ours))]
        inputs = np.array(operator.inputs)
        inputs[rng.integers(len(inputs))] = rng.choice([-1, x, *inner])
        operator.inputs = inputs if rng.random() < 0.7 else rng.permutation(inputs)[: rng.integers(1, len(inputs) + 1)]
    if "shape" in kinds:
        tensor = graph.tensors[rng.choice(inner)]
        shape = np.array(tensor.shape)
        shape[rng.integers(len(shape))] = rng.choice([0, 1, 2, 3, 5, 65, 2**31 - 1])
        tensor.shape = shape if rng.random() < 0.8 else shape[:-1]
    if "type" in kinds:
        graph.tensors[rng.choice(inner)].type = int(rng.choice([0, 2, 4, 6, 9]))
    if "buffer" in kinds:
        buffer = builder.model.buffers[rng.integers(1, len(builder.model.buffers))]
        buffer.data = buffer.data[: int(rng.integers(0, len(buffer.data)))]
    return builder.finish([x], outputs)


def run_damaged(seeds, library):
    """How many of the damaged networks ran."""
    delegate = load_delegate(str(library))
    ran = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        try:
            interpreter = Interpreter(model_content=damage(rng), experimental_delegates=[delegate])
            interpreter.allocate_tensors()
            interpreter.set_tensor(0, rng.normal(size=(1, 6, 6, 64)).astype("f4"))
            interpreter.invoke()
        except (RuntimeError, ValueError):
            continue
        ran += 1
    return ran


def test_undamaged_network_runs(run_delegate):
    builder, x, outputs = network(np.random.default_rng(0))
    wide, signs = run_delegate(builder.finish([x], outputs), np.ones((1, 6, 6, 64), "f4"))
    assert wide.shape == (1, 6, 6, 128)
    assert set(np.unique(signs)) == {-1, 1}


def test_damaged_networks(delegate_library):
    assert 0 < run_damaged(range(150), delegate_library) < 75


@pytest.mark.slow
def test_many_damaged_networks(delegate_library):
    run_damaged(range(1000, 5000), delegate_library)
