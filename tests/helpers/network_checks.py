"""Checks of a whole network in the delegate, against LCE's interpreter and against itself run in other ways."""

import re
from collections import Counter

import numpy as np

from larq_melius.converters.export.verify import FLIP_TOLERANCE, ROUNDING_TOLERANCE
from larq_melius.converters.tflite.flatbuffer import count_operators, without_softmax
from larq_melius.runtime import make_interpreter

#: The instruction that each of LCE's operators becomes in the delegate's plan.
INSTRUCTIONS = {
    "LceQuantize": "pack",
    "LceDequantize": "unpack",
    "LceBconv2d": "binary_conv",
    "LceBMaxPool2d": "binary_max_pool",
}


def check_network(flatbuffer, run_delegate, capfd, *, samples=4):
    """Equal to LCE's interpreter to float rounding, and to itself to the bit: fused or not, on one thread or more.

    A sign that rounding flips changes a sample by some percent; an error would change every sample.

    Returns:
        The delegate's plan.
    """
    flatbuffer = without_softmax(flatbuffer)
    reference = make_interpreter(flatbuffer)
    x = np.random.default_rng(1).normal(size=(samples, *reference.input_shapes[0][1:])).astype("f4")
    expected = np.reshape(reference.predict(x), (samples, -1))
    unfused, plan = run_with_plan(flatbuffer, x, run_delegate, capfd, fuse="0")
    assert claimed_operators(plan) == lce_operators(flatbuffer)
    fused, plan = run_with_plan(flatbuffer, x, run_delegate, capfd)
    assert claimed_operators(plan)["LceBconv2d"] == lce_operators(flatbuffer)["LceBconv2d"]
    np.testing.assert_array_equal(unfused, fused)
    # Bits do not depend on the number of threads: one sample may speak for all.
    for threads in (2, 3):
        (threaded,) = run_delegate(flatbuffer, x[:1], num_threads=threads)
        np.testing.assert_array_equal(threaded, fused[:1], err_msg=f"{threads} threads")
    check_logits(fused, expected)
    # On all samples, too: then XNNPACK runs the 32-bit operators, whose rounding flips other signs than the delegate's.
    check_logits(_run(flatbuffer, x, run_delegate, glue="0"), expected)
    return plan


def check_logits(actual, expected):
    assert np.isfinite(actual).all()
    differences = relative_differences(actual, expected)
    assert differences.min() < ROUNDING_TOLERANCE
    assert differences.max() < FLIP_TOLERANCE


def relative_differences(actual, expected):
    """Root mean square difference of each sample's logits, over their standard deviation."""
    return np.sqrt(np.mean((actual - expected) ** 2, axis=1)) / expected.std(axis=1)


def run_with_plan(flatbuffer, x, run_delegate, capfd, **options):
    """The outputs, and the plan of one sample."""
    capfd.readouterr()
    run_delegate(flatbuffer, x[:1], dump="1", **options)
    plan = capfd.readouterr().err
    return _run(flatbuffer, x, run_delegate, **options), plan


def _run(flatbuffer, x, run_delegate, **options):
    return np.concatenate([run_delegate(flatbuffer, sample[None], **options)[0] for sample in x])


def claimed_operators(plan):
    """How many of each of LCE's operators the plan of an unfused network runs."""
    ran = Counter(re.findall(r" = (\w+)\(", plan))
    return Counter({operator: ran[name] for operator, name in INSTRUCTIONS.items() if ran[name]})


def lce_operators(flatbuffer):
    return Counter({name: count for name, count in count_operators(flatbuffer).items() if name.startswith("Lce")})
