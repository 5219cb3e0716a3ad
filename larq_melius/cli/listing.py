"""``larq-melius list``."""

import click

from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.output import json_option, print_columns, print_json


@click.command("list")
@click.argument("pattern", default="*")
@json_option
def list_(pattern: str, as_json: bool) -> None:
    """List the networks, or those whose name matches a PATTERN such as 'melius*'."""
    with one_line_errors():
        from larq_melius.models import list_models
        from larq_melius.models.registry import VARIANTS
        from larq_melius.weights import list_records

        networks = [
            {
                "name": name,
                "weights": [record.tag for record in list_records() if record.model == name],
                "about": VARIANTS[name].summary,
            }
            for name in list_models(pattern)
        ]
    if as_json:
        print_json(networks)
    else:
        rows = [(n["name"], ", ".join(n["weights"]) or "-", n["about"]) for n in networks]
        print_columns(rows, ("NAME", "WEIGHTS", "ABOUT"))
