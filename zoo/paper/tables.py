"""Tables 1 to 4 of the paper, with counts of the networks built here next to the printed values."""

import json
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import tensorflow as tf
from tabulate import SEPARATING_LINE, tabulate

from larq_melius.analysis.operations import Operations, count_operations
from larq_melius.models.registry import get_model

_WIDTH = 120
_LEGEND = "As printed in the paper, except for the columns 'count', counted on the networks built here; '-': not given."


@dataclass(frozen=True)
class Column:
    """One quantity of a table.

    Attributes:
        key: Its name in the rows.
        heading: Its heading in text, over one or more lines.
        form: Format of the printed values.
        count: The quantity counted on the network, if it can be counted.
        counted_form: Format of the counts.
        printed: Whether the paper prints it.
        large: Whether it is about the larger of two networks in a row.
    """

    key: str
    heading: str
    form: str = ""
    count: Callable[[Operations], float] | None = None
    counted_form: str = ".3f"
    printed: bool = True
    large: bool = False


@dataclass(frozen=True)
class PrintedAndCounted:
    """A printed value and its count; either may be ``None``."""

    printed: float | None
    counted: float | None


@dataclass(frozen=True)
class Erratum:
    """An error in the paper: the printed value, the correct one, and why."""

    printed: Any
    correct: Any
    explanation: str


@dataclass(frozen=True)
class Row:
    """One network of a table.

    Attributes:
        cells: By column key: a ``PrintedAndCounted`` where both are compared, or else the value itself. Values are
            ``None`` where the paper prints none, and ``"base"`` for the network that differences refer to.
        errata: By column key.
    """

    cells: dict[str, Any]
    errata: dict[str, Erratum]


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper."""

    number: int
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The table as plain values for JSON; a compared column holds ``{"printed": ..., "counted": ...}``."""
        return {
            "number": self.number,
            "title": self.title,
            "columns": [{"key": column.key, "heading": _one_line(column.heading)} for column in self.columns],
            "rows": [asdict(row)["cells"] | {"errata": asdict(row)["errata"]} for row in self.rows],
            "notes": list(self.notes),
        }


def _ops_e8(operations: Operations) -> float:
    return operations.ops_without_classifier / 1e8


def _size_mib(operations: Operations) -> float:
    return operations.size_mib


# The paper prints MiB as MB.
_COLUMNS = {
    1: (
        Column("name", "Name"),
        Column("num_blocks", "Blocks"),
        Column("transition_groups", "g", "d"),
        Column("transitions", "Transitions"),
        Column("bops_e9", "BOPs\n(e9)", "#.3g", lambda operations: operations.binary_macs / 1e9, ".2f"),
        Column(
            "flops_e8", "FLOPs\n(e8)", ".2f", lambda operations: operations.float_macs_without_classifier / 1e8, ".3f"
        ),
        Column("ops_e8", "OPs\n(e8)", ".2f", _ops_e8),
        Column("size_mb", "MB", ".1f", _size_mib, ".2f"),
        Column("top1", "Top-1", ".1f"),
        Column("top5", "Top-5", ".1f"),
    ),
    2: (
        Column("size_class_mb", "Size\nclass (MB)", ".1f"),
        Column("name", "Architecture"),
        Column("training", "Training"),
        Column("grouped_stem", "Grouped\nstem"),
        Column("ops_e8", "OPs\n(e8)", ".2f", _ops_e8),
        Column("size_mb_authors", "MB\n(logs)", ".2f", _size_mib),
        Column("top1", "Top-1", ".1f"),
        Column("delta", "Delta", "+.1f"),
        Column("delta_of_method", "Delta of\nmethod", "+.1f"),
    ),
    3: (
        Column("name", "Method"),
        Column("bitwidth", "Bits\n(W/A)"),
        Column("top1", "Top-1", ".1f"),
        Column("size_mb", "MB", "g", _size_mib, ".2f"),
        Column("ops_e8", "OPs\n(e8)", "#.3g", _ops_e8),
        Column("top1_large", "Top-1", ".1f", large=True),
        Column("size_mb_large", "MB", "g", _size_mib, ".2f", large=True),
        Column("ops_e8_large", "OPs\n(e8)", "#.3g", _ops_e8, large=True),
    ),
    4: (
        Column("size_mb", "MB", "g", _size_mib, ".2f"),
        Column("name", "Architecture"),
        Column("bitwidth", "Bits\n(W/A)"),
        Column("ops_e8", "OPs\n(e8)", ".2f", _ops_e8),
        Column(
            "ops_e8_with_classifier",
            "OPs with\nclassifier",
            count=lambda operations: operations.ops / 1e8,
            printed=False,
        ),
        Column("top1", "Top-1", ".1f"),
        Column("delta", "Delta", "+.1f"),
    ),
}


