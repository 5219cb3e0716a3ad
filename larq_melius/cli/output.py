"""What commands print: JSON or aligned columns on stdout, progress on stderr."""

import json
from collections.abc import Sequence
from typing import Any

import click
from tabulate import tabulate

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(value: Any) -> None:
    """Prints a value as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_columns(rows: Sequence[Sequence[Any]], headers: Sequence[str] = ()) -> None:
    """Prints rows in aligned columns."""
    click.echo(tabulate(rows, headers, tablefmt="plain", disable_numparse=True))


def progress(line: str) -> None:
    """Says what is going on, on stderr."""
    click.echo(f"{line}…", err=True)
