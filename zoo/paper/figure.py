"""The figure of the paper's accuracies over the operations and the sizes of the networks."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larq_melius.zoo.paper.tables import PaperTable, PrintedAndCounted, paper_tables
from larq_melius.zoo.runs import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TABLES = (1, 2, 4)


@dataclass(frozen=True)
class Point:
    """One network of the figure.

    Attributes:
        family: Its family, a series of the figure.
        label: Its name within the family.
        ops_e8: Operations without the classifier in units of 1e8, counted if the network is built here. Those of
            MobileNet-v1 include the classifier, as in the paper.
        size_mib: Size in MiB, counted if the network is built here.
        top1: Top-1 accuracy on ImageNet that the paper reports, in percent.
        grouped_stem: Whether it has the grouped stem; ``None`` where there is no choice.
    """

    family: str
    label: str
    ops_e8: float
    size_mib: float
    top1: float
    grouped_stem: bool | None = None


# Color and marker of each family: Okabe and Ito's colors, which color-blind readers tell apart.
_LOOKS = {
    "MeliusNet": ("#d55e00", "o"),
    "Binary DenseNet": ("#0072b2", "s"),
    "ResNetE, Bi-Real-Net": ("#009e73", "^"),
    "MobileNet-v1": ("#000000", "D"),
    "GroupNet": (figures.GRAY, "v"),
}
_LEGEND = {"MobileNet-v1": "MobileNet-v1, with its classifier"}
# Where labels do not hide each other.
_SIDES = {"MeliusNet": "left", "ResNetE, Bi-Real-Net": "left", "GroupNet": "left"}
_OTHER_SIDES = {("MeliusNet", "29"): "right", ("MeliusNet", "A"): "right", ("MobileNet-v1", "0.5"): "below"}
_OFFSETS: dict[str, dict[str, Any]] = {
    "left": {"xytext": (-6, 0), "ha": "right", "va": "center"},
    "right": {"xytext": (6, 0), "ha": "left", "va": "center"},
    "below": {"xytext": (0, -6), "ha": "center", "va": "top"},
}
_OPS_TICKS = (1, 1.5, 2, 3, 4, 5, 6)
_SIZE_TICKS = (4, 5, 6, 8, 10, 12, 16, 20)
_FAMILIES = {
    "MeliusNet": "MeliusNet",
    "BinaryDenseNet": "Binary DenseNet",
    "ResNetE": "ResNetE, Bi-Real-Net",
    "Bi-RealNet": "ResNetE, Bi-Real-Net",
    "MobileNet-v1 ": "MobileNet-v1",
    "GroupNet": "GroupNet",
}


def plot_paper(output: str | os.PathLike[str], *, progress: Callable[[str], None] | None = None) -> Path:
    """Draws the paper's top-1 accuracies on ImageNet over operations and over sizes.

    Args:
        output: The file, ending in ``.png``, ``.svg`` or ``.pdf``.
        progress: Called with the name of each network before it is built to be counted.

    Raises:
        ImportError: If Matplotlib is not installed.
        OSError: If the file cannot be written.
        ValueError: If the file's name ends otherwise.
    """
    figures.check_suffix(output)
    with figures.style():
        return figures.save(paper_figure(list(points(paper_tables(_TABLES, progress)))), output)


def points(tables: Sequence[PaperTable]) -> Iterator[Point]:
    """The networks of the paper's Tables 1, 2 and 4, each once for each stem, without those of other trainings."""
    seen = set()
    for table in tables:
        for row in table.rows:
            cells = row.cells
            if cells.get("training", "Ours") != "Ours":
                continue
            name = cells["name"].removesuffix(" (grouped stem)")
            prefix = next(prefix for prefix in _FAMILIES if name.startswith(prefix))
            family = _FAMILIES[prefix]
            grouped = cells.get("grouped_stem", True) if family not in ("MobileNet-v1", "GroupNet") else None
            # Table 4 repeats networks of the others, among them Bi-RealNet34 with its original training.
            if (name, grouped) in seen or (table.number == 4 and grouped):
                continue
            seen.add((name, grouped))
            ops = cells.get("ops_e8_with_classifier") if family == "MobileNet-v1" else None
            size = cells["size_mb_authors" if table.number == 2 else "size_mb"]
            yield Point(
                family,
                name.removeprefix(prefix) or name,
                ops or _value(cells["ops_e8"]),
                _value(size),
                cells["top1"],
                grouped,
            )


def paper_figure(networks: Sequence[Point]) -> "Figure":
    """The figure, to be made inside ``figures.style``: one panel over operations, one over sizes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for point in networks:
        _draw(left, point, point.ops_e8)
        # The stem hardly changes the size.
        if point.grouped_stem is not False:
            _draw(right, point, point.size_mib)
    for axes, key, ticks in ((left, "ops_e8", _OPS_TICKS), (right, "size_mib", _SIZE_TICKS)):
        _join(axes, [point for point in networks if point.family == "MobileNet-v1"], key)
        _scale(axes, ticks)
    left.set_xlabel("operations without the classifier (1e8): binary ones / 64 + 32-bit ones")
    left.set_ylabel("top-1 accuracy on ImageNet that the paper reports (%)")
    right.set_xlabel("size (MiB): 1 bit for each binary weight, 32 for others")
    _explain(figure)
    return figure


def _draw(axes: "Axes", point: Point, x: float) -> None:
    color, marker = _LOOKS[point.family]
    face = "white" if point.grouped_stem is False else color
    axes.plot(
        [x],
        [point.top1],
        linestyle="",
        color=color,
        marker=marker,
        markersize=7,
        markerfacecolor=face,
        label=f"{point.family} {point.label}, {'7x7' if point.grouped_stem is False else 'grouped'} stem",
    )
    side = _OTHER_SIDES.get((point.family, point.label), _SIDES.get(point.family, "right"))
    axes.annotate(point.label, (x, point.top1), textcoords="offset points", color=color, fontsize=9, **_OFFSETS[side])


def _join(axes: "Axes", points: Sequence[Point], key: str) -> None:
    """A line through the networks that the others are to be compared with."""
    ordered = sorted(points, key=lambda point: point.top1)
    axes.plot(
        [getattr(point, key) for point in ordered],
        [point.top1 for point in ordered],
        color=_LOOKS["MobileNet-v1"][0],
        linewidth=0.9,
        alpha=0.5,
        zorder=1,
    )


def _scale(axes: "Axes", ticks: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.12)


def _explain(figure: "Figure") -> None:
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"markersize": 7, "linestyle": ""}
    handles = [
        Line2D([], [], color=color, marker=marker, label=_LEGEND.get(family, family), **look)
        for family, (color, marker) in _LOOKS.items()
    ]
    handles.append(
        Line2D([], [], color="black", marker="o", markerfacecolor="white", label="hollow: 7x7 stem (left)", **look)
    )
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))


def _value(cell: Any) -> float:
    """The count, or where there is none what the paper prints."""
    if not isinstance(cell, PrintedAndCounted):
        return cell
    value = cell.printed if cell.counted is None else cell.counted
    assert value is not None, "The tables have a count or a printed value of every network of the figure."
    return value
