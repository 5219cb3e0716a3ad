"""``larq-melius tables``."""

from pathlib import Path

import click

from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.output import json_option, print_json, progress


@click.command()
@click.argument("numbers", nargs=-1, type=click.Choice(["1", "2", "3", "4"]), metavar="[1] [2] [3] [4]")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw accuracy over operations and size to this file instead: .png, .svg or .pdf.",
)
@json_option
def tables(numbers: tuple[str, ...], plot: Path | None, as_json: bool) -> None:
    """Print the paper's Tables 1 to 4, with counted columns beside the printed ones."""
    if plot is not None and (numbers or as_json):
        raise click.UsageError("--plot draws all networks: leave out the numbers of tables and --json.")
    with one_line_errors():
        from larq_melius.files import check_writable
        from larq_melius.zoo.paper.figure import plot_paper
        from larq_melius.zoo.paper.tables import paper_tables, render

        if plot is not None:
            check_writable(plot)
            plot_paper(plot, progress=_say)
            click.echo(f"Wrote {plot}.")
            return
        result = paper_tables([int(number) for number in numbers] or (1, 2, 3, 4), progress=_say)
    if as_json:
        print_json([table.to_dict() for table in result])
    else:
        click.echo("\n\n".join(render(table) for table in result))


def _say(network: str) -> None:
    progress(f"Counting {network}")
