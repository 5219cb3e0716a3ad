"""Counts the instructions that the delegate takes on ARM64, and compares them with ``instructions.json``.

    python count_instructions.py LIBRARY EMULATED_PYTHON PLUGIN [--update]

QEMU counts what it emulates, so that the numbers are the same on every computer; they tell nothing about milliseconds.
Fails if a number grew by more than a percent, and with ``--update`` writes what it found.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from lce_models import ModelBuilder, pack_bits
from tabulate import tabulate

from larq_melius.files import write_atomically
from larq_melius.zoo.random_networks import convert_random_network

GATE = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.01

# Runs in the emulated Python: one inference of each network, after two that are not counted.
_GUEST = """
import ctypes, json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate
read = ctypes.CDLL(None).syscall
read(0x4c514d)
read(0x4c514d)
for path, isa in json.load(open(sys.argv[2])):
    delegate = load_delegate(sys.argv[1], {"isa": isa})
    interpreter = Interpreter(model_path=path, experimental_delegates=[delegate], num_threads=1)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        shape, kind = detail["shape"], detail["dtype"]
        numbers = np.random.default_rng(0).normal(size=shape) * (1 if kind == np.float32 else 2**29)
        interpreter.set_tensor(detail["index"], numbers.astype(kind))
    invoke = interpreter._interpreter.Invoke
    invoke(), invoke()
    read(0x4c514d)
    invoke()
    read(0x4c514d)
