"""``larq-melius weights``: lists, downloads, checks, converts and registers weight files."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from larq_melius.cli.completion import complete_networks, complete_tags
from larq_melius.cli.errors import Group, UserError, one_line_errors
from larq_melius.cli.output import json_option, print_columns, print_json
from larq_melius.cli.preprocessing import pop_preprocessing, preprocessing_options
from larq_melius.cli.publish import publish
from larq_melius.stems import STEMS

_STEMS = click.Choice(STEMS)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_IMAGENET_CLASSES = 1000

_model_argument = click.argument("model", shell_complete=complete_networks)
_optional_model_argument = click.argument("model", required=False, shell_complete=complete_networks)
_model_option = click.option("--model", required=True, help="Name of the network.", shell_complete=complete_networks)
_stem_option = click.option("--stem", type=_STEMS, help="First layers.  [default: the network's own]")


@click.group(cls=Group)
def weights() -> None:
    """List, fetch, check, convert, register and publish weight files."""


@weights.command("list")
@_optional_model_argument
@json_option
def list_(model: str | None, as_json: bool) -> None:
    """List the registered weight files, of all networks or of MODEL.

    STATE says where a file is: 'shipped' with the package, 'cached' on this machine, 'damaged' there, or 'not here'.
    """
    with one_line_errors(tensorflow=False):
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
@_model_argument
@click.option("--tag", help="Which weights.  [default: the network's own]", shell_complete=complete_tags)
@_stem_option
@click.option("--no-top", is_flag=True, help="Fetch the file without the classifier.")
def fetch(model: str, tag: str | None, stem: str | None, no_top: bool) -> None:
    """Download the weights of MODEL if necessary, and print the path of the file."""
    with one_line_errors(tensorflow=False):
        from larq_melius.weights.store import locate

        path = locate(_find(model, tag, stem, include_top=not no_top))
    click.echo(path)


@weights.command()
@_optional_model_argument
def verify(model: str | None) -> None:
    """Check the hashes of all weight files on this machine, or of those of MODEL."""
    with one_line_errors(tensorflow=False):
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
@_model_option
@click.option("--tag", required=True, help="Name of the weights for weights=, such as 'imagenet'.")
@_stem_option
@click.option("--convention", type=click.Choice(["authors", "larq_zoo"]), default="authors", show_default=True)
@click.option("--no-top", is_flag=True, help="The file has no classifier.")
@click.option("--input-size", type=click.IntRange(min=1), help="Height and width of the image in pixels.")
@click.option("--labels", type=_FILE, help="File with the names of the classes, one per line.  [default: ImageNet's]")
@preprocessing_options("ImageNet's")
@click.option("--top1", type=click.FloatRange(0, 1), help="Top-1 accuracy, 0 to 1.")
@click.option("--top5", type=click.FloatRange(0, 1), help="Top-5 accuracy, 0 to 1.")
@click.option("--trained-on", default="", help="Data set and split that the weights were trained on.")
@click.option("--measured-by", default="", help="Who measured the accuracy.")
@click.option("--source", default="", help="Who made the weights, and how.")
@click.option("--license", default="", help="SPDX identifier of the license.")
def add(
    file: Path,
    model: str,
    no_top: bool,
    input_size: int | None,
    labels: Path | None,
    **fields: Any,
) -> None:
    """Copy the weight FILE into the cache and register it, so that weights=TAG loads it on this machine."""
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
@_model_argument
@click.option("--tag", required=True, help="Which weights.", shell_complete=complete_tags)
@_stem_option
@click.option("--no-top", is_flag=True, help="Remove the file without the classifier.")
def remove(model: str, tag: str, stem: str | None, no_top: bool) -> None:
    """Remove the weights of MODEL from this machine, and from the registry if they were added with 'weights add'."""
    with one_line_errors(tensorflow=False):
        from larq_melius.registration import remove_weights

        record = _exactly(model, tag, stem, include_top=not no_top)
        remove_weights(record)
    click.echo(f"Removed {record.file}.")


@weights.command("import")
@click.argument("source", type=_FILE)
@_model_option
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.option("--stem", type=_STEMS, help="First layers.  [default: those in the file]")
@click.option(
    "--input-size",
    type=click.IntRange(min=1),
    help="Side of the image in pixels.  [default: the network's own]",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["bmxnet", "bitorch", "larq_zoo"]),
    help="Format of SOURCE.  [default: recognized from the file]",
)
def import_(source: Path, model: str, output: Path, stem: str | None, input_size: int | None, kind: str | None) -> None:
    """Convert SOURCE, a checkpoint of BMXNet-v2 (.params), BITorch (.pth, .ckpt) or the Larq Zoo (.h5).

    The suffix of the output selects its format: .npz (packed, one bit per binary weight), .h5 (Keras weights) or
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
                f"{source} is of a {model} that pads with -1, which a weight file does not store, and which the zoo's "
                "own network does not do: save the whole model, as a .keras file."
            )
        save_weights(network, output)
        options = _options_for_add(network, model, kind)
    click.echo(f"Wrote {output} ({output.stat().st_size:,} bytes).")
    if other_padding:
        click.echo(
            "The model pads with -1, as it was trained. Neither the zoo's networks nor LceBconv2d can do that: use it "
            "with tf.keras.models.load_model; it cannot be exported or registered."
        )
        return
    click.echo("To load it by a tag:")
    click.echo(f"  larq-melius weights add {shlex.quote(str(output))} {options}")


weights.add_command(publish)


def _records(model: str | None) -> list[Any]:
    from larq_melius.models.registry import find_variant
    from larq_melius.weights.records import list_records

    name = find_variant(model).name if model else None
    return [record for record in list_records() if name in (None, record.model)]


def _find(model: str, tag: str | None, stem: str | None, *, include_top: bool) -> Any:
    from larq_melius.models.registry import find_variant
    from larq_melius.weights.lookup import check_weights

    variant = find_variant(model)
    tag = tag or variant.weights
    if Path(tag).exists():
        raise UserError(f"--tag takes a tag of the registry, and {tag} is a file.")
    return check_weights(tag, variant.name, stem or variant.stem, include_top=include_top)


def _exactly(model: str, tag: str, stem: str | None, *, include_top: bool) -> Any:
    """The record of exactly this file; unlike for loading, no other file may take its place."""
    from larq_melius.models.registry import find_variant

    variant = find_variant(model)
    key = (variant.name, tag, stem or variant.stem, include_top)
    record = next((record for record in _records(model) if record.key == key), None)
    if record is None:
        raise UserError(
            f"There are no {tag!r} weights of {variant.name} with the {key[2]} stem and "
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
    """The options that ``weights add`` needs for an imported network."""
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
