"""``larq-melius predict``."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
from tqdm import tqdm

from larq_melius.cli.completion import complete_networks_or_files
from larq_melius.cli.errors import UserError, error_text, one_line_errors
from larq_melius.cli.network import (
    classifier_options,
    pop_classifier_options,
    runtime_options,
    say_assumptions,
    say_runtime,
)
from larq_melius.cli.output import json_option, print_columns, print_json

_STDIN = "-"


@click.command()
@click.argument("model", shell_complete=complete_networks_or_files)
@click.argument("images", nargs=-1, required=True, type=click.Path(allow_dash=True))
@classifier_options()
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Classes to print.")
@runtime_options
@json_option
def predict(
    model: str, images: tuple[str, ...], top: int, threads: int, runtime: Any, as_json: bool, **options: Any
) -> None:
    """Classify IMAGES with MODEL.

    MODEL is a network's name, a saved Keras file (.keras, .h5, .hdf5), a SavedModel folder or an exported .tflite file.
    IMAGES are files, folders of images, or - for one image on standard input. An image that cannot be read is reported,
    and the others are classified.
    """
    arguments = pop_classifier_options(options)
    with one_line_errors():
        from larq_melius.zoo.classifiers import load_classifier

        names = list(_expand(images))
        classifier = load_classifier(model, num_threads=threads, runtime=runtime, **arguments)
        say_assumptions(classifier)
        shown = len(names) > 1 and sys.stderr.isatty()
        entries = []
        for name in tqdm(names, unit=" images", file=sys.stderr, disable=not shown, leave=False):
            entry: dict[str, Any] = {"image": name, "runtime": classifier.runtime, "predictions": []}
            entries.append(entry)
            try:
                entry["predictions"] = [vars(p) for p in classifier.classify(_open(name), top)]
            except OSError as error:
                entry["error"] = error_text(error)
                tqdm.write(f"Error: {entry['error']}", file=sys.stderr)
            if not as_json:
                with tqdm.external_write_mode():
                    _print(entry)
    failed = sum("error" in entry for entry in entries)
    if as_json:
        print_json(entries)
    elif failed < len(entries):
        say_runtime(classifier.runtime)
    if failed and len(entries) > 1:
        raise UserError(f"{failed} of {len(entries)} images could not be classified.")
    if failed:
        raise click.exceptions.Exit(UserError.exit_code)


def _expand(images: tuple[str, ...]) -> Iterator[str]:
    """The names of the images, with those in folders, which are sorted."""
    from PIL import Image

    for image in images:
        if not Path(image).is_dir():
            yield image
            continue
        suffixes = Image.registered_extensions()
        files = [path for path in sorted(Path(image).rglob("*")) if path.suffix.lower() in suffixes and path.is_file()]
        if not files:
            raise ValueError(f"There are no images in {image}.")
        yield from map(os.fspath, files)


def _open(name: str) -> str | BinaryIO:
    if name != _STDIN:
        return name
    # Pillow jumps back and forth in a file, which a pipe does not allow.
    image = io.BytesIO(sys.stdin.buffer.read())
    image.name = "<stdin>"
    return image


def _print(entry: dict[str, Any]) -> None:
    if "error" in entry:
        return
    scores = [prediction["score"] for prediction in entry["predictions"]]
    # Networks without a softmax give logits.
    form = "{:7.2%}" if all(0 <= score <= 1 for score in scores) else "{:8.3f}"
    click.echo(entry["image"])
    print_columns([(f"  {form.format(p['score'])}", p["label"]) for p in entry["predictions"]])
