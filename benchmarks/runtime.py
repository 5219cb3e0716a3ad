"""Milliseconds of the zoo in the delegate, beside LCE's interpreter and MobileNet-v1 in LiteRT, as Markdown.

All networks take turns in one process, so that what else the machine does meets all alike. Prints the tables of
README.md; the ratios of the medians are what to compare.
"""

import csv
import platform
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from ai_edge_litert.interpreter import Interpreter as Litert
from deployment import MOBILENETS, TOP1
from tabulate import tabulate
from tqdm import tqdm

import larq_melius as lm
from larq_melius.files import atomic_file
from larq_melius.runtime import Interpreter, measure
from larq_melius.runtime.measurement import random_inputs
from larq_melius.zoo.random_networks import convert_random_network

ROOT = Path(__file__).parents[1]
#: Networks and the width of the MobileNet-v1 that Table 4 of the paper compares each with.
TABLE_4 = {"MeliusNetC": 0.5, "MeliusNet42": 0.75, "MeliusNet59": 1.0}
#: Binary multiplications and additions a cycle that the instructions allow. AMX: 16384 of bytes every sixteenth cycle.
#: AVX-512 on Zen 4 and Intel's servers: three instructions for 512, two of them a cycle. AVX2 on Zen 3: ten for 768
#: (three look-ups, which are then added and taken apart), four a cycle.
BINARY_MACS = {"amx": 16384 / 16, "avx512": 512 * 2 / 3, "avx2": 768 * 4 / 10}
INSTRUCTION_SETS = ("portable", "avx2", "avx512", "amx", "neon")
#: One round in so many runs LCE's interpreter, too, which takes longer than all else together.
ROUNDS_FOR_LCE = 10


@dataclass
class Runner:
    """A network, ready to run, and the seconds of its runs.

    Attributes:
        run: Runs it once.
        every: In which rounds it runs: 1 for all, 10 for each tenth.
        seconds: One number for each run.
    """

    run: Callable[[], Any]
    every: int = 1
    seconds: list[float] = field(default_factory=list)

    @property
    def milliseconds(self) -> float:
        """The median."""
        return float(np.median(self.seconds)) * 1e3


@dataclass(frozen=True)
class Kernels:
    """What ``kernel_benchmark`` measures.

    Attributes:
        layers: Binary multiplications and additions a cycle, layer by layer, of each instruction set.
        float_macs: Float multiplications and additions a cycle in registers, of each instruction set.
        clock: Cycles a second.
    """

    layers: list[dict[str, Any]]
    float_macs: dict[str, float]
    clock: float


