"""``larq-melius weights publish``."""

from pathlib import Path
from typing import Any

import click

from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.network import classifier_options, pop_classifier_options, say_assumptions
from larq_melius.cli.output import json_option, print_columns, print_json, progress

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("checkpoint", type=click.Path())
@click.option("--model", required=True, help="Name of the network.")
@click.option("--tag", required=True, help="Name of the weights for weights=, such as 'imagenet'.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="New folder to write.")
@click.option("--evaluation", type=_FILE, help='Report: {"images": 50000, "top1": 0.6, "top5": 0.8, "data": "…"}.')
@click.option("--images", type=_FOLDER, help="Measure the accuracy on these images, with a folder for each class.")
@click.option("--data", default="", help="Name of the data in --images.  [default: the folder's name]")
@click.option("--trained-on", required=True, help="Data set and split that the weights were trained on.")
@click.option("--source", required=True, help="Who made the weights, and how; whom to credit.")
@click.option("--license", required=True, help="SPDX identifier of the license.")
@click.option("--measured-by", required=True, help="Who measured the accuracy.")
@click.option("--recipe", type=_FILE, help="Description of the training for the model card, Markdown or text.")
@classifier_options("weights", "classes", "trust")
@click.option("--url-base", help="URL of the folder that users will download the files from.")
@click.option("--with-latent", is_flag=True, help="Also write the latent weights, from which training can continue.")
@json_option
def publish(
    checkpoint: str,
    model: str,
    tag: str,
    output: Path,
    evaluation: Path | None,
    images: Path | None,
    data: str,
    recipe: Path | None,
    url_base: str | None,
    with_latent: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a release of CHECKPOINT, any weight file that --weights takes.

    The release folder has the weights with and without the classifier, with one bit per binary weight, their hashes, a
    model card, and registry entries. It appears only after the weights, loaded as users load them, have computed the
    same as the checkpoint.
    """
    if (evaluation is None) == (images is None):
        raise click.UsageError("Give either --evaluation, a report of the accuracy, or --images to measure it on.")
    arguments = pop_classifier_options(options)
    with one_line_errors():
        from larq_melius.zoo.classifiers import load_network
        from larq_melius.zoo.evaluation import evaluate_folder, read_evaluation
        from larq_melius.zoo.publishing.model_card import Provenance
        from larq_melius.zoo.publishing.release import check_release
        from larq_melius.zoo.publishing.release import publish as make_release

        check_release(tag, output, url_base)
        provenance = Provenance(**options, recipe=_as_markdown(recipe) if recipe else "")
        measured = read_evaluation(evaluation) if evaluation else None
        progress(f"Publishing {checkpoint}")
        network = load_network(model, checkpoint, **arguments)
        say_assumptions(network)
        records = make_release(
            network,
            tag,
            output,
            evaluation=measured or (lambda classifier: evaluate_folder(classifier, images or "", data=data)),
            provenance=provenance,
            url_base=url_base,
            with_latent=with_latent,
        )
    _print(output, records, as_json)


def _as_markdown(recipe: Path) -> str:
    text = recipe.read_text("utf-8").strip()
    return text if recipe.suffix == ".md" else f"```\n{text}\n```"


def _print(output: Path, records: tuple[Any, Any], as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(output), "records": [record.to_dict() for record in records]})
        return
    top5 = records[0].top5
    print_columns(
        [
            ("folder", str(output)),
            *((record.file, f"{record.bytes:,} bytes") for record in records),
            ("top-1", f"{records[0].top1:.2%}"),
            *([] if top5 is None else [("top-5", f"{top5:.2%}")]),
            ("checked", "loaded from the folder, the weights compute the same as the checkpoint"),
        ]
    )
