"""``larq-melius evaluate``."""

import json
from pathlib import Path
from typing import Any

import click

from larq_melius.cli.completion import complete_datasets, complete_networks_or_files
from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.network import (
    classifier_options,
    pop_classifier_options,
    runtime_options,
    say_assumptions,
    say_runtime,
)
from larq_melius.cli.output import json_option, print_columns, print_json

_FOLDER = click.Path(file_okay=False, path_type=Path)
#: Up to this many classes, the confusion matrix fits a terminal.
_FEW = 20


@click.command()
@click.argument("model", shell_complete=complete_networks_or_files)
@click.option(
    "--dataset",
    default="imagenet2012",
    show_default=True,
    help="Data set to evaluate on.",
    shell_complete=complete_datasets,
)
@click.option("--data-dir", type=_FOLDER, help="Folder of the data set.")
@click.option("--split", default="validation", show_default=True, help="Part of the data set.")
@classifier_options()
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Images per batch.")
@click.option("--limit", type=click.IntRange(min=1), help="Evaluate at most this many images.")
@runtime_options
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON file to write for 'weights publish --evaluation'.",
)
@json_option
def evaluate(
    model: str,
    dataset: str,
    data_dir: Path | None,
    split: str,
    batch_size: int,
    limit: int | None,
    threads: int,
    runtime: Any,
    report: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure the accuracy of MODEL on a data set.

    MODEL is a network's name, a saved Keras file (.keras, .h5, .hdf5), a SavedModel folder or an exported .tflite file.
    Saved Keras models and weight files store neither classes nor normalization: those of the data set are used, unless
    options say otherwise.
    """
    arguments = pop_classifier_options(options)
    with one_line_errors():
        from larq_melius.files import check_writable, write_atomically
        from larq_melius.zoo.classifiers import check_source, load_classifier
        from larq_melius.zoo.data import load_data
        from larq_melius.zoo.evaluation import evaluate as measure

        check_source(model)
        if report is not None:
            check_writable(report)
        data = load_data(dataset, data_dir=data_dir)
        data.check_split(split)
        classifier = load_classifier(
            model,
            num_threads=threads,
            runtime=runtime,
            default_labels=data.classes,
            default_preprocessing=data.preprocessing,
            **arguments,
        )
        say_assumptions(classifier)
        result = measure(classifier, data, split, batch_size=batch_size, limit=limit)
        if report is not None:
            write_atomically(report, (json.dumps(result.to_dict(), indent=2) + "\n").encode())
    if as_json:
        print_json({"runtime": classifier.runtime, **result.to_dict()})
        return
    _print(result)
    say_runtime(classifier.runtime)


def _print(result: Any) -> None:
    rows = [("data", result.data), ("images", f"{result.images:,}"), ("top-1", f"{result.top1:.2%}")]
    if result.top5 is not None:
        rows.append(("top-5", f"{result.top5:.2%}"))
    rows.append(("images per second", f"{result.images_per_second:.3g}"))
    print_columns(rows)
    if len(result.classes) > _FEW:
        hardest = sorted((c for c in result.classes if c.images), key=lambda c: c.right / c.images)[:5]
        click.echo("\nThe five classes with the lowest accuracy (--json has all):")
        print_columns([(c.name, f"{c.right / c.images:.1%}", f"{c.right} of {c.images}") for c in hardest])
        return
    click.echo("\nConfusion matrix, with true classes in rows and predictions in columns:")
    print_columns(
        [
            (c.name, *row, f"{c.right / c.images:.1%}" if c.images else "")
            for c, row in zip(result.classes, result.confusion, strict=True)
        ],
        ["", *(c.name for c in result.classes), "RIGHT"],
    )