@click.command()
@click.option("--models", default="*", show_default=True, help="Names of networks to measure, as a pattern.")
@click.option("--rounds", type=click.IntRange(min=1), default=60, show_default=True)
@click.option(
    "--networks",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "build/benchmarks",
    help="Folder that keeps the converted networks for the next time.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="CSV file to write.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Figure to write, a PNG or SVG file.")
def main(models: str, rounds: int, networks: Path, output: Path | None, plot: Path | None) -> None:
    """Measure the delegate, LCE's interpreter and MobileNet-v1, and print Markdown tables."""
    names = [name for name in lm.list_models(models) if name != "MeliusNetTiny"]
    files = _convert([*names, *(f"MobileNet-{width}" for width in MOBILENETS)], networks)
    runners: dict[tuple[str, str], Runner] = {}
    for name in names:
        runners[name, "delegate"] = _runner(files[name])
        runners[name, "lce"] = _runner(files[name], every=ROUNDS_FOR_LCE, runtime="lce")
    for width in MOBILENETS:
        runners[f"MobileNet-{width}", "litert"] = _litert_runner(files[f"MobileNet-{width}"])
    if "MeliusNet59" in names:
        runners["MeliusNet59", "two threads"] = _runner(files["MeliusNet59"], threads=2)
    sets = _instruction_sets(files["MeliusNet22"]) if "MeliusNet22" in names else []
    for isa in sets:
        runners["MeliusNet22", isa] = _runner(files["MeliusNet22"], isa=isa)
    _run(runners, rounds)

    rows = [_row(name, runners) for name in names]
    kernels = _kernels(sets)
    click.echo(f"{_processor(kernels)}, one thread, medians of {rounds} rounds.\n")
    _echo(rows, {"top1": ".1f", "delegate_ms": ".1f", "lce_ms": ".0f", "mobilenet_ms": ".1f"})
    fastest = sets[-1] if sets else ""
    pairs = [_pair(name, width, runners, kernels, fastest) for name, width in TABLE_4.items() if name in names]
    _echo(pairs, {"network_ms": ".1f", "mobilenet_ms": ".1f", "ratio": ".2f", "ratio_at_the_limit": ".2f"})
    if kernels:
        _echo(kernels.layers, dict.fromkeys(INSTRUCTION_SETS, ".0f"))
    _echo([{"figure": what, "value": value} for what, value in _single_figures(files, runners, sets)], {})
    if output is not None:
        with output.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if plot is not None:
        _plot(rows, runners, plot)


def _convert(names: list[str], folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.tflite" for name in names}
    missing = [name for name, path in files.items() if not path.exists()]
    for name in tqdm(missing, desc="converting", disable=not missing):
        with atomic_file(files[name]) as file:
            file.write(convert_random_network(name))
    return files


def _runner(path: Path, *, threads: int = 1, every: int = 1, **options: Any) -> Runner:
    interpreter = Interpreter(path, threads, **{"runtime": "delegate", **options})
    inputs = random_inputs(interpreter)
    return Runner(lambda: interpreter.predict(inputs), every)


def _litert_runner(path: Path) -> Runner:
    """LiteRT as it comes, with XNNPACK."""
    interpreter = Litert(str(path), num_threads=1)
    interpreter.allocate_tensors()
    ((taken,), (given,)) = (interpreter.get_input_details(), interpreter.get_output_details())
    image = np.random.default_rng(0).normal(size=taken["shape"]).astype("float32")

    def run() -> None:
        interpreter.set_tensor(taken["index"], image)
        interpreter.invoke()
        interpreter.get_tensor(given["index"])

    return Runner(run)


def _instruction_sets(path: Path) -> list[str]:
    """Those that this processor has, the fastest last."""
    available = []
    for isa in INSTRUCTION_SETS:
        try:
            Interpreter(path, runtime="delegate", isa=isa)
        except ValueError:
            continue
        available.append(isa)
    return available


def _run(runners: dict[tuple[str, str], Runner], rounds: int) -> None:
    for runner in runners.values():
        runner.run()
    for round_ in tqdm(range(rounds), desc="measuring"):
        for runner in runners.values():
            if round_ % runner.every == 0:
                start = time.perf_counter()
                runner.run()
                runner.seconds.append(time.perf_counter() - start)


def _row(name: str, runners: dict[tuple[str, str], Runner]) -> dict[str, Any]:
    """A network beside LCE's interpreter, and beside the MobileNet-v1 of the nearest accuracy."""
    delegate, lce = (runners[name, which].milliseconds for which in ("delegate", "lce"))
    row = {"network": name, "top1": TOP1.get(name), "delegate_ms": delegate, "lce_ms": lce}
    row["times_as_fast"] = round(lce / delegate, 1)
    width = min(MOBILENETS, key=lambda width: abs(MOBILENETS[width] - TOP1.get(name, 0)))
    mobilenet = runners[f"MobileNet-{width}", "litert"].milliseconds
    beside = {"mobilenet_v1": width, "mobilenet_ms": mobilenet, "times_as_long": round(delegate / mobilenet, 2)}
    return row | (beside if name in TOP1 else dict.fromkeys(beside))


def _pair(
    name: str, width: float, runners: dict[tuple[str, str], Runner], kernels: Kernels | None, isa: str
) -> dict[str, Any]:
    network, mobilenet = runners[name, "delegate"].milliseconds, runners[f"MobileNet-{width}", "litert"].milliseconds
    limit = None
    if kernels and isa in BINARY_MACS:
        operations = lm.count_operations(lm.get_model(name, weights=None))
        cycles = operations.binary_macs / BINARY_MACS[isa] + operations.float_macs / kernels.float_macs[isa]
        limit = cycles / kernels.clock * 1e3 / mobilenet
    return {
        "pair": f"{name}, MobileNet-v1 {width}",
        "network_ms": network,
        "mobilenet_ms": mobilenet,
        "ratio": network / mobilenet,
        "ratio_at_the_limit": limit,
    }


def _single_figures(
    files: dict[str, Path], runners: dict[tuple[str, str], Runner], sets: list[str]
) -> list[tuple[str, str]]:
    figures = []
    if ("MeliusNet59", "two threads") in runners:
        one, two = (runners["MeliusNet59", which].milliseconds for which in ("delegate", "two threads"))
        figures.append(("MeliusNet59, two threads, times as fast as one", f"{one / two:.2f}"))
    if sets:
        lce = runners["MeliusNet22", "lce"].milliseconds
        for isa in sets:
            took = runners["MeliusNet22", isa].milliseconds
            figures.append(
                (f"MeliusNet22, {isa}", f"{took:.1f} ms, {lce / took:.1f} times as fast as LCE's interpreter")
            )
        network = {"MeliusNet22": files["MeliusNet22"]}
        for runtime in ("delegate", "lce"):
            several = [measure(network, runtime=runtime, warmup=0, runs=1)[0] for _ in range(5)]
            opening = float(np.median([one.open_seconds for one in several]))
            memory = float(np.median([one.memory_bytes for one in several]))
            what = "the delegate" if runtime == "delegate" else "LCE's interpreter"
            figures.append((f"MeliusNet22, opening, {what}", f"{opening:.3f} s"))
            figures.append((f"MeliusNet22, peak memory, {what}", f"{memory / 2**20:.1f} MiB"))
    return figures


def _kernels(instruction_sets: list[str]) -> Kernels | None:
    """``None`` where it was not built."""
    program = ROOT / "build/runtime/release/kernel_benchmark"
    if not program.exists():
        click.echo("make delegate builds kernel_benchmark, which measures the kernels.\n", err=True)
        return None
    command = [program, *reversed(instruction_sets)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    layers: dict[str, dict[str, Any]] = {}
    for isa, map_, channels, macs in re.findall(
        r"^(\w+) +(\S+) +(\d+) channels .* ([\d.]+) MACs/cycle", printed, re.MULTILINE
    ):
        layers.setdefault(f"{map_}, {channels} channels", {})[isa] = float(macs)
    floats = re.findall(r"^(\w+) +float +([\d.]+) MACs/cycle", printed, re.MULTILINE)
    clocks = [float(clock) for clock in re.findall(r"at ([\d.]+) GHz", printed)]
    return Kernels(
        [{"layer": layer, **macs} for layer, macs in layers.items()],
        {isa: float(macs) for isa, macs in floats},
        float(np.median(clocks)) * 1e9,
    )


def _processor(kernels: Kernels | None) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.machine()
    return f"{model} at {kernels.clock / 1e9:.2f} GHz" if kernels else model


def _echo(rows: list[dict[str, Any]], formats: dict[str, str]) -> None:
    """Prints a Markdown table with the keys as headings."""
    if not rows:
        return
    texts = [
        ["" if value is None else format(value, formats.get(key, "")) for key, value in row.items()] for row in rows
    ]
    headings = [key.replace("_", " ").replace(" ms", ", ms") for key in rows[0]]
    click.echo(tabulate(texts, headings, tablefmt="github", disable_numparse=True) + "\n")


#: Where a label stands beside its point, and the networks whose neighbors leave no room on the right.
_LABELS: dict[str, dict[str, Any]] = {
    "right": {"xytext": (5, 2), "ha": "left"},
    "left": {"xytext": (-5, 2), "ha": "right"},
    "below": {"xytext": (5, -8), "ha": "left"},
    "below left": {"xytext": (-5, -10), "ha": "right"},
}
_SIDES = {"MeliusNetC": "left", "BiRealNet34": "below left", "MeliusNetA": "below", "MeliusNetB": "below"}


def _plot(rows: list[dict[str, Any]], runners: dict[tuple[str, str], Runner], path: Path) -> None:
    """Draws accuracy over milliseconds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="milliseconds, one thread", ylabel="top-1 accuracy (%), as the papers state it")
    binary = [(row["delegate_ms"], row["top1"], row["network"]) for row in rows if row["top1"] is not None]
    floats = [
        (runners[f"MobileNet-{width}", "litert"].milliseconds, top1, f"MobileNet-v1 {width}")
        for width, top1 in MOBILENETS.items()
    ]
    for points, marker, label in [(binary, "o", "binary, delegate"), (floats, "s", "32 bits, LiteRT with XNNPACK")]:
        xs, ys, _ = zip(*points, strict=True)
        axes.plot(xs, ys, marker, label=label)
        for x, y, name in points:
            axes.annotate(name, (x, y), textcoords="offset points", fontsize=8, **_LABELS[_SIDES.get(name, "right")])
    axes.grid(alpha=0.3)
    axes.margins(x=0.15)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    figure.legend(loc="outside upper center", ncols=2)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
