"""``larq-melius tables``."""

import click

from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.output import json_option, print_json, progress


@click.command()
@click.argument("numbers", nargs=-1, type=click.Choice(["1", "2", "3", "4"]), metavar="[1] [2] [3] [4]")
@json_option
def tables(numbers: tuple[str, ...], as_json: bool) -> None:
    """Print the paper's Tables 1 to 4 with counted columns beside the printed ones."""
    with one_line_errors():
        from larq_melius.zoo.paper.tables import paper_tables, render

        chosen = tuple(int(number) for number in numbers) or (1, 2, 3, 4)
        result = paper_tables(chosen, progress=lambda name: progress(f"Counting {name}"))
    if as_json:
        print_json([table.to_dict() for table in result])
    else:
        click.echo("\n\n".join(render(table) for table in result))
