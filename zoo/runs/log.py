"""The logs of a run: CSV files with a row per epoch.

The first columns of ``log.csv`` are those of the authors' published curves, so one program can read both.
"""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import Field, asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from larq_melius.files import write_atomically


@dataclass(frozen=True)
class EpochLog:
    """One epoch of a run.

    Attributes:
        model: Name of the network.
        stem: Its stem.
        epoch: Number of the epoch, from 1.
        learning_rate: Rate at the end of the epoch.
        train_top1: Top-1 accuracy on the augmented training images, measured during training, 0 to 1.
        train_top5: The same for top-5.
        val_top1: Top-1 accuracy on the validation images after the epoch.
        val_top5: The same for top-5.
        seconds: Time the epoch took, with its validation.
        train_loss: Mean loss of the training steps, with label smoothing and distillation if they are on.
        val_loss: Mean cross-entropy on the validation images.
    """

    model: str
    stem: str
    epoch: int
    learning_rate: float
    train_top1: float
    train_top5: float
    val_top1: float
    val_top5: float
    seconds: float
    train_loss: float
    val_loss: float

    @property
    def rank(self) -> tuple[float, ...]:
        """Sort key, larger for better epochs: the top-1 accuracy, and at equal accuracy the lower loss."""
        return self.val_top1, -self.val_loss


@dataclass(frozen=True)
class LayerFlips:
    """How often the signs of one layer's weights changed in one epoch (paper, Figure 7).

    Attributes:
        epoch: Number of the epoch, from 1.
        layer: Name of the layer.
        weights: Number of its weights.
        mean: Flips per weight.
        p50: Median of the flips per weight.
        p75: 75th percentile.
        p90: 90th percentile.
        p95: 95th percentile.
        p99: 99th percentile.
        largest: Flips of the weight that flipped most often.
    """

    epoch: int
    layer: str
    weights: int
    mean: float
    p50: float
    p75: float
    p90: float
    p95: float
    p99: float
    largest: int


Row = TypeVar("Row", EpochLog, LayerFlips)


def write_rows(path: str | os.PathLike[str], kind: type[Row], rows: Sequence[Row]) -> Path:
    """Writes a log atomically, replacing an earlier one.

    Raises:
        OSError: If the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _text(value) for name, value in asdict(row).items()} for row in rows)
    return write_atomically(path, text.getvalue().encode())


def read_rows(path: str | os.PathLike[str], kind: type[Row]) -> list[Row]:
    """Reads a log. Additional columns are ignored.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file is not such a log.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        try:
            return [kind(**{field.name: _value(row, field) for field in fields(kind)}) for row in csv.DictReader(file)]
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{Path(path)} is not a log of a run: {error}.") from error


def _value(row: dict[str, Any], field: Field[Any]) -> Any:
    text = row.get(field.name)
    if text is None:
        raise ValueError(f"epoch {row.get('epoch')} has no {field.name}")
    try:
        return field.type(text)  # type: ignore[operator]
    except ValueError as error:
        raise ValueError(f"{field.name} of epoch {row.get('epoch')} is {text!r}") from error


def _text(value: Any) -> Any:
    return f"{value:.9g}" if isinstance(value, float) else value
