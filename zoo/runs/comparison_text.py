"""A comparison of runs as text."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from tabulate import tabulate

from larq_melius.zoo.runs.compare import Comparison, Summary
from larq_melius.zoo.runs.standing import TOLERANCE

_WIDTH = 120


def render(comparison: Comparison) -> str:
    """The comparison as tables and remarks, as ``larq-melius runs compare`` prints it."""
    parts = [_results(comparison)]
    if comparison.differences:
        parts.append(_differences(comparison))
    parts.append("\n".join(textwrap.fill(text, _WIDTH, subsequent_indent="  ") for text in _remarks(comparison)))
    return "\n\n".join(parts)


def duration(seconds: float) -> str:
    """A time in the unit that suits its length.

    Example:
        >>> duration(6810.6)
        '1.9 h'
    """
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        # Two of the larger unit, as 1.2 h says less than 72 min.
        if seconds >= (2 if unit == "d" else 1.5) * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


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


def _differences(comparison: Comparison) -> str:
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
    # Headings as a row do not widen their columns, as tabulate's own headers do.
    return tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=alignments)


def _setting(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _percent(share: float) -> str:
    return f"{share:.2%}"
