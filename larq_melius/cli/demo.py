"""``larq-melius demo``."""

from pathlib import Path
from typing import Any

import click

from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.network import runtime_option


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for the .tflite file and the pictures.",
)
@runtime_option
def demo(output: Path, runtime: Any) -> None:
    """Export the digits network, compare the file with Keras, and classify some digits with it."""
    with one_line_errors():
        from larq_melius.zoo.demo import demo as run_demo

        run_demo(output, runtime)