def paper_tables(
    numbers: Iterable[int] = tuple(_COLUMNS), progress: Callable[[str], None] | None = None
) -> list[PaperTable]:
    """Tables of the paper, printed and counted.

    Each network is built once, even if several tables have it; all of them take about half a minute.

    Args:
        numbers: Which tables.
        progress: Called with the name of each network before it is built.

    Raises:
        ValueError: If there is no such table.
    """
    numbers = list(numbers)
    printed = {table["number"]: table for table in _printed()["tables"]}
    for number in numbers:
        if number not in printed:
            raise ValueError(f"There is no table {number}; choose from {', '.join(map(str, printed))}.")

    @cache
    def count(network: str, **options: Any) -> Operations:
        if progress is not None:
            progress(" ".join([network, *(f"{option}={value}" for option, value in options.items())]))
        if network == "MobileNet":
            return count_operations(tf.keras.applications.MobileNet(weights=None, **options))
        return count_operations(get_model(network, weights=None, **options))

    return [_table(printed[number], count) for number in numbers]


def render(table: PaperTable) -> str:
    """The table as text, its errata marked with ``*`` and explained below.

    Example:
        >>> print(render(paper_tables([4])[0]).splitlines()[0])
        Table 4: Comparison with MobileNet-v1 and GroupNet
    """
    headings, alignments = [], []
    for column in table.columns:
        labels = [column.heading, "count"] if column.count and column.printed else [column.heading]
        headings += labels
        alignments += ["right" if column.form or column.count else "left"] * len(labels)
    # As a row, headings do not widen their columns, as tabulate's own headers do.
    body = tabulate(
        [headings, SEPARATING_LINE, *(_texts(table, row) for row in table.rows)],
        tablefmt="simple",
        colalign=alignments,
        rowalign="bottom",
        disable_numparse=True,
    )
    body = body.partition("\n")[2].rpartition("\n")[0]
    footnotes: dict[str, None] = {}
    for row in table.rows:
        for key, erratum in row.errata.items():
            column = next(column for column in table.columns if column.key == key)
            footnotes[
                f"* {row.cells['name']}: {_one_line(column.heading)} printed {_text(erratum.printed, column.form)}, "
                f"correct {_text(erratum.correct, column.form)}. {erratum.explanation}"
            ] = None
    below = [*footnotes, *(f"- {note}" for note in (_LEGEND, *table.notes))]
    wrapped = (textwrap.fill(note, _WIDTH, subsequent_indent="  ") for note in below)
    return "\n".join([f"Table {table.number}: {table.title}", "", body, "", *wrapped])


def _printed() -> Any:
    return json.loads(files("larq_melius.zoo.paper").joinpath("paper.json").read_text("utf-8"))


def _table(printed: dict[str, Any], count: Callable[..., Operations]) -> PaperTable:
    columns = _COLUMNS[printed["number"]]
    rows = []
    for row in printed["rows"]:
        operations = {large: _count(row.get("large", {}) if large else row, count) for large in (False, True)}
        errata = {
            key: Erratum(row[key], erratum["correct"], erratum["explanation"])
            for key, erratum in row.get("errata", {}).items()
        }
        cells = {column.key: _cell(column, row, operations[column.large]) for column in columns}
        rows.append(Row(cells, errata))
    return PaperTable(printed["number"], printed["title"], columns, tuple(rows), tuple(printed["notes"]))


def _count(row: dict[str, Any], count: Callable[..., Operations]) -> Operations | None:
    if "network" not in row:
        return None
    return count(row["network"], **{option: row[option] for option in ("stem", "alpha") if option in row})


def _cell(column: Column, row: dict[str, Any], operations: Operations | None) -> Any:
    if column.count is None:
        return row.get(column.key)
    counted = None if operations is None else column.count(operations)
    return PrintedAndCounted(row.get(column.key), counted) if column.printed else counted


def _texts(table: PaperTable, row: Row) -> list[str]:
    texts = []
    for column in table.columns:
        cell = row.cells[column.key]
        if isinstance(cell, PrintedAndCounted):
            texts += [_text(cell.printed, column.form), _text(cell.counted, column.counted_form)]
        else:
            mark = "*" if column.key == "name" and row.errata else ""
            texts.append(_text(cell, column.form if column.printed else column.counted_form) + mark)
    return texts


def _text(value: Any, form: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join("/".join(map(str, pair)) if isinstance(pair, list) else str(pair) for pair in value)
    return format(value, form)


def _one_line(heading: str) -> str:
    return heading.replace("\n", " ")
