"""Compares runs with each other and with the authors' trainings of the same networks, in figures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from statistics import fmean
from typing import Any

from larq_melius.zoo.runs.authors import DATASET, AuthorsEpoch
from larq_melius.zoo.runs.folder import Run, short_names
from larq_melius.zoo.runs.log import EpochLog
from larq_melius.zoo.runs.standing import Standing, authors_run, reason_not_comparable, settings, standing

# How many of the newest epochs tell how long the next ones will take: a resumed run may be on another machine.
_RECENT = 5


@dataclass(frozen=True)
class Summary:
    """What a training has come to.

    Attributes:
        name: A name for it that no other in the comparison has.
        model: Name of the network.
        stem: Its stem.
        dataset: Name of the data set.
        epochs_done: Finished epochs.
        epochs_planned: Epochs of the whole training.
        best_epoch: The epoch with the highest top-1 accuracy on the validation images; of several, of the lowest loss.
        best_top1: That accuracy, 0 to 1, like all accuracies here.
        best_top5: Top-5 accuracy on the validation images after that epoch.
        last_top1: Top-1 accuracy on the validation images after the newest epoch.
        last_top5: Top-5 accuracy likewise.
        train_top1: Top-1 accuracy on the augmented training images in the newest epoch.
        seconds: Time that the finished epochs took.
        minutes_per_epoch: Their mean time.
        seconds_left: Estimate for the epochs to come: as many times the mean of the newest five; 0 at the end.
        seconds_to_reach: Time until an epoch had ended with the accuracy asked for; ``None`` if none has or none was.
    """

    name: str
    model: str
    stem: str
    dataset: str
    epochs_done: int
    epochs_planned: int
    best_epoch: int
    best_top1: float
    best_top5: float
    last_top1: float
    last_top5: float
    train_top1: float
    seconds: float
    minutes_per_epoch: float
    seconds_left: float
    seconds_to_reach: float | None


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: A summary of each run.
        authors: A summary of the authors' training of each network that a run can be compared with, in the order of
            the runs; their times are those of their own hardware.
        differences: Fields in which the runs' recipes differ, with the value of each run, in the order of the runs.
        standings: By name, where each run that can be compared stands beside the authors.
        remarks: By name, why the others cannot be.
        reach: The accuracy asked for, 0 to 1.
    """

    runs: tuple[Summary, ...]
    authors: tuple[Summary, ...]
    differences: dict[str, tuple[Any, ...]]
    standings: dict[str, Standing]
    remarks: dict[str, str]
    reach: float | None

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain values for JSON."""
        return asdict(self)


def compare_runs(runs: Sequence[Run], *, reach: float | None = None) -> Comparison:
    """Compares runs.

    Args:
        runs: The runs, with at least one finished epoch each.
        reach: Top-1 accuracy on the validation images, 0 to 1, whose time is asked for.

    Raises:
        ValueError: If there is no run, one is there twice or has no finished epoch, or ``reach`` is no accuracy.

    Example:
        >>> compare_runs([load_run("runs/first"), load_run("runs/second")]).differences
        {'batch_size': (64, 256)}
    """
    if not runs:
        raise ValueError("There is nothing to compare: name at least one run.")
    if reach is not None and not 0 < reach <= 1:
        raise ValueError(f"reach must be above 0 and at most 1, got {reach}.")
    for run in runs:
        if not run.log:
            raise ValueError(f"The run in {run.path} has finished no epoch yet: try again when it has.")
    names = short_names(runs)
    theirs = {(run.model, run.stem): authors_run(run) for run in runs if reason_not_comparable(run) is None}
    standings, remarks = {}, {}
    for name, run in zip(names, runs, strict=True):
        place = standing(run)
        if place is not None:
            standings[name] = place
        else:
            remarks[name] = (
                reason_not_comparable(run) or f"The authors' training ended after epoch {len(authors_run(run))}."
            )
    return Comparison(
        tuple(
            _summary(name, run.recipe.dataset, run.log, run.recipe.epochs, reach)
            for name, run in zip(names, runs, strict=True)
        ),
        tuple(
            _summary(f"authors' {model} {stem}", DATASET, curve, len(curve), reach)
            for (model, stem), curve in theirs.items()
        ),
        _differences(runs),
        standings,
        remarks,
        reach,
    )


def _summary(
    name: str, dataset: str, log: Sequence[EpochLog | AuthorsEpoch], planned: int, reach: float | None
) -> Summary:
    best, last = max(log, key=lambda row: row.rank), log[-1]
    seconds = sum(row.seconds for row in log)
    return Summary(
        name=name,
        model=last.model,
        stem=last.stem,
        dataset=dataset,
        epochs_done=last.epoch,
        epochs_planned=planned,
        best_epoch=best.epoch,
        best_top1=best.val_top1,
        best_top5=best.val_top5,
        last_top1=last.val_top1,
        last_top5=last.val_top5,
        train_top1=last.train_top1,
        seconds=seconds,
        minutes_per_epoch=seconds / len(log) / 60,
        seconds_left=max(planned - last.epoch, 0) * fmean(row.seconds for row in log[-_RECENT:]),
        seconds_to_reach=_seconds_to_reach(log, reach),
    )


def _seconds_to_reach(log: Sequence[EpochLog | AuthorsEpoch], reach: float | None) -> float | None:
    if reach is None:
        return None
    passed = accumulate(row.seconds for row in log)
    return next((time for row, time in zip(log, passed, strict=True) if row.val_top1 >= reach), None)


def _differences(runs: Sequence[Run]) -> dict[str, tuple[Any, ...]]:
    each = [settings(run) for run in runs]
    return {
        name: tuple(values[name] for values in each)
        for name in each[0]
        if any(values[name] != each[0][name] for values in each)
    }
