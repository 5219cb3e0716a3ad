"""The output of commands: JSON or aligned columns to stdout, progress to stderr."""

import json
import math
from collections.abc import Sequence
from typing import Any

import click
from tabulate import tabulate

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(value: Any) -> None:
    """Prints a value as indented JSON. Numbers that are not finite become ``null``, since JSON has none."""
    click.echo(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_columns(
    rows: Sequence[Sequence[Any]], headers: Sequence[str] = (), alignments: Sequence[str] | None = None
) -> None:
    """Prints rows in aligned columns: ``"left"``, which all are by default, or ``"right"``."""
    click.echo(tabulate(rows, headers, tablefmt="plain", disable_numparse=True, colalign=alignments))


def progress(line: str) -> None:
    """Prints what is being done to stderr."""
    click.echo(f"{line}…", err=True)
