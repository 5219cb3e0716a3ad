"""The figure of sign flips over the epochs, like the paper's Figure 7."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from larq_melius.zoo.runs import files
from larq_melius.zoo.runs.figures import GRAY
from larq_melius.zoo.runs.folder import Run, short_names

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Columns of the log and their lines, from dark to light, to be distinguishable without color.
_PERCENTILES = {
    "p99": ("99th", "#0b2a55", "o"),
    "p95": ("95th", "#2467a5", "s"),
    "p90": ("90th", "#4f9bcb", "^"),
    "p75": ("75th", "#85bcd9", "D"),
    "p50": ("50th", "#b5b5b5", "v"),
}
_WARMUP: dict[str, Any] = {"color": GRAY, "alpha": 0.12, "linewidth": 0}
_MARKS = 8
# Largest number of flips on an axis that has room for labels between the powers of ten.
_WIDE = 300


def flips_figure(runs: Sequence[Run], layers: Sequence[str] | None = None) -> "Figure":
    """The figure, to be made inside ``figures.style``: a row for each layer, a column for each run.

    A line is labeled with its column of the log.

    Args:
        runs: One or more runs.
        layers: Names of the layers to draw, in this order; by default, the first and the last counted one.

    Raises:
        ValueError: If there is no run, or one is named twice or does not count the flips of a layer.
    """
    from matplotlib.figure import Figure

    if not runs:
        raise ValueError("There is nothing to plot: name at least one run.")
    names = short_names(runs)
    chosen = [_choose(run, layers) for run in runs]
    rows = max(len(each) for each in chosen)
    figure = Figure(figsize=(max(4.0 * len(runs), 6.5), 1.2 + 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, len(runs), sharex="col", sharey=True, squeeze=False)
    for column, run in enumerate(runs):
        for place, axes in enumerate(panels[:, column]):
            # A run may count one layer only where another counts two.
            if place < len(chosen[column]):
                _draw(axes, run, chosen[column][place])
            else:
                axes.set_axis_off()
        panels[0, column].set_title(f"{names[column]}\n{panels[0, column].get_title('left')}")
        lowest = panels[len(chosen[column]) - 1, column]
        lowest.set_xlabel("epoch")
        lowest.tick_params(labelbottom=True)
    _scale_flips(panels)
    _explain(figure, warmup=any(run.recipe.warmup_epochs for run in runs))
    return figure


def _choose(run: Run, layers: Sequence[str] | None) -> list[str]:
    counted = run.layers
    if not counted:
        if run.recipe.flips == "none":
            raise ValueError(f"The run in {run.path} counts no flips, as its recipe has flips=none: set flips=ends.")
        raise ValueError(f"The run in {run.path} has no {files.FLIPS} with an epoch in it: name another run.")
    if layers is None:
        return [counted[0], *counted[1:][-1:]]
    for layer in layers:
        if layer not in counted:
            close = difflib.get_close_matches(layer, counted, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it has those of {', '.join(counted)}."
            raise ValueError(f"The run in {run.path} counts no flips of a layer {layer!r}; {hint}")
    return list(layers)


def _draw(axes: "Axes", run: Run, layer: str) -> None:
    from matplotlib.ticker import MaxNLocator

    rows = [row for row in run.flips if row.layer == layer]
    epochs = [row.epoch for row in rows]
    step = -(-len(rows) // _MARKS)
    for index, (column, (_, color, marker)) in enumerate(_PERCENTILES.items()):
        axes.plot(
            epochs,
            [getattr(row, column) for row in rows],
            color=color,
            linewidth=1.6,
            marker=marker,
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            markevery=(index * step // len(_PERCENTILES), step),
            label=column,
        )
    if not any(row.p99 for row in rows):
        axes.text(
            *(0.5, 0.5, "In each epoch, at least 99%\nof the weights kept their sign."),
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=GRAY,
        )
    axes.set_title(f"{layer} ({rows[0].weights:,} weights)")
    axes.set_xlim(0, 1.02 * max(epochs[-1], 2))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))
    if run.recipe.warmup_epochs:
        axes.axvspan(0, run.recipe.warmup_epochs, **_WARMUP)


def _scale_flips(panels: Any) -> None:
    """Gives all panels one scale, which shows hundreds of flips as well as the step from one flip to none."""
    from matplotlib.ticker import NullFormatter, StrMethodFormatter, SymmetricalLogLocator

    shown = [axes for axes in panels.flat if axes.axison]
    top = max(2.0, 1.5 * max(max(line.get_ydata()) for axes in shown for line in axes.lines))
    first = panels[0, 0]
    first.set_yscale("symlog", linthresh=1, linscale=0.5)
    first.set_ylim(-0.1, top)
    # Without labels between the powers of ten, readers would take a short axis for a linear one.
    labeled = (1.0, 2.0, 5.0) if top <= _WIDE else (1.0,)
    for axes in shown:
        axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=labeled))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_minor_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=range(2, 10)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    for axes in panels[:, 0]:
        axes.set_ylabel("sign flips of a weight\nin an epoch (log scale)")


def _explain(figure: "Figure", *, warmup: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = [
        Line2D([], [], color=color, linewidth=1.6, marker=marker, markersize=5, label=label)
        for label, color, marker in _PERCENTILES.values()
    ]
    if warmup:
        handles.append(Patch(label="warm-up", **_WARMUP))
    figure.legend(
        handles=handles,
        title="Percentiles over the weights of a layer",
        title_fontproperties={"weight": "bold", "size": 11},
        alignment="left",
        loc="outside upper left",
        ncols=len(handles),
    )
