"""The figure of accuracy over the epochs, like the paper's Figure 4, with several runs and the authors' own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from larq_melius.zoo.runs.authors import AuthorsEpoch, authors_run, reason_not_comparable
from larq_melius.zoo.runs.figures import GRAY
from larq_melius.zoo.runs.folder import Run, short_names
from larq_melius.zoo.runs.log import EpochLog

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colors for color-blind readers, without the yellow, which is pale on white.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# For readers without color, and where colors repeat.
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES: tuple[tuple[float, ...], ...] = ((4, 2), (6, 2, 1, 2), (1.5, 1.5), (9, 2, 1.5, 2, 1.5, 2))
_MARKS = 10
# Rates that differ by this factor need a logarithmic axis.
_FAR = 10
# In characters: longer labels of the legend do not fit side by side.
_LONG = 98


@dataclass(frozen=True)
class _Curve:
    """A training, and how it is drawn.

    Attributes:
        name: Its name.
        log: Its epochs.
        color: Color of its lines.
        marker: Marker on some of its epochs.
        stagger: Offset of the first marker, as a share of the distance between markers, so that markers of several
            curves do not hide each other.
        dashes: Lengths of dashes and gaps, in line widths.
    """

    name: str
    log: Sequence[EpochLog | AuthorsEpoch]
    color: str
    marker: str = ""
    stagger: float = 0
    dashes: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """Its entry in the legend."""
        best = max(self.log, key=lambda row: row.rank)
        return f"{self.name} (best {best.val_top1:.1%}, epoch {best.epoch})"

    def draw(self, axes: "Axes", column: str, *, scale: float = 1, thick: bool = False, marked: bool = False) -> None:
        """Draws a column of the log. A single epoch, which has no line, shows by a marker."""
        single = len(self.log) == 1
        step = -(-len(self.log) // _MARKS)
        axes.plot(
            [row.epoch for row in self.log],
            [scale * getattr(row, column) for row in self.log],
            label=f"{self.name}, {column}",
            # The authors' dashes do not hide the run below them, and short runs are drawn over long ones.
            zorder=4 if self.dashes else 3 + 1 / (1 + len(self.log)),
            markevery=(int(self.stagger * step), step),
            **self.look(thick=thick, marker=self.marker if marked else "." if single else ""),
        )

    def look(self, *, thick: bool, marker: str) -> dict[str, Any]:
        """Matplotlib's properties of its lines."""
        return {
            "color": self.color,
            "linestyle": (0, self.dashes) if self.dashes else "-",
            "linewidth": (1.3 if self.dashes else 1.7) if thick else 0.9,
            "alpha": 1 if thick else 0.65,
            "marker": marker,
            "markersize": 8 if len(self.log) == 1 else 6,
            "markeredgecolor": "white" if marker not in ("", ".") else self.color,
            "markeredgewidth": 0.6,
        }


def accuracy_figure(runs: Sequence[Run], *, authors: bool = True) -> "Figure":
    """The figure, to be made inside ``figures.style``.

    Each run has a color and a marker, the authors are gray and dashed; a thick line is validation, a thin one
    training. A line is labeled with its run and its column of the log.

    Args:
        runs: One or more runs.
        authors: Whether to draw the authors' training of the same networks, for runs that can be compared with it.

    Raises:
        ValueError: If there is no run, or one is named twice or has no finished epoch.
    """
    from matplotlib.figure import Figure

    if not runs:
        raise ValueError("There is nothing to plot: name at least one run.")
    for run in runs:
        if not run.log:
            raise ValueError(f"The run in {run.path} has finished no epoch yet: try again later.")
    curves = [*_runs(runs), *(_authors(runs) if authors else [])]
    figure = Figure(figsize=(8, 8.4 + 0.11 * len(curves)), layout="constrained")
    top1, top5, rate = figure.subplots(3, 1, sharex=True, height_ratios=(6, 4.5, 1.8))
    for axes, name in ((top1, "top1"), (top5, "top5")):
        for curve in curves:
            curve.draw(axes, f"train_{name}", scale=100)
            curve.draw(axes, f"val_{name}", scale=100, thick=True, marked=True)
        axes.set_ylabel(f"top-{name[-1]} accuracy (%)")
    for curve in curves:
        curve.draw(rate, "learning_rate")
    _scale_rates(rate, curves)
    _scale_epochs(rate, curves)
    _explain(figure, curves, _title(runs))
    return figure


def _runs(runs: Sequence[Run]) -> list[_Curve]:
    return [
        _Curve(name, run.log, _COLORS[index % len(_COLORS)], _MARKERS[index % len(_MARKERS)], index / len(runs))
        for index, (name, run) in enumerate(zip(short_names(runs), runs, strict=True))
    ]


def _authors(runs: Sequence[Run]) -> list[_Curve]:
    networks = {(run.model, run.stem): authors_run(run) for run in runs if reason_not_comparable(run) is None}
    return [
        _Curve(f"authors' {model} {stem}", log, GRAY, dashes=_DASHES[index % len(_DASHES)])
        for index, ((model, stem), log) in enumerate(networks.items())
    ]


def _scale_rates(axes: "Axes", curves: Sequence[_Curve]) -> None:
    from matplotlib.ticker import LogLocator

    axes.set_ylabel("learning rate")
    peaks = [peak for curve in curves if (peak := max(row.learning_rate for row in curve.log)) > 0]
    if peaks and max(peaks) >= _FAR * min(peaks):
        # A rate of 0, where the cosine ends, is left out.
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_locator(LogLocator(numticks=7))
        axes.set_ylim(min(peaks) / 100, 2 * max(peaks))
    else:
        axes.set_ylim(bottom=0)


def _scale_epochs(axes: "Axes", curves: Sequence[_Curve]) -> None:
    from matplotlib.ticker import MaxNLocator

    last = max(curve.log[-1].epoch for curve in curves)
    axes.set_xlim(0, 1.02 * max(last, 2))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=13, steps=[1, 2, 5, 10]))
    axes.set_xlabel("epoch")


def _title(runs: Sequence[Run]) -> str:
    """The network, stem and data set, where all runs have the same."""
    facts = ([run.model for run in runs], [f"{run.stem} stem" for run in runs], [run.recipe.dataset for run in runs])
    return ", ".join(values[0] for values in facts if len(set(values)) == 1) or "Several networks"


def _explain(figure: "Figure", curves: Sequence[_Curve], title: str) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=curve.label, **curve.look(thick=True, marker=curve.marker)) for curve in curves]
    handles += [
        Line2D([], [], color="black", linewidth=1.7, label="thick: validation (best by top-1)"),
        Line2D([], [], color="black", linewidth=0.9, alpha=0.65, label="thin: training, on augmented images"),
    ]
    figure.legend(
        handles=handles,
        title=title,
        title_fontproperties={"weight": "bold", "size": 11},
        alignment="left",
        loc="outside upper left",
        ncols=_columns([str(handle.get_label()) for handle in handles]),
    )


def _columns(labels: Sequence[str]) -> int:
    """The number of columns of the legend: two if the labels fit."""
    widths = [len(label) for label in labels]
    half = -(-len(labels) // 2)
    return 2 if max(widths[:half]) + max(widths[half:]) <= _LONG else 1
