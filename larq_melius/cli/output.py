"""What commands print: JSON or aligned columns on stdout, progress on stderr."""

import json
import math
from collections.abc import Sequence
from typing import Any

import click
from tabulate import tabulate

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(value: Any) -> None:
    """Prints a value as indented JSON, in which a number that is not finite is ``null``: JSON has none."""
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
    """Says what is going on, on stderr."""
    click.echo(f"{line}…", err=True)
