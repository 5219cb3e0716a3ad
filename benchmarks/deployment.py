"""What the networks cost to build and to export, and how large their files are beside MobileNet-v1 of their accuracy.

How long they run is measured by ``runtime.py``.
"""

import csv
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

import larq_melius as lm
from larq_melius.converters.export.convert import convert
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
COLUMNS = ("network", "build_s", "export_s", "bytes", "mobilenet", "size_ratio")


@click.command()
@click.option("--models", default="*", show_default=True, help="Names to measure, as a pattern.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="CSV file to write.")
def main(models: str, output: Path | None) -> None:
    """Measure import, build, export and size."""
    click.echo(tabulate(_import_times(), ("import, fresh process", "seconds", "ratio"), floatfmt=".2f") + "\n")
    mobilenets = {width: len(convert_random_network(f"MobileNet-{width}")) for width in MOBILENETS}
    rows = []
    for name in tqdm([name for name in lm.list_models(models) if name in TOP1], unit=" networks"):
        width = min(MOBILENETS, key=lambda width: abs(MOBILENETS[width] - TOP1[name]))
        build, model = _timed(lambda name=name: lm.get_model(name, weights=None))
        randomize_batchnorms(model)
        export, flatbuffer = _timed(lambda model=model: convert(model))
        size_ratio = round(len(flatbuffer) / mobilenets[width], 3)
        figures = (name, round(build, 3), round(export, 3), len(flatbuffer), f"MobileNet-v1 {width}", size_ratio)
        rows.append(dict(zip(COLUMNS, figures, strict=True)))
    click.echo(tabulate([row.values() for row in rows], COLUMNS, floatfmt=".2f"))
    if output is not None:
        with output.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


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


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
