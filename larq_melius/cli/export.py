"""``larq-melius export``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from larq_melius.cli.completion import complete_networks_or_files
from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.network import classifier_options, pop_classifier_options, say_assumptions
from larq_melius.cli.output import json_option, print_columns, print_json, progress

#: What ``Batch`` gives for "any".
ANY = 0


class Batch(click.ParamType):
    """A number of images, or "any"."""

    name = "N|any"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> int:
        """Parses the number, or fails with one line."""
        if value == "any":
            return ANY
        number = int(value) if str(value).isdecimal() else 0
        if number < 1:
            self.fail(f"{value!r} is neither a number from 1 nor 'any'", param, context)
        return number


@click.command()
@click.argument("model", shell_complete=complete_networks_or_files)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@classifier_options("input_size")
@click.option("--input-size", nargs=2, type=click.IntRange(min=1), metavar="H W", help="Height and width of the image.")
@click.option("--batch", type=Batch(), default="1", show_default=True, help="Images at once, or 'any' number of them.")
@click.option(
    "--image", "images", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Image to check with."
)
@click.option(
    "--quantize",
    metavar="[weights|float16]",
    help="Store the weights of 32-bit layers in 8 bits or as 16-bit floats.  [default: 32 bits]",
)
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="HTML page to write about the export.")
@json_option
def export(
    model: str,
    output: Path,
    images: tuple[str, ...],
    input_size: tuple[int, int] | None,
    batch: int,
    quantize: str | None,
    report: Path | None,
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
        from larq_melius.converters.quantization.weight_only import check_quantization
        from larq_melius.files import check_writable
        from larq_melius.zoo.classifiers import load_network

        check_writable(output)
        if quantize is not None:
            check_quantization(quantize)
        network = load_network(model, **arguments)
        say_assumptions(network)
        record = network.record
        exported = export_tflite(
            network.model,
            output,
            preprocessing=network.known_preprocessing(),
            labels=network.labels,
            input_size=input_size,
            images=images,
            name=record.model if record else None,
            license=record.license if record else "",
            quantize=quantize,
            batch=None if batch == ANY else batch,
            page=report,
            progress=progress,
        )
    for warning in exported.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if exported.batch is None:
        click.echo(
            "Note: Larq Compute Engine's interpreter cannot resize a network: it runs one image at a time.", err=True
        )
    _print(exported, as_json)


def _print(report: Any, as_json: bool) -> None:
    checked = report.verification
    facts = {
        "path": str(report.path),
        "bytes": report.bytes,
        "batch": report.batch or "any",
        "warnings": report.warnings,
        "quantization": checked.quantization,
        "binary_convolutions": checked.binary_convolutions,
        "lce_bconv2d": checked.lce_bconv2d,
        "operators": report.operators,
        "samples": checked.samples,
        "top1_agreement": checked.top1_agreement,
        "max_logit_difference": checked.max_logit_difference,
        "flipped_samples": checked.flipped_samples,
        "largest_lce_difference": max(checked.relative_differences),
        "largest_delegate_difference": max(checked.delegate_differences) if checked.delegate_differences else None,
    }
    if as_json:
        print_json(facts)
        return
    delegated = checked.delegate_differences is not None
    print_columns(
        [
            ("file", f"{report.path} ({report.bytes:,} bytes)"),
            ("binary convolutions", f"{checked.lce_bconv2d} of {checked.binary_convolutions} are LceBconv2d"),
            ("top-1 agreement", f"{checked.top1_agreement:.0%} of {checked.samples} images, the file beside Keras"),
            ("largest logit difference", f"{checked.max_logit_difference:.2g}"),
            _signs_row(checked),
            ("LCE beside Keras", _difference_text(checked.relative_differences)),
            (
                "delegate beside Keras",
                _difference_text(checked.delegate_differences)
                if delegated
                else "not compared: this installation has no delegate",
            ),
        ]
    )


def _signs_row(checked: Any) -> tuple[str, str]:
    reason = "within rounding of zero" if checked.quantization is None else "by rounding the weights"
    return "samples with a flipped sign", f"{checked.flipped_samples} ({reason})"


def _difference_text(differences: Sequence[float]) -> str:
    images = "1 image" if len(differences) == 1 else f"{len(differences)} images"
    return f"within {max(differences):.1g} of the standard deviation of an image's logits, {images}"
