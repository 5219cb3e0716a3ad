"""``larq-melius train``."""

import shlex
from pathlib import Path
from typing import Any

import click

from larq_melius.cli.completion import complete_recipes
from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.preprocessing import as_options
from larq_melius.cli.recipes import dataset_option, set_option

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("recipe", shell_complete=complete_recipes)
@dataset_option
@click.option("--data-dir", type=_FOLDER, help="Folder of the data set, or to download it to.")
@click.option("-o", "--output", type=_FOLDER, help="Folder of the run.  [default: runs/RECIPE-DATASET]")
@set_option
@click.option("--epochs", type=click.IntRange(min=1), help="Short for --set epochs=N.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images per step, over all devices.")
@click.option(
    "--precision", type=click.Choice(["float32", "mixed_float16", "mixed_bfloat16"]), help="Arithmetic of the layers."
)
@click.option("--xla/--no-xla", default=None, help="Compile the step with XLA.")
@click.option("--resume", is_flag=True, help="Continue from the run's last checkpoint, if there is one.")
@click.option(
    "--checkpoint-steps", type=click.IntRange(min=1), default=1000, show_default=True, help="Steps between checkpoints."
)
@click.option("--devices", type=click.IntRange(min=1), help="Devices of this host to use.  [default: all GPUs]")
@click.option("--hosts", help="host:port of every worker, separated by commas; the same on each.")
@click.option("--host-index", type=click.IntRange(min=0), help="Index of this process in --hosts, from 0.")
@click.option("--slurm", is_flag=True, help="Take the workers from the SLURM job, one per task of srun.")
@click.option("--trust", is_flag=True, help="Load a teacher from a file even if it may run code of its own.")
def train(
    recipe: str,
    dataset: str | None,
    data_dir: Path | None,
    output: Path | None,
    settings: tuple[str, ...],
    resume: bool,
    checkpoint_steps: int,
    devices: int | None,
    hosts: str | None,
    host_index: int | None,
    slurm: bool,
    trust: bool,
    **shortcuts: Any,
) -> None:
    """Train a network by RECIPE, the name of a network or another recipe, or a JSON file.

    Ctrl-C writes a checkpoint and stops; the same command with --resume continues. Several hosts need a shared folder.
    """
    if (hosts is None) != (host_index is None):
        raise click.UsageError("--hosts and --host-index go together.")
    if slurm and hosts is not None:
        raise click.UsageError("Give either --hosts or --slurm.")
    short = [f"{name}={value}" for name, value in shortcuts.items() if value is not None]
    with one_line_errors():
        from larq_melius.preprocessing import IMAGENET
        from larq_melius.zoo.recipes import load_recipe, preset_name
        from larq_melius.zoo.runs import files
        from larq_melius.zoo.training.distribution import (
            choose_strategy,
            cluster_from_hosts,
            cluster_from_slurm,
            is_chief,
        )
        from larq_melius.zoo.training.interruption import TrainingStopped
        from larq_melius.zoo.training.network import load_images
        from larq_melius.zoo.training.trainer import train as train_network

        chosen = load_recipe(recipe, dataset=dataset, settings=[*settings, *short])
        if hosts is not None:
            cluster_from_hosts(hosts.split(","), host_index or 0)
        elif slurm:
            cluster_from_slurm()
        strategy = choose_strategy(devices)
        name = preset_name(recipe) or Path(recipe).stem
        folder = output or Path("runs") / f"{name}-{chosen.dataset.replace(':', '-')}"
        data = load_images(chosen, data_dir)
        try:
            log = train_network(
                chosen,
                data,
                folder,
                strategy=strategy,
                resume=resume,
                checkpoint_steps=checkpoint_steps,
                trust=trust,
            )
        except TrainingStopped as stopped:
            click.echo(f"{stopped} Run the command again with --resume to go on.", err=True)
            raise click.exceptions.Exit(130) from stopped
        if not is_chief(strategy):
            return
    best = max(log, key=lambda row: row.rank)
    # Among five classes or fewer, the right one is always among the best five.
    top5 = f" {best.val_top5:.2%} top-5," if len(data.classes) > 5 else ""
    click.echo(f"Best: {best.val_top1:.2%} top-1,{top5} in epoch {best.epoch} of {len(log)}.")
    click.echo(f"The network of that epoch is {folder / files.BEST}, the log {folder / files.LOG}.")
    # A saved network stores neither its classes nor how images are prepared.
    untold = ["--labels", folder / files.LABELS, *as_options(data.preprocessing, IMAGENET)]
    for command in (
        ("runs", "plot", folder, "-o", "accuracy.png"),
        ("export", folder / files.BEST, "-o", "model.tflite", *untold),
    ):
        click.echo("  " + shlex.join(map(str, ("larq-melius", *command))))
