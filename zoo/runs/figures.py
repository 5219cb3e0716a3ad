"""What all plots share: Matplotlib, a style, and files."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larq_melius.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")

GRAY = "#5f5f5f"
# The type of the keys differs between versions of Matplotlib.
_STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRAY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "xtick.color": GRAY,
    "ytick.color": GRAY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.solid_capstyle": "round",
    # Keep text as text, as journals require.
    "pdf.fonttype": 42,
    # Without it, identifiers in the file are random.
    "svg.hashsalt": "larq-melius",
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Applies the style of the plots, and restores the user's own settings afterwards.

    Figures are made and saved within it, without ``pyplot``, which would select a window system.

    Raises:
        ImportError: If Matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ImportError("Plots take Matplotlib: run pip install 'larq-melius[train]'.") from error

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def check_suffix(output: str | os.PathLike[str]) -> Path:
    """Returns the path of a plot's file.

    Raises:
        ValueError: If its suffix is not one of ``SUFFIXES``.
    """
    path = Path(output)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"A plot's file must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, got {path}.")
    return path


def save(figure: "Figure", output: str | os.PathLike[str]) -> Path:
    """Writes a figure in the format of the file's suffix: PNG, SVG or PDF.

    No date is written, so that drawing a plot again gives the same file.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If its suffix is not one of ``SUFFIXES``.
    """
    path = check_suffix(output)
    kind = path.suffix.lower()[1:]
    dates = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    data = io.BytesIO()
    figure.savefig(data, format=kind, dpi=150, metadata=dates[kind])
    return write_atomically(path, data.getvalue())
