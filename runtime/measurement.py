"""Measures how long networks take to open and to run, and how much memory that takes."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from larq_melius.runtime.interpreter import Interpreter, Runtime

# Run by a process of its own for each network: memory that was used once shows for as long as a process lives.
_OPENING = """
import json, sys, time
import numpy as np
from larq_melius.runtime import Interpreter
from larq_melius.runtime.measurement import peak_memory, random_inputs
path, threads, runtime = sys.argv[1:]
if runtime == "lce":
    import larq_compute_engine.tflite.python.interpreter
else:
    import ai_edge_litert.interpreter
before = peak_memory()
start = time.perf_counter()
interpreter = Interpreter(path, int(threads), runtime=runtime)
seconds = time.perf_counter() - start
interpreter.predict(random_inputs(interpreter))
print(json.dumps({"seconds": seconds, "bytes": peak_memory() - before}))
"""


@dataclass(frozen=True)
class Measurement:
    """What one network costs.

    Attributes:
        name: The network, as the caller calls it.
        runtime: What ran it; see ``Interpreter``, and for phones ``larq_melius.zoo.devices.results.ModelResult``.
        threads: Threads it was given.
        bytes: Size of the file.
        claimed_operators: Operators of Larq Compute Engine's that the delegate ran.
        open_seconds: From the file to a network ready to run, without importing the runtime; ``None`` if unknown.
        memory_bytes: By how much opening it and running it raised the process's peak of memory; ``None`` if unknown.
        seconds: Of each run, in the order in which they were measured.
    """

    name: str
    runtime: str
    threads: int
    bytes: int
    claimed_operators: int
    open_seconds: float | None
    memory_bytes: int | None
    seconds: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """The seconds that a share of the runs did not exceed: 0 gives the minimum, 0.5 the median."""
        return float(np.quantile(self.seconds, share))


def measure(
    files: dict[str, Path],
    *,
    threads: int = 1,
    runtime: Runtime = "auto",
    warmup: int = 3,
    runs: int = 30,
    progress: Callable[[Sequence[int]], Any] = lambda rounds: rounds,
) -> list[Measurement]:
    """Measures networks side by side: they take turns, so that what else the machine does meets all alike.

    Args:
        files: Networks by the names to report them under.
        threads: Threads for each.
        runtime: What runs them; see ``Interpreter``.
        warmup: Rounds that are not measured.
        runs: Rounds that are.
        progress: Wraps the rounds, as ``tqdm`` does.

    Raises:
        ImportError, OSError, ValueError: As ``Interpreter`` does.
    """
    interpreters = {name: Interpreter(path, threads, runtime=runtime) for name, path in files.items()}
    inputs = {name: random_inputs(interpreter) for name, interpreter in interpreters.items()}
    seconds: dict[str, list[float]] = {name: [] for name in files}
    for round_ in progress(range(-warmup, runs)):
        for name, interpreter in interpreters.items():
            start = time.perf_counter()
            interpreter.predict(inputs[name])
            if round_ >= 0:
                seconds[name].append(time.perf_counter() - start)
    measurements = []
    for name, path in files.items():
        opening = _open_in_a_process(path, threads, interpreters[name].runtime)
        measurements.append(
            Measurement(
                name=name,
                runtime=interpreters[name].runtime,
                threads=threads,
                bytes=path.stat().st_size,
                claimed_operators=interpreters[name].claimed_operators,
                open_seconds=opening["seconds"],
                memory_bytes=opening["bytes"],
                seconds=tuple(seconds[name]),
            )
        )
    return measurements


def random_inputs(interpreter: Interpreter) -> list[np.ndarray]:
    """One sample for each input: normal numbers, or whole ones of the input's type."""
    rng = np.random.default_rng(0)
    return [
        rng.normal(size=info.shape).astype(info.dtype)
        if info.dtype.kind == "f"
        else rng.integers(0, 2 if info.dtype.kind == "b" else 128, info.shape).astype(info.dtype)
        for info in interpreter.inputs
    ]


def peak_memory() -> int:
    """The most memory, in bytes, that this process has had in RAM so far."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux; what getrusage gives there starts with the peak of the parent process.
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def profile(path: Path, *, threads: int = 1, runs: int = 30) -> str:
    """The delegate's plan of a network, one instruction a line, each with the least time it took in any run.

    LiteRT's Python interface tells nothing about the operators that the delegate leaves to it.

    Raises:
        ImportError, OSError, ValueError: As ``Interpreter`` does.
    """
    Interpreter(path, threads, runtime="delegate")  # raises here what the process would only print
    program = (
        "import sys\n"
        "from larq_melius.runtime import Interpreter\n"
        "from larq_melius.runtime.measurement import random_inputs\n"
        "interpreter = Interpreter(sys.argv[1], int(sys.argv[2]), runtime='delegate', profile=True)\n"
        "for _ in range(int(sys.argv[3])): interpreter.predict(random_inputs(interpreter))\n"
    )
    return _run(program, str(path.absolute()), str(threads), str(runs)).stderr


def _open_in_a_process(path: Path, threads: int, runtime: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(_run(_OPENING, str(path.absolute()), str(threads), runtime).stdout)
    return result


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # In an empty folder: a folder larq_melius in the current one would be imported in the place of the package.
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", program, *arguments]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = result.stderr.strip().splitlines() or ["it ended without a word"]
        raise RuntimeError(f"A process that measures failed: {reason[-1]}")
    return result
