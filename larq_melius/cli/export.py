"""``larq-melius export``."""

from pathlib import Path
from typing import Any

import click

from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.network import classifier_options, pop_classifier_options, say_assumptions
from larq_melius.cli.output import json_option, print_columns, print_json, progress


@click.command()
@click.argument("model")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@classifier_options()
@click.option(
    "--image", "images", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Image to check with."
)
@json_option
def export(
    model: str,
    output: Path,
    images: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Export MODEL to a .tflite file for Larq Compute Engine.

    MODEL is a network's name, a saved Keras file (.keras, .h5, .hdf5) or a SavedModel folder. Before the file is put in
    place, it is run and compared with Keras: logits and top-1 classes must agree, and every binary convolution must
    have become an LceBconv2d.
    """
    arguments = pop_classifier_options(options)
    with one_line_errors():
        from larq_melius.converters import export_tflite
        from larq_melius.files import check_writable
        from larq_melius.zoo.classifiers import load_network

        check_writable(output)
        network = load_network(model, **arguments)
        say_assumptions(network)
        record = network.record
        report = export_tflite(
            network.model,
            output,
            preprocessing=network.known_preprocessing(),
            labels=network.labels,
            input_size=(arguments["input_size"],) * 2 if arguments["input_size"] else None,
            images=images,
            name=record.model if record else None,
            license=record.license if record else "",
            progress=progress,
        )
    _print(report, as_json)


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
        "largest_delegate_difference": max(checked.delegate_differences) if checked.delegate_differences else None,
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
            ("delegate beside LCE", _delegate_text(checked)),
        ]
    )


def _delegate_text(checked: Any) -> str:
    if checked.delegate_differences is None:
        return "not compared: this installation has no delegate"
    return f"within {max(checked.delegate_differences):.1g} of the standard deviation of an image's logits"
