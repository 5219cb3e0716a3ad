"""Compares runs with each other and with the authors' trainings of the same networks, as data and as text."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from statistics import fmean
from typing import Any

from tabulate import tabulate

from larq_melius.zoo.runs.authors import (
    DATASET,
    TOLERANCE,
    AuthorsEpoch,
    Standing,
    authors_run,
    reason_not_comparable,
    settings,
    standing,
)
from larq_melius.zoo.runs.folder import Run, short_names
from larq_melius.zoo.runs.log import EpochLog

# The remaining time is estimated from this many of the newest epochs: a resumed run may be on another machine.
_RECENT = 5
_WIDTH = 120


@dataclass(frozen=True)
class Summary:
    """The results of one training.

    Attributes:
        name: Its name, unique in the comparison.
        model: Name of the network.
        stem: Its stem.
        dataset: Name of the data set.
        epochs_done: Finished epochs.
        epochs_planned: Epochs of the whole training.
        best_epoch: The epoch with the highest validation top-1 accuracy, and at equal accuracy the lowest loss.
        best_top1: That accuracy, 0 to 1, like all accuracies here.
        best_top5: Top-5 accuracy on the validation images after that epoch.
        last_top1: Top-1 accuracy on the validation images after the newest epoch.
        last_top5: Top-5 accuracy after that epoch.
        train_top1: Top-1 accuracy on the augmented training images in the newest epoch.
        seconds: Time that the finished epochs took.
        minutes_per_epoch: Their mean time.
        seconds_left: Estimate for the remaining epochs, from the mean of the newest five; 0 at the end.
        seconds_to_reach: Time until the first epoch that reached ``reach``; ``None`` if no epoch did.
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
        standings: By name, how each run compares with the authors, where that is possible.
        remarks: By name, why the other runs cannot be compared.
        reach: The top-1 accuracy of ``seconds_to_reach``, 0 to 1.
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
        reach: Also find the time until the validation top-1 accuracy reached this value, 0 to 1.

    Raises:
        ValueError: If there is no run, one is named twice or has no finished epoch, or ``reach`` is out of range.

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
            raise ValueError(f"The run in {run.path} has finished no epoch yet: try again later.")
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


def render(comparison: Comparison) -> str:
    """The comparison as tables and remarks, as ``larq-melius runs compare`` prints it."""
    parts = [_results(comparison)]
    if comparison.differences:
        parts.append(_difference_table(comparison))
    parts.append("\n".join(textwrap.fill(text, _WIDTH, subsequent_indent="  ") for text in _remarks(comparison)))
    return "\n\n".join(parts)


def duration(seconds: float) -> str:
    """A time in the unit that suits its length.

    Example:
        >>> duration(6810.6)
        '1.9 h'
    """
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        # 72 min says more than 1.2 h.
        if seconds >= (2 if unit == "d" else 1.5) * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


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


def _results(comparison: Comparison) -> str:
    headings = ["RUN", "EPOCHS", "BEST TOP-1", "TOP-5", "EPOCH", "LAST TOP-1", "TOP-5", "TRAIN TOP-1"]
    headings += ["PER EPOCH", "TOTAL", "LEFT"]
    if comparison.reach is not None:
        headings.append(f"TO {100 * comparison.reach:g}%")
    rows = [_result(summary, comparison.reach) for summary in (*comparison.runs, *comparison.authors)]
    return _table([headings, *rows], ["left", *["right"] * (len(headings) - 1)])


def _result(summary: Summary, reach: float | None) -> list[str]:
    cells = [
        summary.name,
        f"{summary.epochs_done}/{summary.epochs_planned}",
        _percent(summary.best_top1),
        _percent(summary.best_top5),
        str(summary.best_epoch),
        _percent(summary.last_top1),
        _percent(summary.last_top5),
        _percent(summary.train_top1),
        duration(60 * summary.minutes_per_epoch),
        duration(summary.seconds),
        duration(summary.seconds_left) if summary.epochs_done < summary.epochs_planned else "done",
    ]
    if reach is not None:
        cells.append("-" if summary.seconds_to_reach is None else duration(summary.seconds_to_reach))
    return cells


def _difference_table(comparison: Comparison) -> str:
    headings = ["DIFFERENT SETTINGS", *(summary.name for summary in comparison.runs)]
    rows = [[name, *map(_setting, values)] for name, values in comparison.differences.items()]
    return _table([headings, *rows], ["left"] * len(headings))


def _remarks(comparison: Comparison) -> Iterator[str]:
    for summary in comparison.runs:
        name = summary.name
        if name in comparison.remarks:
            yield f"{name}: {comparison.remarks[name]}"
            continue
        place = comparison.standings[name]
        done = summary.epochs_done >= summary.epochs_planned
        words = ("on a par", "not on a par") if done else ("on track", "behind")
        yield (
            f"{name}: {_percent(place.top1)} after epoch {place.epoch}, {abs(place.points):.2f} points "
            f"{'above' if place.points >= 0 else 'below'} the authors' {_percent(place.authors_top1)}: "
            f"{words[0] if place.on_track else words[1]}."
        )
        if place.other_settings:
            each = (
                f"{field}={_setting(ours)} (theirs {_setting(theirs)})"
                for field, (theirs, ours) in place.other_settings.items()
            )
            yield f"  Settings that are not the authors': {', '.join(each)}."
    if comparison.standings:
        yield f"On track, or on a par at the end, is what is at most {TOLERANCE:g} point below the authors' same epoch."


def _table(rows: list[list[str]], alignments: list[str]) -> str:
    # tabulate would widen columns to fit real headers.
    return tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=alignments)


def _setting(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _percent(share: float) -> str:
    return f"{share:.2%}"
