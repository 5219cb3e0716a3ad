"""Loads a recipe by its name or from a file, and applies a user's settings."""

from collections.abc import Sequence
from pathlib import Path

from larq_melius.zoo.recipes.datasets import adapt
from larq_melius.zoo.recipes.presets import find_preset
from larq_melius.zoo.recipes.recipe import Recipe, parse_settings


def load_recipe(source: str, *, dataset: str | None = None, settings: Sequence[str] = ()) -> Recipe:
    """Loads a recipe with a user's settings.

    Args:
        source: Name of a recipe, or path of a JSON file with one.
        dataset: Data set to use instead of the recipe's.
        settings: ``key=value`` texts, applied last.

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
