"""``larq-melius benchmark``."""

import csv
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from larq_melius.cli.completion import complete_networks_or_files
from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.network import RUNTIME_NAMES, runtime_options
from larq_melius.cli.output import json_option, print_columns, print_json, progress


@click.command()
@click.argument("models", nargs=-1, required=True, shell_complete=complete_networks_or_files)
@runtime_options
@click.option("--runs", type=click.IntRange(min=1), default=30, show_default=True, help="Measured runs per model.")
@click.option("--warmup", type=click.IntRange(min=0), default=3, show_default=True, help="Runs before those.")
@click.option("--profile", is_flag=True, help="Also print the time of each operator that the delegate runs.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
def benchmark(
    models: tuple[str, ...],
    threads: int,
    runtime: Any,
    runs: int,
    warmup: int,
    profile: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Measure the latency of one image, the time to open, and the memory of MODELS.

    MODELS are .tflite files, names of networks, or MobileNet-0.25, -0.5, -0.75 and -1.0 for MobileNet-v1 in 32 bits.
    Networks given by name get random weights, on which latency does not depend. The models take turns in one process,
    so that other load on the machine affects all of them: compare ratios, not milliseconds.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other.")
    if profile and runtime == "lce":
        raise click.UsageError("--profile needs the delegate, which --runtime lce does not use.")
    named = [model for model in models if Path(model).suffix != ".tflite"]
    with one_line_errors(tensorflow=bool(named) or runtime == "lce"), tempfile.TemporaryDirectory() as folder:
        from larq_melius.runtime import measure
        from larq_melius.runtime import profile as measure_profile

        files = {model: _file(model, Path(folder)) for model in models}
        hidden = not sys.stderr.isatty()
        measurements = measure(
            files,
            threads=threads,
            runtime=runtime,
            warmup=warmup,
            runs=runs,
            progress=lambda rounds: tqdm(rounds, unit=" rounds", file=sys.stderr, disable=hidden, leave=False),
        )
        profiles = {name: measure_profile(path, threads=threads, runs=runs) for name, path in files.items() if profile}
    rows = [_row(m) for m in measurements]
    if as_json:
        print_json([{**row, **({"profile": profiles[row["name"]].splitlines()} if profile else {})} for row in rows])
        return
    if as_csv:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        click.echo(text.getvalue(), nl=False)
    else:
        _print(measurements)
    for name, plan in profiles.items():
        click.echo(f"\n{name}, the operators that the delegate runs:\n{plan.rstrip() or '(none)'}", err=as_csv)


def _file(model: str, folder: Path) -> Path:
    """The ``.tflite`` file of a model, made in ``folder`` if it is given by its name."""
    if Path(model).suffix == ".tflite":
        return Path(model)
    from larq_melius.zoo.random_networks import check_random_network, convert_random_network

    check_random_network(model)
    progress(f"Converting {model}")
    path = folder / f"{model}.tflite"
    path.write_bytes(convert_random_network(model))
    return path


def _row(m: Any) -> dict[str, Any]:
    return {
        "name": m.name,
        "runtime": m.runtime,
        "threads": m.threads,
        "runs": len(m.seconds),
        "minimum_ms": round(m.quantile(0) * 1e3, 4),
        "median_ms": round(m.quantile(0.5) * 1e3, 4),
        "p90_ms": round(m.quantile(0.9) * 1e3, 4),
        "open_ms": round(m.open_seconds * 1e3, 2),
        "memory_bytes": m.memory_bytes,
        "file_bytes": m.bytes,
        "claimed_operators": m.claimed_operators,
    }


def _print(measurements: list[Any]) -> None:
    first = measurements[0].quantile(0.5)
    print_columns(
        [
            (
                m.name,
                *(f"{m.quantile(share) * 1e3:.2f}" for share in (0, 0.5, 0.9)),
                f"{m.quantile(0.5) / first:.2f}",
                f"{m.open_seconds * 1e3:.0f}",
                f"{m.memory_bytes / 2**20:.1f}",
                f"{m.bytes / 2**20:.2f}",
            )
            for m in measurements
        ],
        ["", "MIN MS", "MEDIAN", "P90", "RATIO", "OPEN MS", "MEMORY MIB", "FILE MIB"],
    )
    (threads,) = {m.threads for m in measurements}
    for runtime in sorted({m.runtime for m in measurements}):
        click.echo(f"Run by {RUNTIME_NAMES[runtime]}, {threads} {'thread' if threads == 1 else 'threads'}.", err=True)
