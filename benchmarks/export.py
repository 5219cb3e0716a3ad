"""What an export takes and what comes out: sizes by kind of weights, conversion beside Keras' own route, verification.

Each network is converted in processes of its own, by each route, so that the peak of memory is that of one conversion.
Seconds are those of the CPU: they compare on a machine that others use as well.
"""

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import click
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

import larq_melius as lm
from larq_melius.zoo.random_networks import MOBILENETS, randomize_batchnorms

ROUTES = ("export", "convert_keras_model")


@dataclass(frozen=True)
class Row:
    """What one network takes.

    Attributes:
        network: Its name.
        float_bytes: Size of the file with weights of 32 bits; of MobileNet, too.
        float16_bytes: Size with ``--quantize float16``.
        weights_bytes: Size with ``--quantize weights``; of MobileNet quantized to 8 bits throughout.
        convert_s: Seconds of CPU of the conversion, over all cores.
        convert_mb: Peak memory of the process that converts, in MB of 10^6 bytes.
        keras_route_s: Seconds by ``larq_compute_engine.convert_keras_model``.
        keras_route_mb: Peak memory by that.
        verify_s: Seconds of CPU of the verification.
    """

    network: str
    float_bytes: int
    float16_bytes: int
    weights_bytes: int
    convert_s: float | None = None
    convert_mb: float | None = None
    keras_route_s: float | None = None
    keras_route_mb: float | None = None
    verify_s: float | None = None


COLUMNS = tuple(field.name for field in fields(Row))


@click.command()
@click.option("--models", default="*", show_default=True, help="Names to measure, as a pattern.")
@click.option("--sizes-only", is_flag=True, help="Do not measure time and memory.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="CSV file to write or to complete.")
@click.option("--process", nargs=3, hidden=True, help="Network, route and folder: one conversion of the measurement.")
def main(models: str, sizes_only: bool, output: Path | None, process: tuple[str, str, str] | None) -> None:
    """Measure sizes, conversion and verification."""
    if process is not None:
        _convert(process[0], process[1], Path(process[2]))
        return
    names = [*(name for name in lm.list_models(models) if name != "MeliusNetTiny"), *MOBILENETS]
    rows = _read(output)
    with tempfile.TemporaryDirectory() as folder:
        for name in tqdm([name for name in names if name not in rows]):
            row = _mobilenet(name) if name in MOBILENETS else _measure(name, Path(folder), sizes_only)
            rows[name] = {key: "" if value is None else str(value) for key, value in asdict(row).items()}
            _write(output, [rows[name] for name in names if name in rows])
    click.echo(tabulate([rows[name].values() for name in names], COLUMNS))


def _read(output: Path | None) -> dict[str, dict[str, str]]:
    """The rows that are in a file already: networks that are not measured again."""
    if output is None or not output.exists():
        return {}
    with output.open(newline="") as file:
        return {row["network"]: row for row in csv.DictReader(file)}


def _write(output: Path | None, rows: list[dict[str, str]]) -> None:
    if output is not None:
        with output.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _measure(name: str, folder: Path, sizes_only: bool) -> Row:
    from larq_melius.converters.quantization.weight_only import quantize_weights

    measured = {}
    for route in ROUTES[: 1 if sizes_only else None]:
        command = [sys.executable, __file__, "--process", name, route, str(folder)]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        measured[route] = json.loads(result.stdout.splitlines()[-1])
    plain = (folder / f"{name}.tflite").read_bytes()
    sizes = len(plain), *(len(quantize_weights(plain, kind)) for kind in ("float16", "weights"))
    if sizes_only:
        return Row(name, *sizes)
    ours, theirs = (measured[route] for route in ROUTES)
    return Row(name, *sizes, ours["seconds"], ours["mb"], theirs["seconds"], theirs["mb"], ours["verify"])


def _convert(name: str, route: str, folder: Path) -> None:
    """Converts one network by one route, and prints what that took."""
    import larq_compute_engine as lce
    import tensorflow as tf

    from larq_melius.converters import verify
    from larq_melius.converters.export.convert import convert
    from larq_melius.converters.export.prepare import sample_inputs
    from larq_melius.preprocessing import IMAGENET
    from larq_melius.runtime.measurement import peak_memory

    model: tf.keras.Model = lm.get_model(name, weights=None)
    randomize_batchnorms(model)
    seconds, flatbuffer = _cpu_seconds(lambda: (convert if route == "export" else lce.convert_keras_model)(model))
    facts = {"seconds": seconds, "mb": round(peak_memory() / 1e6)}
    if route == "export":
        (folder / f"{name}.tflite").write_bytes(flatbuffer)
        inputs = sample_inputs(model.input_shape[1:], IMAGENET, ())
        facts["verify"], verification = _cpu_seconds(lambda: verify(model, flatbuffer, inputs))
        if verification.problems:
            raise SystemExit(f"{name}: {verification.problems}")
    click.echo(json.dumps(facts))


def _cpu_seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = run()
    return round(time.process_time() - start, 1), result


def _mobilenet(name: str) -> Row:
    import tensorflow as tf

    from larq_melius.converters.export.convert import convert
    from larq_melius.converters.quantization.weight_only import quantize_weights

    model = tf.keras.applications.MobileNet(alpha=MOBILENETS[name], weights=None)
    randomize_batchnorms(model)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: [[np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype("f4")]]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    plain = convert(model)
    return Row(name, len(plain), len(quantize_weights(plain, "float16")), len(converter.convert()))


if __name__ == "__main__":
    main()
