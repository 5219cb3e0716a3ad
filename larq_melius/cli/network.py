"""The options by which commands name a network."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from larq_melius.stems import STEMS

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")

_OPTIONS = (
    click.option("--weights", help="A tag such as 'imagenet', 'none' for random ones, or a file. [default: its own]"),
    click.option("--stem", type=click.Choice(STEMS), help="First layers."),
    click.option("--convention", type=click.Choice(["authors", "larq_zoo"]), help="Padding convention."),
    click.option("--classes", type=click.IntRange(min=1), help="Number of classes."),
    click.option("--input-size", type=click.IntRange(min=1), help="Side of the image in pixels."),
)

trust_option = click.option(
    "--trust", is_flag=True, help="Load a saved model even if it holds more than known layers, and may run any code."
)


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that choose a variant of a network."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def is_keras_file(source: str) -> bool:
    """Whether an argument names a saved Keras model and not a network of the zoo."""
    return Path(source).suffix in KERAS_SUFFIXES or Path(source).is_dir()


@dataclass(frozen=True)
class Network:
    """A network that a command was given, and the record of its weights if they come from the registry."""

    model: Any
    record: Any


def build_network(
    source: str,
    *,
    weights: str | None,
    stem: str | None,
    convention: str | None,
    classes: int | None,
    input_size: int | None,
) -> Network:
    """Builds a network of the zoo as the options say.

    Raises:
        ValueError: If there is no such network, or the options do not fit it.
    """
    from larq_melius.models.registry import find_variant
    from larq_melius.weights import find_record

    variant = find_variant(source)
    tag = None if weights == "none" else weights or variant.weights
    options: dict[str, Any] = {"weights": tag, "stem": stem or variant.stem, "convention": convention}
    if classes is not None:
        options["classes"] = classes
    if input_size is not None:
        options["input_shape"] = (input_size, input_size, variant.input_shape[2])
    record = None if tag is None else find_record(variant.name, tag, options["stem"])
    return Network(variant.function(**options), record)