"""


def binary_convolution(size: int, channels: int, filters: int = 64) -> tuple[bytes, float]:
    """A 3x3 convolution from bits to floats, and its multiplications."""
    rng = np.random.default_rng(0)
    builder = ModelBuilder()
    x = builder.tensor([1, size, size, channels // 32], "int32")
    kernel = builder.constant(pack_bits(rng.random((filters, 3, 3, channels)) < 0.5))
    numbers = builder.constant(rng.normal(size=filters).astype("f4"))
    y = builder.tensor([1, size, size, filters])
    keys = ["stride_height", "stride_width", "dilation_height_factor", "dilation_width_factor", "pad_values"]
    options = {**dict.fromkeys(keys, 1), "padding": 0, "channels_in": channels, "fused_activation_function": 0}
    builder.custom("LceBconv2d", [x, kernel, numbers, numbers, -1], [y], options)
    return builder.finish([x], [y]), size * size * 9 * channels * filters


def signs(size: int, channels: int, *, batch_norm: bool) -> tuple[bytes, float]:
    """The signs of a map, or of its batch normalization, and the number of its values."""
    rng = np.random.default_rng(0)
    builder = ModelBuilder()
    x = y = builder.tensor([1, size, size, channels])
    if batch_norm:
        for name in ("MUL", "ADD"):
            product = builder.tensor([1, size, size, channels])
            builder.builtin(name, [y, builder.constant(rng.normal(size=channels).astype("f4"))], [product])
            y = product
    bits = builder.tensor([1, size, size, channels // 32], "int32")
    builder.custom("LceQuantize", [y], [bits])
    return builder.finish([x], [bits]), size * size * channels


def float_convolution(
    size: int, channels: int, filters: int, *, window: int, groups: int = 1, stride: int = 1
) -> tuple[bytes, float]:
    """A convolution of floats before a sign, as which the delegate takes it, and its multiplications."""
    rng = np.random.default_rng(0)
    builder = ModelBuilder()
    x, y = builder.tensor([1, size * stride, size * stride, channels]), builder.tensor([1, size, size, filters])
    kernel = builder.constant(rng.normal(size=(filters, window, window, channels // groups)).astype("f4"))
    bias = builder.constant(rng.normal(size=filters).astype("f4"))
    options = {"strideW": stride, "strideH": stride, "dilationWFactor": 1, "dilationHFactor": 1, "padding": 0}
    builder.builtin("CONV_2D", [x, kernel, bias], [y], **options, fusedActivationFunction=1)
    bits = builder.tensor([1, size, size, -(-filters // 32)], "int32")
    builder.custom("LceQuantize", [y], [bits])
    return builder.finish([x], [bits]), size * size * window * window * channels // groups * filters


#: What is counted: a name, how the network is made, and the instruction sets.
CASES: list[tuple[str, Callable[[], tuple[bytes, float]], list[str]]] = [
    *(
        (
            f"binary convolution {size}x{size}, {channels} channels to 64, a MAC",
            partial(binary_convolution, size, channels),
            ["neon", "portable"],
        )
        for size, channels in [(56, 128), (28, 256), (14, 320), (7, 512)]
    ),
    ("signs, a value", partial(signs, 56, 256, batch_norm=False), ["neon", "portable"]),
    ("signs of a batch norm, a value", partial(signs, 56, 256, batch_norm=True), ["neon", "portable"]),
    (
        "3x3 convolution of an image, 3 channels to 32, a MAC",
        partial(float_convolution, 112, 3, 32, window=3, stride=2),
        ["neon"],
    ),
    (
        "3x3 convolution in 4 groups, 32 channels to 32, a MAC",
        partial(float_convolution, 112, 32, 32, window=3, groups=4),
        ["neon"],
    ),
    (
        "3x3 convolution in 8 groups, 32 channels to 64, a MAC",
        partial(float_convolution, 112, 32, 64, window=3, groups=8),
        ["neon"],
    ),
    ("1x1 convolution, 320 channels to 160, a MAC", partial(float_convolution, 28, 320, 160, window=1), ["neon"]),
    ("MeliusNet22, an inference, millions", lambda: (convert_random_network("MeliusNet22"), 1e6), ["neon"]),
]


def count(library: Path, python: str, plugin: Path) -> dict[str, float]:
    """Instructions of each case, divided by what its name says."""
    names, amounts, requests = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, make, instruction_sets in CASES:
            model, amount = make()
            path = Path(folder, f"{len(requests)}.tflite")
            path.write_bytes(model)
            for isa in instruction_sets:
                names.append(f"{name}, {isa}")
                amounts.append(amount)
                requests.append((str(path), isa))
        plan = Path(folder, "plan.json")
        plan.write_text(json.dumps(requests))
        result = subprocess.run(
            [python, "-c", _GUEST, str(library), str(plan)],
            env={**os.environ, "QEMU_OPTIONS": f"-plugin {plugin} -d plugin"},
            capture_output=True,
            text=True,
            check=False,
        )
    if result.returncode:
        raise SystemExit(f"The emulated Python failed:\n{result.stderr}")
    lines = [line for line in result.stderr.splitlines() if line.startswith("instructions: ")]
    counts = np.diff([int(line.split()[1]) for line in lines])
    reading, counts = counts[0], counts[2::2]
    return {name: float(n - reading) / amount for name, n, amount in zip(names, counts, amounts, strict=True)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="the delegate for ARM64")
    parser.add_argument("python", help="what runs the emulated Python (install.sh)")
    parser.add_argument("plugin", type=Path, help="count_instructions.c, compiled")
    parser.add_argument("--update", action="store_true", help=f"write {GATE.name}")
    arguments = parser.parse_args()
    found = count(arguments.library.resolve(), arguments.python, arguments.plugin.resolve())
    allowed = json.loads(GATE.read_text()) if GATE.exists() else {}
    rows = [(name, f"{allowed.get(name, float('nan')):.4g}", f"{value:.4g}") for name, value in found.items()]
    print(tabulate(rows, headers=["ARM64 instructions", "stored", "now"], tablefmt="github", disable_numparse=True))
    if arguments.update:
        text = json.dumps({name: float(f"{value:.5g}") for name, value in found.items()}, indent=2) + "\n"
        write_atomically(GATE, text.encode())
        return 0
    if set(allowed) != set(found):
        print(f"{GATE.name} holds other cases: run make arm64-check UPDATE=--update.", file=sys.stderr)
        return 1
    grown = [name for name, value in found.items() if value > allowed[name] * (1 + TOLERANCE)]
    shrunk = [name for name, value in found.items() if value < allowed[name] * (1 - TOLERANCE)]
    for name in grown:
        print(f"More instructions than before: {name}", file=sys.stderr)
    if shrunk:
        print(f"{len(shrunk)} cases take fewer: keep them so with make arm64-check UPDATE=--update.")
    return bool(grown)


if __name__ == "__main__":
    sys.exit(main())
