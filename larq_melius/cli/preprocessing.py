"""The options by which commands are told how images are prepared."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click


class Numbers(click.ParamType):
    """Numbers separated by commas."""

    name = "N[,N,N]"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple[float, ...]:
        """Parses the numbers, or fails with one line."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(number) for number in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 123.7,116.3,103.5", param, context)


def preprocessing_options(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds an option for each field of ``Preprocessing``; ``default`` says whose values stand without them."""
    help_texts = {
        "--mean": "Mean of each channel, on the scale 0 to 255.",
        "--std": "Standard deviation of each channel.",
        "--crop-fraction": "Central part of images that is kept.",
        "--interpolation": "How images are resized.",
    }
    types = {
        "--mean": Numbers(),
        "--std": Numbers(),
        "--crop-fraction": click.FloatRange(0, 1, min_open=True),
        "--interpolation": click.Choice(["bilinear", "bicubic", "box"]),
    }

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, text in reversed(help_texts.items()):
            command = click.option(name, type=types[name], help=f"{text}  [default: {default}]")(command)
        return command

    return decorate


def pop_preprocessing(options: dict[str, Any]) -> dict[str, Any]:
    """Takes what ``preprocessing_options`` added out of a command's options, and returns the fields that were given."""
    given = {name: options.pop(name) for name in ("mean", "std", "crop_fraction", "interpolation")}
    return {name: value for name, value in given.items() if value is not None}


def as_options(preprocessing: Any, base: Any) -> list[str]:
    """The words of a command line that turn ``base``, a ``Preprocessing``, into another."""
    words = []
    for field in fields(preprocessing):
        value = getattr(preprocessing, field.name)
        if value != getattr(base, field.name):
            words.append("--" + field.name.replace("_", "-"))
            words.append(",".join(map(str, value)) if isinstance(value, tuple) else str(value))
    return words
