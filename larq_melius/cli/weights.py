"""``larq-melius weights``: what there is, getting it, checking it, adding to it."""

from pathlib import Path
from typing import Any

import click

from larq_melius.cli.errors import UserError, library
from larq_melius.cli.export import Numbers
from larq_melius.cli.output import json_option, print_columns, print_json
from larq_melius.cli.publish import publish

_STEMS = click.Choice(["grouped", "conv7x7", "thumbnail"])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def weights() -> None:
    """List, fetch, check, convert, register and publish weight files."""


@weights.command("list")
@click.argument("model", required=False)
@json_option
def list_(model: str | None, as_json: bool) -> None:
    """List the registered weight files, of all networks or of MODEL."""
    with library():
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
                "licence": record.licence,
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
@click.option("--tag", default="imagenet", show_default=True, help="Which weights.")
@click.option("--stem", type=_STEMS, help="First layers. [default: the network's own]")
@click.option("--no-top", is_flag=True, help="The file without the classifier.")
def fetch(model: str, tag: str, stem: str | None, no_top: bool) -> None:
    """Get the weights of MODEL onto this machine, and print where they are."""
    with library():
        from larq_melius.weights import locate

        path = locate(_find(model, tag, stem, include_top=not no_top))
    click.echo(path)


@weights.command()
@click.argument("model", required=False)
def verify(model: str | None) -> None:
    """Check the hashes of all weight files on this machine, or of those of MODEL."""
    with library():
        states = [(record.file, _state(record)) for record in _records(model)]
    here = [(file, state) for file, state in states if state != "not here"]
    print_columns(here)
    damaged = [file for file, state in here if state == "damaged"]
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
@click.option("--mean", type=Numbers(), help="Mean of each channel, on the scale 0 to 255. [default: ImageNet's]")
@click.option("--std", type=Numbers(), help="Standard deviation of each channel. [default: ImageNet's]")
@click.option("--top1", type=click.FloatRange(0, 1), help="Share of correct answers, 0 to 1.")
@click.option("--top5", type=click.FloatRange(0, 1), help="Share of answers with the correct one among five.")
@click.option("--source", default="", help="How, or by whom, the weights were made.")
@click.option("--licence", default="", help="SPDX identifier.")
def add(
    file: Path,
    model: str,
    no_top: bool,
    input_size: int | None,
    labels: Path | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    **fields: Any,
) -> None:
    """Register the weight FILE, so that weights= finds it by its tag on this machine."""
    with library():
        from larq_melius.models.registry import find_variant
        from larq_melius.preprocessing import IMAGENET, Preprocessing
        from larq_melius.weights.user_registry import add_weights

        channels = find_variant(model).input_shape[2]
        preprocessing = IMAGENET
        if mean is not None or std is not None:
            preprocessing = Preprocessing(mean or IMAGENET.mean, std or IMAGENET.std, IMAGENET.crop_fraction)
        record = add_weights(
            file,
            model,
            include_top=not no_top,
            input_shape=(input_size, input_size, channels) if input_size else None,
            classes=labels.read_text("utf-8").splitlines() if labels else None,
            preprocessing=preprocessing,
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
    with library():
        from larq_melius.weights.user_registry import remove_weights

        record = _find(model, tag, stem, include_top=not no_top)
        remove_weights(record)
    click.echo(f"Removed {record.file}.")


@weights.command("import")
@click.argument("source", type=_FILE)
@click.option("--model", required=True, help="Name of the network in the file.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.option("--stem", type=_STEMS, help="First layers. [default: those of the file]")
@click.option(
    "--format", "kind", type=click.Choice(["bmxnet", "bitorch", "larq_zoo"]), help="[default: that of the file]"
)
def import_(source: Path, model: str, output: Path, stem: str | None, kind: str | None) -> None:
    """Convert SOURCE, a checkpoint of BMXNet-v2 (.params), BITorch (.pth, .ckpt) or the Larq Zoo (.h5).

    The suffix of the output says what is written: .npz (packed, one bit a binary weight), .h5 (Keras weights) or
    .keras (the whole model).
    """
    if output.suffix not in (".npz", ".h5", ".keras"):
        raise click.UsageError(f"{output} must end in .npz, .h5 or .keras.")
    with library():
        from larq_melius.converters import import_weights, recognise_format
        from larq_melius.weights.saving import save_weights

        kind = kind or recognise_format(source)
        network = import_weights(source, model, stem=stem, format=kind)
        if output.suffix != ".keras" and _pads_with_minus_one(network):
            raise ValueError(
                f"{model} from {source} pads with -1, which the weights alone do not tell, and would be wrong in the "
                "zoo's own network: write the whole model, to a .keras file."
            )
        save_weights(network, output)
    click.echo(f"Wrote {output} ({output.stat().st_size:,} bytes).")
    if output.suffix != ".keras":
        convention = " --convention larq_zoo" if kind == "larq_zoo" else ""
        click.echo("To use it by a tag, with the stem of the file:")
        click.echo(f"  larq-melius weights add {output} --model {model} --tag imagenet{convention}")


weights.add_command(publish)


def _records(model: str | None) -> list[Any]:
    from larq_melius.models.registry import find_variant
    from larq_melius.weights import list_records

    name = find_variant(model).name if model else None
    return [record for record in list_records() if name in (None, record.model)]


def _find(model: str, tag: str, stem: str | None, *, include_top: bool) -> Any:
    from larq_melius.models.registry import find_variant
    from larq_melius.weights.loading import check_weights

    variant = find_variant(model)
    if Path(tag).exists():
        raise UserError(f"--tag names weights of the registry, but {tag} is a file.")
    return check_weights(tag, variant.name, stem or variant.stem, include_top=include_top)


def _state(record: Any) -> str:
    from larq_melius.weights.store import cached_path, is_intact, shipped_path

    path = shipped_path(record) or cached_path(record)
    if not path.is_file():
        return "not here"
    if not is_intact(record, path):
        return "damaged"
    return "shipped" if shipped_path(record) else "here"


def _pads_with_minus_one(network: Any) -> bool:
    return any(-1.0 in (getattr(layer, "pad_values", None), getattr(layer, "value", None)) for layer in network.layers)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
