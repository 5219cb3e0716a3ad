"""``larq-melius export``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.network import build_network, is_keras_file, network_options, trust_option
from larq_melius.cli.output import json_option, print_columns, print_json, progress
from larq_melius.cli.preprocessing import pop_preprocessing, preprocessing_options


@click.command()
@click.argument("model")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@network_options
@click.option("--labels", type=click.File(encoding="utf-8"), help="Names of the classes, one a line.")
@preprocessing_options("the weights'; of a saved file, ImageNet's")
@click.option(
    "--image", "images", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Image to check with."
)
@trust_option
@json_option
def export(
    model: str,
    output: Path,
    labels: Any,
    images: tuple[str, ...],
    trust: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Export MODEL, a network's name or a saved Keras file, to a .tflite file for Larq Compute Engine.

    The file is run beside Keras before it is put in place: logits and top-1 classes must agree, and every binary
    convolution must have become an LceBconv2d.
    """
    given = pop_preprocessing(options)
    with one_line_errors():
        from larq_melius.converters import export_tflite, load_keras_model
        from larq_melius.preprocessing import IMAGENET
        from larq_melius.zoo.classifiers import imagenet_labels

        input_size = (options["input_size"],) * 2 if options["input_size"] else None
        if is_keras_file(model):
            _refuse_network_options(options)
            keras_model, record = load_keras_model(model, trust=trust), None
        else:
            network = build_network(model, **options)
            keras_model, record = network.model, network.record
        names = labels.read().splitlines() if labels else record.classes if record else None
        report = export_tflite(
            keras_model,
            output,
            preprocessing=replace(record.preprocessing if record else IMAGENET, **given),
            labels=imagenet_labels(keras_model.output_shape[-1]) if names is None else names,
            input_size=input_size,
            images=images,
            name=record.model if record else None,
            license=record.license if record else "",
            progress=progress,
        )
    _print(report, as_json)


def _refuse_network_options(options: dict[str, Any]) -> None:
    for option in ("weights", "stem", "convention", "classes"):
        if options[option] is not None:
            raise click.UsageError(f"--{option} chooses a variant of a network, but MODEL is a saved file.")


def _print(report: Any, as_json: bool) -> None:
    checked = report.verification
    facts = {
        "path": str(report.path),
        "bytes": report.bytes,
        "binary_convolutions": checked.binary_convolutions,
        "lce_bconv2d": checked.lce_bconv2d,
        "operators": report.operators,
        "samples": checked.samples,
        "top1_agreement": checked.top1_agreement,
        "max_logit_difference": checked.max_logit_difference,
        "flipped_samples": checked.flipped_samples,
    }
    if as_json:
        print_json(facts)
        return
    print_columns(
        [
            ("file", f"{report.path} ({report.bytes:,} bytes)"),
            ("binary convolutions", f"{checked.lce_bconv2d} of {checked.binary_convolutions} are LceBconv2d"),
            ("top-1 agreement", f"{checked.top1_agreement:.0%} of {checked.samples} images, Keras beside LCE"),
            ("largest logit difference", f"{checked.max_logit_difference:.2g}"),
            ("samples with a flipped sign", f"{checked.flipped_samples} (within rounding of zero)"),
        ]
    )
