"""``larq-melius inspect``."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.output import json_option, print_columns, print_json


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--operators", "list_operators", is_flag=True, help="Print every operator, too.")
@json_option
def inspect(file: Path, list_operators: bool, as_json: bool) -> None:
    """Say what is in a .tflite FILE: operators, operations, weights, metadata, and what silently costs.

    FILE may have Larq Compute Engine's operators or not, and be written by any tool. Operations are counted as for
    Keras models: multiply-accumulates of convolutions and dense layers for one image.
    """
    with one_line_errors(tensorflow=False):
        from larq_melius.converters import inspect_tflite

        found = inspect_tflite(file)
    if as_json:
        print_json(_facts(found))
        return
    print_columns(_rows(found))
    click.echo()
    print_columns(
        [(item.use, item.precision, f"{item.count:,}", f"{item.bytes:,}") for item in found.weights],
        ["WEIGHTS", "STORED AS", "COUNT", "BYTES"],
    )
    if list_operators:
        click.echo()
        print_columns(
            [(index, *_operator_row(operator)) for index, operator in enumerate(found.operators)],
            ["", "OPERATOR", "OUTPUT", "SHAPE", "MACS", "RUN BY"],
        )
    for warning in found.warnings:
        click.echo(f"Warning: {warning}")


def _facts(found: Any) -> dict[str, Any]:
    return {
        "bytes": found.bytes,
        "inputs": [asdict(tensor) for tensor in found.inputs],
        "outputs": [asdict(tensor) for tensor in found.outputs],
        "tensors": found.tensors,
        "operator_counts": found.operator_counts,
        "binary_macs": found.binary_macs,
        "float_macs": found.float_macs,
        "weights": [asdict(item) for item in found.weights],
        "metadata": asdict(found.metadata) if found.metadata else None,
        "metadata_blocks": found.metadata_blocks,
        "delegated_operators": _delegated(found),
        "warnings": found.warnings,
        "operators": [asdict(operator) for operator in found.operators],
    }


def _rows(found: Any) -> list[tuple[str, str]]:
    rows = [("bytes", f"{found.bytes:,}")]
    rows += [("input", _tensor(tensor)) for tensor in found.inputs]
    rows += [("output", _tensor(tensor)) for tensor in found.outputs]
    rows += [
        ("operators", ", ".join(f"{count} {name}" for name, count in found.operator_counts.items())),
        ("tensors", f"{found.tensors:,}"),
        ("binary MACs", f"{found.binary_macs:,}"),
        ("other MACs", f"{found.float_macs:,}"),
        ("run by the delegate", _delegate_text(found)),
    ]
    metadata = found.metadata
    if metadata is None:
        return [*rows, ("metadata", f"none of an image classifier ({', '.join(found.metadata_blocks) or 'no blocks'})")]
    normalization = metadata.preprocessing
    numbers = [" ".join(f"{value:g}" for value in values) for values in (normalization.mean, normalization.std)]
    return [
        *rows,
        ("name", metadata.name),
        ("description", metadata.description),
        ("mean", numbers[0]),
        ("standard deviation", numbers[1]),
        ("labels", f"{len(metadata.labels):,}"),
        ("license", metadata.license or "not named"),
    ]


def _delegated(found: Any) -> int | None:
    flags = [operator.delegated for operator in found.operators]
    return None if None in flags else sum(flags)


def _delegate_text(found: Any) -> str:
    count = _delegated(found)
    if count is None:
        return "not known: this installation has no delegate, or LiteRT cannot run the file"
    left: dict[str, int] = {}
    for operator in found.operators:
        if not operator.delegated:
            left[operator.name] = left.get(operator.name, 0) + 1
    others = ", ".join(f"{number} {name}" for name, number in left.items())
    return f"{count} of {len(found.operators)} operators" + (f"; LiteRT runs {others}" if others else "")


def _tensor(tensor: Any) -> str:
    shape = " x ".join("?" if size < 0 else str(size) for size in tensor.shape)
    return f"{tensor.name}: {shape}, {tensor.dtype}"


def _operator_row(operator: Any) -> tuple[str, ...]:
    shape = " x ".join(map(str, operator.output.shape))
    macs = f"{operator.macs:,}{' binary' if operator.binary else ''}" if operator.macs else ""
    return operator.name, operator.output.name[-60:], shape, macs, operator.runner
