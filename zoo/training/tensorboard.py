"""The run as TensorBoard shows it."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import tensorflow as tf

from larq_melius.zoo.runs.log import EpochLog, LayerFlips


class TensorBoard:
    """Writes scalars by training step.

    Args:
        folder: Where to; without one, nothing is written.

    Raises:
        ImportError: If TensorBoard is not installed.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is None:
            self._writer = tf.summary.create_noop_writer()
            return
        if importlib.util.find_spec("tensorboard") is None:
            raise ImportError("Training logs for TensorBoard: run pip install 'larq-melius[train]'.")
        self._writer = tf.summary.create_file_writer(str(folder))

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()

    def steps(self, step: int, loss: float, learning_rate: float) -> None:
        """The epoch's mean loss so far, and the rate."""
        with self._writer.as_default(step):
            tf.summary.scalar("step/loss", loss)
            tf.summary.scalar("step/learning_rate", learning_rate)

    def epoch(self, step: int, row: EpochLog, flips: Sequence[LayerFlips]) -> None:
        """The results of an epoch."""
        with self._writer.as_default(step):
            for part, name in (("train", "training"), ("val", "validation")):
                for measure in ("loss", "top1", "top5"):
                    tf.summary.scalar(f"{name}/{measure}", getattr(row, f"{part}_{measure}"))
            for layer in flips:
                tf.summary.scalar(f"flips/{layer.layer}/mean", layer.mean)
                tf.summary.scalar(f"flips/{layer.layer}/p95", layer.p95)
        self._writer.flush()
