"""``larq-melius weights``: what there is, getting it, checking it, adding to it."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from larq_melius.cli.errors import Group, UserError, one_line_errors
from larq_melius.cli.output import json_option, print_columns, print_json
from larq_melius.cli.preprocessing import pop_preprocessing, preprocessing_options
from larq_melius.cli.publish import publish
from larq_melius.stems import STEMS

_STEMS = click.Choice(STEMS)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_IMAGENET_CLASSES = 1000


@click.group(cls=Group)
def weights() -> None:
    """List, fetch, check, convert, register and publish weight files."""


@weights.command("list")
@click.argument("model", required=False)
@json_option
def list_(model: str | None, as_json: bool) -> None:
    """List the registered weight files, of all networks or of MODEL.

    A file is shipped with the package, cached on this machine, damaged there, or not here.
    """
    with one_line_errors():
        entries = [
            {
                "model": record.model,
                "tag": record.tag,
                "stem": record.stem,
                "top": record.include_top,
                "top1": record.top1,
                "top5": record.top5,
                "measured_by": record.measured_by,
                "state": _state(record),
                "file": record.file,
                "path": _path_here(record),
                "urls": list(record.urls),
                "license": record.license,
                "source": record.source,
            }
            for record in _records(model)
        ]
    if as_json:
        print_json(entries)
        return
    rows = [
        (
            entry["model"],
            entry["tag"],
            entry["stem"],
            "with" if entry["top"] else "without",
            _percent(entry["top1"]),
            _percent(entry["top5"]),
            entry["state"],
            entry["file"],
        )
        for entry in entries
    ]
    print_columns(rows, ("MODEL", "WEIGHTS", "STEM", "TOP", "TOP-1", "TOP-5", "STATE", "FILE"))


@weights.command()
@click.argument("model")
@click.option("--tag", help="Which weights. [default: the network's own]")
@click.option("--stem", type=_STEMS, help="First layers. [default: the network's own]")
@click.option("--no-top", is_flag=True, help="The file without the classifier.")
def fetch(model: str, tag: str | None, stem: str | None, no_top: bool) -> None:
    """Get the weights of MODEL onto this machine, and print where they are."""
    with one_line_errors():
        from larq_melius.weights import locate

        path = locate(_find(model, tag, stem, include_top=not no_top))
    click.echo(path)


@weights.command()
@click.argument("model", required=False)
def verify(model: str | None) -> None:
    """Check the hashes of all weight files on this machine, or of those of MODEL."""
    with one_line_errors():
        states = [(record.file, _state(record), _path_here(record)) for record in _records(model)]
    here = [(file, state) for file, state, path in states if path is not None]
    if not here:
        click.echo("None of the files is on this machine.")
        return
    print_columns(here)
    damaged = [path for _, state, path in states if path is not None and state == "damaged"]
    if damaged:
        raise click.ClickException(f"Damaged: {', '.join(damaged)}. Fetch or add them again.")


@weights.command()
@click.argument("file", type=_FILE)
@click.option("--model", required=True, help="Name of the network.")
@click.option("--tag", required=True, help="What weights= will find the file by, such as 'imagenet'.")
@click.option("--stem", type=_STEMS, help="First layers. [default: the network's own]")
@click.option("--convention", type=click.Choice(["authors", "larq_zoo"]), default="authors", show_default=True)
@click.option("--no-top", is_flag=True, help="The file holds no classifier.")
@click.option("--input-size", type=click.IntRange(min=1), help="Side of the image in pixels.")
@click.option("--labels", type=_FILE, help="Names of the classes, one a line. [default: ImageNet's]")
@preprocessing_options("ImageNet's")
@click.option("--top1", type=click.FloatRange(0, 1), help="Share of correct answers, 0 to 1.")
@click.option("--top5", type=click.FloatRange(0, 1), help="Share of answers with the correct one among five.")
@click.option("--trained-on", default="", help="Data set and split of the training.")
@click.option("--measured-by", default="", help="Who measured the accuracy.")
@click.option("--source", default="", help="How, or by whom, the weights were made.")
@click.option("--license", default="", help="SPDX identifier.")
def add(
    file: Path,
    model: str,
    no_top: bool,
    input_size: int | None,
    labels: Path | None,
    **fields: Any,
) -> None:
    """Register the weight FILE, so that weights= finds it by its tag on this machine."""
    given = pop_preprocessing(fields)
    with one_line_errors():
        from larq_melius.models.registry import find_variant
        from larq_melius.preprocessing import IMAGENET
        from larq_melius.registration import add_weights

        channels = find_variant(model).input_shape[2]
        record = add_weights(
            file,
            model,
            include_top=not no_top,
            input_shape=(input_size, input_size, channels) if input_size else None,
            classes=labels.read_text("utf-8").splitlines() if labels else None,
            preprocessing=replace(IMAGENET, **given),
            **fields,
        )
    click.echo(f"{record.model}(weights={record.tag!r}, stem={record.stem!r}) now loads a copy of {file}.")


@weights.command()
@click.argument("model")
@click.option("--tag", required=True, help="Which weights.")
@click.option("--stem", type=_STEMS, help="First layers. [default: the network's own]")
@click.option("--no-top", is_flag=True, help="The file without the classifier.")
def remove(model: str, tag: str, stem: str | None, no_top: bool) -> None:
    """Remove the weights of MODEL from this machine, and their entry if they were added here."""
    with one_line_errors():
        from larq_melius.registration import remove_weights

        record = _exactly(model, tag, stem, include_top=not no_top)
        remove_weights(record)
    click.echo(f"Removed {record.file}.")


@weights.command("import")
@click.argument("source", type=_FILE)
@click.option("--model", required=True, help="Name of the network in the file.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.option("--stem", type=_STEMS, help="First layers. [default: those of the file]")
@click.option("--input-size", type=click.IntRange(min=1), help="Side of the image. [default: the network's own]")
@click.option(
    "--format", "kind", type=click.Choice(["bmxnet", "bitorch", "larq_zoo"]), help="[default: that of the file]"
)
def import_(source: Path, model: str, output: Path, stem: str | None, input_size: int | None, kind: str | None) -> None:
    """Convert SOURCE, a checkpoint of BMXNet-v2 (.params), BITorch (.pth, .ckpt) or the Larq Zoo (.h5).

    The suffix of the output says what is written: .npz (packed, one bit a binary weight), .h5 (Keras weights) or
    .keras (the whole model).
    """
    if output.suffix not in (".npz", ".h5", ".keras"):
        raise click.UsageError(f"{output} must end in .npz, .h5 or .keras.")
    with one_line_errors():
        from larq_melius.analysis.padding import pads_with_minus_one
        from larq_melius.converters import import_weights, recognize_format
        from larq_melius.files import check_writable
        from larq_melius.models.registry import find_variant
        from larq_melius.weights.saving import save_weights

        check_writable(output)
        kind = kind or recognize_format(source)
        shape = {"input_shape": (input_size, input_size, find_variant(model).input_shape[2])} if input_size else {}
        network = import_weights(source, model, stem=stem, format=kind, **shape)
        other_padding = pads_with_minus_one(network)
        if output.suffix != ".keras" and other_padding:
            raise ValueError(
                f"{model} from {source} pads with -1, which the weights alone do not tell, and would be wrong in the "
                "zoo's own network: write the whole model, to a .keras file."
            )
        save_weights(network, output)
        options = _options_for_add(network, model, kind)
    click.echo(f"Wrote {output} ({output.stat().st_size:,} bytes).")
    if other_padding:
        click.echo(
            "It pads with -1, as it was trained, which no network of the zoo and no LceBconv2d does: it cannot be "
            "exported or registered; use it with tf.keras.models.load_model."
        )
        return
    click.echo("To use it by a tag:")
    click.echo(f"  larq-melius weights add {shlex.quote(str(output))} {options}")


weights.add_command(publish)


def _records(model: str | None) -> list[Any]:
    from larq_melius.models.registry import find_variant
    from larq_melius.weights import list_records

    name = find_variant(model).name if model else None
    return [record for record in list_records() if name in (None, record.model)]


def _find(model: str, tag: str | None, stem: str | None, *, include_top: bool) -> Any:
    from larq_melius.models.registry import find_variant
    from larq_melius.weights.loading import check_weights

    variant = find_variant(model)
    tag = tag or variant.weights
    if Path(tag).exists():
        raise UserError(f"--tag names weights of the registry, but {tag} is a file.")
    return check_weights(tag, variant.name, stem or variant.stem, include_top=include_top)


def _exactly(model: str, tag: str, stem: str | None, *, include_top: bool) -> Any:
    """The record of that very file: nothing must be removed in the place of another."""
    from larq_melius.models.registry import find_variant

    variant = find_variant(model)
    key = (variant.name, tag, stem or variant.stem, include_top)
    record = next((record for record in _records(model) if record.key == key), None)
    if record is None:
        raise UserError(
            f"There is no file of {tag!r} weights of {variant.name} with the {key[2]} stem and "
            f"{'with' if include_top else 'without'} the classifier: see 'larq-melius weights list {variant.name}'."
        )
    return record


def _path_here(record: Any) -> str | None:
    from larq_melius.weights.store import cached_path, shipped_path

    path = shipped_path(record) or cached_path(record)
    return str(path) if path.is_file() else None


def _state(record: Any) -> str:
    from larq_melius.weights.store import is_intact, shipped_path

    path = _path_here(record)
    if path is None:
        return "not here"
    if not is_intact(record, Path(path)):
        return "damaged"
    return "shipped" if shipped_path(record) else "cached"


def _options_for_add(network: Any, model: str, kind: str) -> str:
    """The options of ``weights add`` that fit an imported network, where they are not the usual ones."""
    from larq_melius.models.registry import find_variant
    from larq_melius.weights.loading import CLASSIFIER

    variant = find_variant(model)
    options = ["--model", variant.name, "--tag", "imagenet"]
    stem = _stem_of(network)
    if stem != variant.stem:
        options += ["--stem", stem]
    size = network.input_shape[1]
    if size not in (None, variant.input_shape[0]):
        options += ["--input-size", str(size)]
    if kind == "larq_zoo":
        options += ["--convention", "larq_zoo"]
    if network.layers[-1].name != CLASSIFIER:
        options += ["--no-top"]
    elif network.output_shape[-1] != _IMAGENET_CLASSES:
        options += ["--labels", "LABELS.txt"]
    return " ".join(options)


def _stem_of(network: Any) -> str:
    names = {layer.name for layer in network.layers}
    if "stem_conv1" in names:
        return "grouped"
    return "conv7x7" if "stem_bn" in names else "thumbnail"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
