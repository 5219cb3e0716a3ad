"""What the networks cost to build, export and run, beside MobileNet-v1 of the nearest accuracy, in one run.

Every latency is a median over rounds in which the network and its MobileNet take turns on one thread, so that what
else the machine does meets both alike; their ratio is the figure to compare. Off ARM, LCE runs binary convolutions in
reference kernels: these latencies say how this machine's interpreter does, not a phone.
"""

import csv
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

import larq_melius as lm
from larq_melius.converters.export.convert import convert
from larq_melius.runtime import make_interpreter
from larq_melius.zoo.random_networks import convert_random_network, randomize_batchnorms

#: MobileNet-v1 width by top-1 accuracy (paper, Table 4).
MOBILENETS = {0.5: 63.7, 0.75: 68.4, 1.0: 70.6}
#: Top-1 accuracy with the grouped stem (paper, Tables 1 and 2).
TOP1 = {
    "MeliusNet22": 63.6,
    "MeliusNet29": 65.8,
    "MeliusNet42": 69.2,
    "MeliusNet59": 71.0,
    "MeliusNetA": 63.4,
    "MeliusNetB": 65.7,
    "MeliusNetC": 64.1,
    "BinaryDenseNet28": 62.6,
    "BinaryDenseNet37": 64.2,
    "ResNetE18": 60.6,
    "BiRealNet34": 63.7,
}
COLUMNS = (
    "network",
    "build_s",
    "export_s",
    "bytes",
    "latency_ms",
    "latency_xnnpack_ms",
    "mobilenet",
    "size_ratio",
    "latency_ratio",
    "latency_ratio_xnnpack",
)


@click.command()
@click.option("--models", default="*", show_default=True, help="Names to measure, as a pattern.")
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="CSV file to write.")
def main(models: str, rounds: int, output: Path | None) -> None:
    """Measure import, build, export, size and latency."""
    click.echo(tabulate(_import_times(), ("import, fresh process", "seconds", "ratio"), floatfmt=".2f") + "\n")
    flatbuffers = {width: convert_random_network(f"MobileNet-{width}") for width in MOBILENETS}
    rows = []
    for name in tqdm([name for name in lm.list_models(models) if name in TOP1], unit=" networks"):
        width = min(MOBILENETS, key=lambda width: abs(MOBILENETS[width] - TOP1[name]))
        rows.append(_measure(name, width, flatbuffers[width], rounds))
    click.echo(tabulate([row.values() for row in rows], COLUMNS, floatfmt=".2f"))
    if output is not None:
        with output.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


def _measure(name: str, width: float, mobilenet: bytes, rounds: int) -> dict[str, object]:
    build, model = _timed(lambda: lm.get_model(name, weights=None))
    randomize_batchnorms(model)
    export, flatbuffer = _timed(lambda: convert(model))
    plain = _latencies(flatbuffer, mobilenet, rounds, use_xnnpack=False)
    xnnpack = _latencies(flatbuffer, mobilenet, rounds, use_xnnpack=True)
    figures = (
        name,
        build,
        export,
        len(flatbuffer),
        plain[0] * 1e3,
        xnnpack[0] * 1e3,
        f"MobileNet-v1 {width}",
        len(flatbuffer) / len(mobilenet),
        plain[0] / plain[1],
        xnnpack[0] / xnnpack[1],
    )
    return {
        column: round(value, 3) if isinstance(value, float) else value
        for column, value in zip(COLUMNS, figures, strict=True)
    }


def _latencies(network: bytes, mobilenet: bytes, rounds: int, *, use_xnnpack: bool) -> tuple[float, float]:
    """Median seconds of one image through each, taking turns."""
    interpreters = [make_interpreter(data, use_xnnpack=use_xnnpack) for data in (network, mobilenet)]
    image = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype("float32")
    times = np.empty((rounds + 1, 2))
    for round_ in range(rounds + 1):
        for index, interpreter in enumerate(interpreters):
            times[round_, index] = _timed(lambda i=interpreter: i.predict(image))[0]
    network_time, mobilenet_time = np.median(times[1:], axis=0)  # The first round warms up.
    return float(network_time), float(mobilenet_time)


def _import_times() -> list[tuple[str, float, float]]:
    statements = {
        "tensorflow and tf.keras": "import tensorflow; tensorflow.keras.Model",
        "larq_melius": "import larq_melius",
    }
    seconds = {}
    for label, statement in statements.items():
        command = ["env", "TF_USE_LEGACY_KERAS=1", sys.executable, "-c", statement]
        runs = [
            _timed(lambda c=command: subprocess.run(c, check=True, capture_output=True, cwd="/"))[0] for _ in range(3)
        ]
        seconds[label] = float(np.median(runs))
    base = seconds["tensorflow and tf.keras"]
    return [(label, value, value / base) for label, value in seconds.items()]


def _timed(run: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
