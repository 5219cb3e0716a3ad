"""``larq-melius benchmark``: on this computer, or on a phone."""

import csv
import io
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from larq_melius.cli.completion import complete_networks_or_files
from larq_melius.cli.device import PhoneBenchmark, check_device_options, describe_phone, device_options
from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.network import RUNTIME_NAMES, runtime_options
from larq_melius.cli.output import json_option, print_columns, print_json, progress

if TYPE_CHECKING:
    from larq_melius.runtime import Measurement
    from larq_melius.zoo.devices.results import ModelResult, Results


@click.command()
@click.argument("models", nargs=-1, required=True, shell_complete=complete_networks_or_files)
@runtime_options
@click.option("--runs", type=click.IntRange(min=1), default=30, show_default=True, help="Measured runs per model.")
@click.option("--warmup", type=click.IntRange(min=0), default=3, show_default=True, help="Runs before those.")
@click.option("--profile", is_flag=True, help="Also print the time of each operator that the delegate runs.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@device_options
@click.pass_context
def benchmark(
    context: click.Context,
    /,
    models: tuple[str, ...],
    threads: int,
    runtime: Any,
    runs: int,
    warmup: int,
    profile: bool,
    as_csv: bool,
    as_json: bool,
    device: str | None,
    **phone_options: Any,
) -> None:
    """Measure the latency of one image, the time to open, and the memory of MODELS.

    MODELS are .tflite files, names of networks, or MobileNet-0.25, -0.5, -0.75 and -1.0 for MobileNet-v1 in 32 bits.
    Networks given by name get random weights, on which latency does not depend. The models take turns in one process,
    so that other load on the machine affects all of them: compare ratios, not milliseconds.

    On a phone, each model runs in a process of its own, once its outputs are what they are on this computer.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other.")
    if profile and runtime == "lce":
        raise click.UsageError("--profile needs the delegate, which --runtime lce does not use.")
    check_device_options(context, device, runtime, phone_options)
    named = [model for model in models if Path(model).suffix != ".tflite"]
    with one_line_errors(tensorflow=bool(named) or runtime == "lce"), tempfile.TemporaryDirectory() as folder:
        if device is None:
            files = {model: _file(model, Path(folder)) for model in models}
            report = _measure_here(files, threads=threads, runtime=runtime, warmup=warmup, runs=runs, profile=profile)
        else:
            phone = PhoneBenchmark(device, **phone_options)  # first: converting networks takes long
            files = {model: _file(model, Path(folder)) for model in models}
            results = phone.measure(files, threads=threads, warmup=warmup, runs=runs, profile=profile)
            report = _phone_report(results, list(files))
    report.print(as_csv=as_csv, as_json=as_json)
    if report.errors:
        context.exit(1)


@dataclass
class _Report:
    """What to print.

    Attributes:
        rows: Of JSON and CSV.
        measurements: Of the table.
        profiles: The time of each operator, by the names of the networks.
        profiled: What is in them.
        notes: Lines below the table.
        errors: Lines about networks that could not be measured.
    """

    rows: list[dict[str, Any]]
    measurements: list["Measurement"]
    profiles: dict[str, str]
    profiled: str
    notes: list[str]
    errors: list[str] = field(default_factory=list)

    def print(self, *, as_csv: bool, as_json: bool) -> None:
        """Prints JSON, CSV, or a table with the notes on standard error."""
        if as_json:
            profiles = {name: {"profile": text.splitlines()} for name, text in self.profiles.items()}
            print_json([{**row, **profiles.get(row["name"], {})} for row in self.rows])
        elif as_csv and self.rows:
            text = io.StringIO()
            writer = csv.DictWriter(text, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
            click.echo(text.getvalue(), nl=False)
        elif self.measurements:
            _print_table(self.measurements)
            for note in self.notes:
                click.echo(note, err=True)
        if not as_json:
            for name, plan in self.profiles.items():
                click.echo(f"\n{name}, {self.profiled}:\n{plan.rstrip() or '(none)'}", err=as_csv)
        for error in self.errors:
            click.echo(f"Error: {error}", err=True)


def _measure_here(
    files: dict[str, Path], *, threads: int, runtime: Any, warmup: int, runs: int, profile: bool
) -> _Report:
    from larq_melius.runtime import measure
    from larq_melius.runtime import profile as measure_profile

    hidden = not sys.stderr.isatty()
    measurements = measure(
        files,
        threads=threads,
        runtime=runtime,
        warmup=warmup,
        runs=runs,
        progress=lambda rounds: tqdm(rounds, unit=" rounds", file=sys.stderr, disable=hidden, leave=False),
    )
    return _Report(
        rows=[_row(m) for m in measurements],
        measurements=measurements,
        profiles={name: measure_profile(path, threads=threads, runs=runs) for name, path in files.items() if profile},
        profiled="the operators that the delegate runs",
        notes=_runtime_notes(measurements),
    )


def _phone_report(results: "Results", names: list[str]) -> _Report:
    from larq_melius.runtime import Measurement

    measured = [(name, model) for name, model in zip(names, results.models, strict=True) if model.samples_ms]
    measurements = [
        Measurement(
            name=name,
            runtime=model.runtime,
            threads=results.settings.num_threads,
            bytes=model.bytes or 0,
            claimed_operators=model.claimed_operators or 0,
            open_seconds=None if model.load_ms is None else model.load_ms / 1e3,
            memory_bytes=model.memory_bytes,
            seconds=tuple(sample / 1e3 for sample in model.samples_ms),
        )
        for name, model in measured
    ]
    return _Report(
        rows=[
            {
                **_row(measurement),
                "p99_ms": model.p99_ms,
                "std_ms": model.std_ms,
                "output_check": model.output_check,
                "binary_share": model.binary_share,
            }
            for measurement, (_, model) in zip(measurements, measured, strict=True)
        ],
        measurements=measurements,
        profiles={name: _profile_text(model) for name, model in measured if model.profile},
        profiled="the least time of each operator",
        notes=[*_runtime_notes(measurements), describe_phone(results)],
        errors=[f"{name}: {m.error}" for name, m in zip(names, results.models, strict=True) if m.error is not None],
    )


def _profile_text(model: "ModelResult") -> str:
    lines = [f"{operator.min_ms:9.3f} ms  {operator.name} ({operator.runner})" for operator in model.profile]
    return "\n".join([*lines, f"{model.binary_share or 0:.0%} of the time in binary operators"])


def _runtime_notes(measurements: "list[Measurement]") -> list[str]:
    return [
        f"Run by {RUNTIME_NAMES[runtime]}, {threads} {'thread' if threads == 1 else 'threads'}."
        for runtime, threads in sorted({(m.runtime, m.threads) for m in measurements})
    ]


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


def _row(m: "Measurement") -> dict[str, Any]:
    return {
        "name": m.name,
        "runtime": m.runtime,
        "threads": m.threads,
        "runs": len(m.seconds),
        "minimum_ms": round(m.quantile(0) * 1e3, 4),
        "median_ms": round(m.quantile(0.5) * 1e3, 4),
        "p90_ms": round(m.quantile(0.9) * 1e3, 4),
        "open_ms": None if m.open_seconds is None else round(m.open_seconds * 1e3, 2),
        "memory_bytes": m.memory_bytes,
        "file_bytes": m.bytes,
        "claimed_operators": m.claimed_operators,
    }


def _print_table(measurements: "list[Measurement]") -> None:
    first = measurements[0].quantile(0.5)
    print_columns(
        [
            (
                m.name,
                *(f"{m.quantile(share) * 1e3:.2f}" for share in (0, 0.5, 0.9)),
                f"{m.quantile(0.5) / first:.2f}",
                "-" if m.open_seconds is None else f"{m.open_seconds * 1e3:.0f}",
                "-" if m.memory_bytes is None else f"{m.memory_bytes / 2**20:.1f}",
                f"{m.bytes / 2**20:.2f}",
            )
            for m in measurements
        ],
        ["", "MIN MS", "MEDIAN", "P90", "RATIO", "OPEN MS", "MEMORY MIB", "FILE MIB"],
    )
