"""``larq-melius ablation``."""

import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from larq_melius.cli.completion import complete_studies
from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.output import json_option, print_columns, print_json, progress
from larq_melius.cli.recipes import dataset_option, set_option

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("study", shell_complete=complete_studies)
@dataset_option
@click.option("--data-dir", type=_FOLDER, help="Folder of the data set, or to download it to.")
@click.option("-o", "--output", type=_FOLDER, help="Folder of the runs.  [default: runs/ablation-STUDY-DATASET]")
@set_option
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Seeds to train each case with.",
)
@click.option("--devices", type=click.IntRange(min=1), help="Devices of this host to use.  [default: all GPUs]")
@json_option
def ablation(
    study: str,
    dataset: str | None,
    data_dir: Path | None,
    output: Path | None,
    settings: tuple[str, ...],
    seeds: int,
    devices: int | None,
    as_json: bool,
) -> None:
    """Run an ablation STUDY of the paper and print its table: stem, naive, optimizer, 32bit or precision.

    Finished runs are kept, so the same command continues after an interruption. Several --seeds show which
    differences are more than chance.
    """
    with one_line_errors():
        from larq_melius.zoo.ablations import find_ablation, run_ablation
        from larq_melius.zoo.training.distribution import choose_strategy
        from larq_melius.zoo.training.network import load_images

        cases = find_ablation(study)
        folder = output or Path("runs") / f"ablation-{study}-{dataset or 'imagenet2012'}"
        results = run_ablation(
            cases,
            lambda recipe: load_images(recipe, data_dir),
            folder,
            dataset=dataset,
            settings=settings,
            seeds=seeds,
            strategy=choose_strategy(devices),
            say=progress,
        )
    if as_json:
        print_json([asdict(result) for result in results])
        return
    click.echo(f"{study}: {cases.summary}")
    headers = ["", "VALIDATION TOP-1", "TRAINING TOP-1", "TRAINING LOSS", "EPOCH", "PAPER, IMAGENET"]
    print_columns([_row(result) for result in results], headers)
    if seeds > 1:
        click.echo(f"Mean ± standard deviation over {seeds} seeds.")


def _row(result: Any) -> list[str]:
    return [
        result.case.label,
        _spread(result.val_top1, "{:.2%}"),
        _spread(result.train_top1, "{:.2%}"),
        _spread(result.train_loss, "{:.4f}"),
        f"{statistics.mean(result.seconds):.1f} s",
        "" if result.case.top1 is None else f"{result.case.top1:.1%}",
    ]


def _spread(values: tuple[float, ...], template: str) -> str:
    mean = template.format(statistics.mean(values))
    return mean if len(values) == 1 else f"{mean} ± {template.format(statistics.stdev(values))}"
