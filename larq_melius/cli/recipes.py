"""``larq-melius recipes``."""

import click

from larq_melius.cli.completion import complete_datasets, complete_recipes
from larq_melius.cli.errors import Group, one_line_errors
from larq_melius.cli.output import json_option, print_columns, print_json

set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a field of the recipe; may be repeated."
)
dataset_option = click.option(
    "--dataset", help="Data set to train on instead of the recipe's.", shell_complete=complete_datasets
)


@click.group(cls=Group)
def recipes() -> None:
    """List and print the recipes that networks are trained by."""


@recipes.command("list")
@json_option
def list_recipes(as_json: bool) -> None:
    """List the recipes."""
    with one_line_errors(tensorflow=False):
        from larq_melius.zoo.recipes import PRESETS

        presets = PRESETS.items()
    if as_json:
        facts = [{"name": name, "summary": p.summary, "top1": p.top1, "top5": p.top5} for name, p in presets]
        print_json(facts)
        return
    rows = [
        (name, preset.recipe.dataset, preset.recipe.epochs, _percent(preset.top1), preset.summary)
        for name, preset in presets
    ]
    print_columns(rows, ["RECIPE", "DATA SET", "EPOCHS", "PAPER'S TOP-1", "WHAT IT IS"])


@recipes.command()
@click.argument("recipe", shell_complete=complete_recipes)
@dataset_option
@set_option
def show(recipe: str, dataset: str | None, settings: tuple[str, ...]) -> None:
    """Print RECIPE as JSON, with all of its fields.

    Saved to a file and edited, it is a recipe of your own: 'larq-melius train my.json'.
    """
    with one_line_errors(tensorflow=False):
        from larq_melius.zoo.recipes import load_recipe

        text = load_recipe(recipe, dataset=dataset, settings=settings).to_json()
    click.echo(text, nl=False)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
