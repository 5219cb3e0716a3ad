"""The options that select a network, its images and its classes."""

from collections.abc import Callable
from typing import Any

import click

from larq_melius.cli.completion import complete_tags_or_files
from larq_melius.cli.preprocessing import pop_preprocessing, preprocessing_options
from larq_melius.stems import STEMS

_OPTIONS = {
    "weights": click.option(
        "--weights",
        help="A tag such as 'imagenet', a weight file, or 'none' for random ones.  [default: its own]",
        shell_complete=complete_tags_or_files,
    ),
    "stem": click.option("--stem", type=click.Choice(STEMS), help="First layers.  [default: those of the weights]"),
    "convention": click.option(
        "--convention", type=click.Choice(["authors", "larq_zoo"]), help="Padding.  [default: that of the weights]"
    ),
    "classes": click.option("--classes", type=click.IntRange(min=1), help="Number of classes."),
    "input_size": click.option("--input-size", type=click.IntRange(min=1), help="Side of the image in pixels."),
    "labels": click.option(
        "--labels",
        type=click.File(encoding="utf-8"),
        help="File with the names of the classes, one per line.  [default: the weights']",
    ),
    "trust": click.option(
        "--trust",
        is_flag=True,
        help="Load a saved model even if it has unknown layers, which may run code of their own.",
    ),
}


#: How ``Classifier.runtime`` and ``Measurement.runtime`` are printed.
RUNTIME_NAMES = {
    "keras": "Keras",
    "delegate": "LiteRT with the delegate",
    "lce": "Larq Compute Engine's interpreter",
    "tflite": "the app: stock TensorFlow Lite with the delegate",
    "program": "the static program: the delegate, and kernels slower than TensorFlow Lite's for the rest (see --app)",
}


def network_options(*without: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options that select a variant of a network, except for those in ``without``."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, option in reversed(_OPTIONS.items()):
            command = command if name in without else option(command)
        return command

    return decorate


def classifier_options(*without: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds ``network_options`` and the options of preprocessing."""
    return lambda command: network_options(*without)(preprocessing_options("the weights'")(command))


def pop_classifier_options(options: dict[str, Any]) -> dict[str, Any]:
    """Removes the values of ``classifier_options`` from a command's options; returns arguments of ``load_network``."""
    arguments = {name: options.pop(name) for name in _OPTIONS if name in options}
    if arguments["labels"] is not None:
        arguments["labels"] = arguments["labels"].read().splitlines()
    return {**arguments, "preprocessing": pop_preprocessing(options)}


def say_assumptions(network: Any) -> None:
    """Prints to stderr what ``load_network`` or ``load_classifier`` assumed."""
    for assumption in network.assumptions:
        click.echo(f"Note: {assumption}", err=True)


def runtime_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options about running a ``.tflite`` file: ``threads`` and ``runtime``."""
    threads = click.option(
        "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads for a .tflite file."
    )
    return threads(runtime_option(command))


runtime_option = click.option(
    "--runtime",
    type=click.Choice(["auto", "delegate", "lce"]),
    default="auto",
    show_default=True,
    help="What runs a .tflite file: LiteRT with the delegate, or Larq Compute Engine's interpreter.",
)


def say_runtime(runtime: str) -> None:
    """Prints to stderr what ran a ``.tflite`` file."""
    if runtime != "keras":
        click.echo(f"Note: {RUNTIME_NAMES[runtime]} ran the network.", err=True)
