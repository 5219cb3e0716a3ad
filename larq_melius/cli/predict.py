"""``larq-melius predict``."""

import click

from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.output import json_option, print_columns, print_json


@click.command()
@click.argument("model")
@click.argument("images", nargs=-1, required=True, type=click.Path())
@click.option("--weights", help="Tag or file of a network's weights. [default: its own]")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Classes to print.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads for a .tflite file.")
@json_option
def predict(model: str, images: tuple[str, ...], weights: str | None, top: int, threads: int, as_json: bool) -> None:
    """Classify IMAGES with MODEL, a network's name or an exported .tflite file."""
    with one_line_errors():
        from larq_melius.zoo.classifiers import load_classifier

        classifier = load_classifier(model, weights, num_threads=threads)
        results = [(image, classifier.classify(image, top)) for image in images]
    if as_json:
        print_json([{"image": image, "predictions": [vars(p) for p in predictions]} for image, predictions in results])
        return
    for image, predictions in results:
        click.echo(image)
        print_columns([(f"  {p.score:7.2%}", p.label) for p in predictions])
