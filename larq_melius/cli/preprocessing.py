"""The options that say how images are preprocessed."""

from collections.abc import Callable
from typing import Any

import click


class Numbers(click.ParamType):
    """Numbers separated by commas."""

    name = "N[,N,N]"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple[float, ...]:
        """Parses the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(number) for number in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 123.7,116.3,103.5", param, context)


#: Type and meaning of the option for each field of ``Preprocessing``.
_OPTIONS = {
    "mean": (Numbers(), "Mean of each channel, on the scale 0 to 255."),
    "std": (Numbers(), "Standard deviation of each channel."),
    "crop_fraction": (click.FloatRange(0, 1, min_open=True), "Share of the image that the central crop keeps."),
    "interpolation": (click.Choice(["bilinear", "bicubic", "box"]), "How images are resized."),
}


def preprocessing_options(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds an option for each field of ``Preprocessing``; ``default`` describes their defaults in the help."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, (kind, text) in reversed(_OPTIONS.items()):
            command = click.option(_flag(name), type=kind, help=f"{text}  [default: {default}]")(command)
        return command

    return decorate


def pop_preprocessing(options: dict[str, Any]) -> dict[str, Any]:
    """Removes the values of ``preprocessing_options`` from a command's options, and returns those that were given."""
    given = {name: options.pop(name) for name in _OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


def as_options(preprocessing: Any, base: Any) -> list[str]:
    """The command-line options that change the ``Preprocessing`` ``base`` to ``preprocessing``."""
    words = []
    for name in _OPTIONS:
        value = getattr(preprocessing, name)
        if value != getattr(base, name):
            words += [_flag(name), ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return words


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
