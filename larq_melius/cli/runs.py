"""``larq-melius runs``: lists, compares and plots trainings, without importing TensorFlow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from larq_melius.cli.errors import Group, error_text, one_line_errors
from larq_melius.cli.output import json_option, print_columns, print_json

if TYPE_CHECKING:
    from larq_melius.zoo.runs.folder import Run

_FOLDER = click.Path(path_type=Path)


@click.group(cls=Group)
def runs() -> None:
    """List, compare and plot trainings."""


@runs.command("list")
@click.argument("folder", type=_FOLDER, default=Path("runs"))
@json_option
def list_(folder: Path, as_json: bool) -> None:
    """List the runs in FOLDER, by default 'runs'."""
    with one_line_errors(tensorflow=False):
        from larq_melius.zoo.runs.folder import find_runs

        entries = [_entry(path, path.relative_to(folder)) for path in find_runs(folder)]
    if as_json:
        print_json(entries)
        return
    if not entries:
        click.echo(f"There are no runs under {folder}.")
        return
    rows = [
        (
            entry["run"],
            entry["model"] or "-",
            entry["stem"] or "-",
            entry["dataset"] or "-",
            f"{entry['epochs_done']}/{entry['epochs_planned']}" if entry["epochs_planned"] else "-",
            "-" if entry["best_top1"] is None else f"{entry['best_top1']:.2%}",
            entry["error"] or "",
        )
        for entry in entries
    ]
    print_columns(rows, ("RUN", "MODEL", "STEM", "DATA SET", "EPOCHS", "BEST TOP-1", ""))


@runs.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=_FOLDER)
@click.option("--reach", type=click.FloatRange(0, 1, min_open=True), help="Also the time to this top-1, such as 0.6.")
@json_option
def compare(folders: tuple[Path, ...], reach: float | None, as_json: bool) -> None:
    """Compare runs with each other and with the authors' trainings.

    A RUN is its folder. Runs on ImageNet are also compared with the authors' own training of the same network.

    Accuracies are on the validation images, except for TRAIN TOP-1; each TOP-5 is of the same epoch as the TOP-1 to its
    left. LEFT is estimated from the newest five epochs.
    """
    with one_line_errors(tensorflow=False):
        from larq_melius.zoo.runs.compare import compare_runs, render

        comparison = compare_runs(_load(folders), reach=reach)
        text = render(comparison)
    if as_json:
        print_json(comparison.to_dict())
        return
    click.echo(text)


@runs.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=_FOLDER)
@click.option("-o", "--output", required=True, type=_FOLDER, help="File to write: .png, .svg or .pdf.")
@click.option("--flips", is_flag=True, help="Plot how often the signs of weights flipped.")
@click.option("--layer", "layers", multiple=True, help="With --flips: a layer to plot; may be repeated.")
@click.option("--no-authors", is_flag=True, help="Do not draw the authors' curves.")
def plot(folders: tuple[Path, ...], output: Path, flips: bool, layers: tuple[str, ...], no_authors: bool) -> None:
    """Plot accuracy or sign flips over the epochs.

    A RUN is its folder. Runs on ImageNet are drawn with the authors' own curves of the same networks. --flips plots the
    first and the last layer whose flips are counted, or those named with --layer.
    """
    if layers and not flips:
        raise click.UsageError("--layer goes with --flips.")
    if no_authors and flips:
        raise click.UsageError("--no-authors does not go with --flips: the authors published accuracies only.")
    with one_line_errors(tensorflow=False):
        from larq_melius.files import check_writable
        from larq_melius.zoo.runs.plot import plot_accuracy, plot_flips

        check_writable(output)
        loaded = _load(folders)
        if flips:
            plot_flips(loaded, output, layers=layers or None)
        else:
            plot_accuracy(loaded, output, authors=not no_authors)
    click.echo(f"Wrote {output}.")


def _load(folders: tuple[Path, ...]) -> "list[Run]":
    from larq_melius.zoo.runs.folder import load_run

    return [load_run(folder) for folder in folders]


def _entry(path: Path, name: Path) -> dict[str, Any]:
    """A row of the list, also for a damaged run."""
    from larq_melius.zoo.runs.folder import load_run

    entry = dict.fromkeys(("model", "stem", "dataset", "epochs_done", "epochs_planned", "best_top1", "error"))
    entry = {"run": str(name), **entry}
    try:
        run = load_run(path, empty=True)
    except (ValueError, OSError) as error:
        return {**entry, "error": error_text(error)}
    return {
        **entry,
        "model": run.model,
        "stem": run.stem,
        "dataset": run.recipe.dataset,
        "epochs_done": len(run.log),
        "epochs_planned": run.recipe.epochs,
        "best_top1": run.best.val_top1 if run.log else None,
    }
