"""Draws runs to files."""

import os
from collections.abc import Sequence
from pathlib import Path

from larq_melius.zoo.runs import figures
from larq_melius.zoo.runs.accuracy_figure import accuracy_figure
from larq_melius.zoo.runs.flips_figure import flips_figure
from larq_melius.zoo.runs.folder import Run


def plot_accuracy(runs: Run | Sequence[Run], output: str | os.PathLike[str], *, authors: bool = True) -> Path:
    """Draws accuracy and learning rate over the epochs (paper, Figure 4).

    Args:
        runs: One or more runs.
        output: The file, ending in ``.png``, ``.svg`` or ``.pdf``.
        authors: Whether to draw the authors' training of the same networks, in gray, for runs on ImageNet.

    Raises:
        ImportError: If Matplotlib is not installed.
        OSError: If the file cannot be written.
        ValueError: If there is no run, one is named twice or has no finished epoch, or the suffix is another one.
    """
    figures.check_suffix(output)
    with figures.style():
        return figures.save(accuracy_figure(_several(runs), authors=authors), output)


def plot_flips(
    runs: Run | Sequence[Run], output: str | os.PathLike[str], *, layers: Sequence[str] | None = None
) -> Path:
    """Draws how often the signs of binary weights changed, over the epochs (paper, supplementary C and Figure 7).

    Args:
        runs: One or more runs, such as one for each optimizer; they are drawn side by side.
        output: The file, ending in ``.png``, ``.svg`` or ``.pdf``.
        layers: Names of the layers to draw, in this order; by default, the first and the last counted one.

    Raises:
        ImportError: If Matplotlib is not installed.
        OSError: If the file cannot be written.
        ValueError: If there is no run, one is named twice or does not count the flips of a layer, or the suffix is
            another one.
    """
    figures.check_suffix(output)
    with figures.style():
        return figures.save(flips_figure(_several(runs), layers), output)


def _several(runs: Run | Sequence[Run]) -> Sequence[Run]:
    return [runs] if isinstance(runs, Run) else runs
