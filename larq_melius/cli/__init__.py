"""The command line, ``larq-melius``: a thin layer over the library, one module a command.

TensorFlow takes seconds to import, so modules here import it, and whatever imports it, inside their functions.
"""

import click

from larq_melius.cli.ablation import ablation
from larq_melius.cli.benchmark import benchmark
from larq_melius.cli.demo import demo
from larq_melius.cli.errors import OneLineErrors
from larq_melius.cli.evaluate import evaluate
from larq_melius.cli.export import export
from larq_melius.cli.inspect import inspect
from larq_melius.cli.listing import list_
from larq_melius.cli.predict import predict
from larq_melius.cli.recipes import recipes
from larq_melius.cli.runs import runs
from larq_melius.cli.summary import summary
from larq_melius.cli.tables import tables
from larq_melius.cli.train import train
from larq_melius.cli.weights import weights
from larq_melius.version import __version__

__all__ = ["cli", "main"]


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="larq-melius")
@click.option("--traceback", is_flag=True, help="Show the Python traceback of an error.")
@click.pass_context
def cli(context: click.Context, traceback: bool) -> None:
    """MeliusNet and its baselines: list, count, train, evaluate, export to TFLite, classify images."""
    context.obj = {"traceback": traceback}


for command in (
    list_,
    summary,
    tables,
    export,
    inspect,
    predict,
    benchmark,
    recipes,
    train,
    evaluate,
    ablation,
    runs,
    weights,
    demo,
):
    cli.add_command(command)


def main() -> None:
    """The entry point of ``larq-melius``."""
    cli(prog_name="larq-melius")
