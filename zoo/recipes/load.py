"""Finds a recipe by its name or in a file, and applies a user's own settings."""

from collections.abc import Sequence
from pathlib import Path

from larq_melius.zoo.recipes.datasets import adapt
from larq_melius.zoo.recipes.presets import find_preset
from larq_melius.zoo.recipes.recipe import Recipe, parse_settings


def load_recipe(source: str, *, dataset: str | None = None, settings: Sequence[str] = ()) -> Recipe:
    """A recipe as it will be run.

    Args:
        source: Name of a recipe, or path of a JSON file with one.
        dataset: Data set to use in the place of the recipe's.
        settings: ``key=value`` texts; they come last.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If there is no such recipe, a field is unknown, or a value is wrong.

    Example:
        >>> load_recipe("MeliusNet22", dataset="digits", settings=["epochs=3"]).epochs
        3
    """
    if Path(source).suffix == ".json":
        try:
            recipe = Recipe.from_json(Path(source).read_text("utf-8"))
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
    else:
        recipe = find_preset(source).recipe
    values = parse_settings(settings)
    name = values.pop("dataset", dataset)
    if name is not None:
        recipe = adapt(recipe, str(name))
    return recipe.override(values)
