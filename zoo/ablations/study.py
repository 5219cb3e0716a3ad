"""Runs the trainings of a study, one after the other, for several seeds."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tensorflow as tf

from larq_melius.zoo.ablations.presets import Ablation, Case
from larq_melius.zoo.data import ImageDataset
from larq_melius.zoo.recipes import Recipe, load_recipe
from larq_melius.zoo.runs.log import EpochLog
from larq_melius.zoo.training.trainer import train


@dataclass(frozen=True)
class CaseResult:
    """The results of one case, a value for each seed.

    Attributes:
        case: The case.
        val_top1: Top-1 accuracy on the validation images after the last epoch.
        train_top1: Top-1 accuracy on the training images during the last epoch.
        train_loss: Mean training loss of the last epoch.
        seconds: Median time of an epoch.
    """

    case: Case
    val_top1: tuple[float, ...]
    train_top1: tuple[float, ...]
    train_loss: tuple[float, ...]
    seconds: tuple[float, ...]


def case_recipe(case: Case, dataset: str | None, settings: Sequence[str], seed: int) -> Recipe:
    """The recipe of a case; a user's settings are applied last, the same to all cases."""
    return load_recipe(case.recipe, dataset=dataset, settings=[*case.settings, *settings, f"seed={seed}"])


def run_ablation(
    ablation: Ablation,
    load: Callable[[Recipe], ImageDataset],
    folder: Path,
    *,
    dataset: str | None = None,
    settings: Sequence[str] = (),
    seeds: int = 1,
    strategy: tf.distribute.Strategy | None = None,
    say: Callable[[str], None] = print,
) -> list[CaseResult]:
    """Trains every case with every seed, except for those that are finished.

    Args:
        ablation: The study.
        load: Loads the images of a recipe.
        folder: Folder of the runs, ``folder/CASE/seed-N``.
        dataset: Data set to use instead of the recipes'.
        settings: ``key=value`` texts for all cases.
        seeds: Trainings of each case, with different initial weights, orders and augmentations.
        strategy: The devices to train on.
        say: Called with a line of text before each training.

    Raises:
        OSError: If a file cannot be read or written.
        RuntimeError: If a training diverges.
        ValueError: If a recipe does not fit the data.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}.")
    results = []
    for case in ablation.cases:
        logs: list[list[EpochLog]] = []
        for seed in range(1, seeds + 1):
            recipe = case_recipe(case, dataset, settings, seed)
            run = folder / _folder_name(case.label) / f"seed-{seed}"
            say(f"{case.label}, seed {seed}: {run}")
            logs.append(
                train(recipe, _enlarged(load(recipe), ablation.smallest_image), run, strategy=strategy, resume=True)
            )
        last = [log[-1] for log in logs]
        results.append(
            CaseResult(
                case,
                tuple(row.val_top1 for row in last),
                tuple(row.train_top1 for row in last),
                tuple(row.train_loss for row in last),
                tuple(statistics.median(row.seconds for row in log) for log in logs),
            )
        )
    return results


def _enlarged(data: ImageDataset, smallest: int) -> ImageDataset:
    height, width, channels = data.input_shape
    return replace(data, input_shape=(max(height, smallest), max(width, smallest), channels))


def _folder_name(label: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in label.lower()).split())
