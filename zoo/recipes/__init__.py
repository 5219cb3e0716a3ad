"""Recipes: all settings of a training, for every network of the paper."""

from larq_melius.zoo.recipes.datasets import DATASETS, adapt
from larq_melius.zoo.recipes.load import load_recipe
from larq_melius.zoo.recipes.presets import PRESETS, Preset, find_preset, paper_accuracy, preset_name
from larq_melius.zoo.recipes.recipe import Recipe, parse_settings

__all__ = [
    "DATASETS",
    "PRESETS",
    "Preset",
    "Recipe",
    "adapt",
    "find_preset",
    "load_recipe",
    "paper_accuracy",
    "parse_settings",
    "preset_name",
]
