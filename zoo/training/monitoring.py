"""Progress bar and TensorBoard logs of a run, and how many steps run between two updates."""

import contextlib
import importlib.util
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import tensorflow as tf
from tqdm import tqdm

from larq_melius.zoo.runs.log import EpochLog, LayerFlips

# Short enough for a lively progress bar and a quick stop, long enough to make the overhead of a call negligible.
_SECONDS_PER_CALL = 1.0
_STEPS_OF_A_CLUSTER = 10
#: Seconds between two lines about an epoch where there is no terminal, so that a log file shows life.
_SECONDS_BETWEEN_LINES = 60.0


class Progress:
    """Shows a progress bar for each epoch on a terminal, and elsewhere a line a minute and one per epoch; on stderr.

    Args:
        epochs: Number of epochs of the run.
        steps: Steps per epoch.
        batch_size: Images per step.
        shown: Whether to show anything; among several workers, only the chief does.
    """

    def __init__(self, epochs: int, steps: int, batch_size: int, *, shown: bool = True) -> None:
        self._epochs = epochs
        self._steps = steps
        self._batch_size = batch_size
        self._shown = shown
        self._bar: tqdm | None = None
        self._epoch = self._done = self._done_before = 0
        self._started = 0.0
        self._last_line = -math.inf

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def start(self, epoch: int, done: int) -> None:
        """Starts an epoch (counted from 1) of which an earlier process has already run ``done`` steps."""
        self._close()
        self._epoch, self._done, self._done_before = epoch, done, done
        self._started = time.monotonic()
        self._bar = tqdm(
            desc=f"Epoch {epoch}/{self._epochs}",
            total=self._steps * self._batch_size,
            initial=done * self._batch_size,
            unit=" images",
            unit_scale=True,
            dynamic_ncols=True,
            disable=not (self._shown and sys.stderr.isatty()),
            file=sys.stderr,
        )

    def update(self, steps: int, loss: float, top1: float) -> None:
        """Advances the bar by some steps; loss and accuracy are means over the epoch so far."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3f}, top-1 {top1:.1%}", refresh=False)
            self._bar.update(steps * self._batch_size)
        self._done += steps
        now = time.monotonic()
        if self._shown and not sys.stderr.isatty() and now >= self._last_line + _SECONDS_BETWEEN_LINES:
            self._last_line = now
            seconds_a_step = (now - self._started) / (self._done - self._done_before)
            self.say(
                f"Epoch {self._epoch}/{self._epochs}: {self._done:,} of {self._steps:,} steps, loss {loss:.4f}, top-1 "
                f"{top1:.2%}; {_duration((self._steps - self._done) * seconds_a_step)} left of the epoch"
            )

    def finish(self, row: EpochLog, seconds_left: float) -> None:
        """Ends an epoch and prints its results."""
        self._close()
        if self._shown:
            print(
                f"Epoch {row.epoch}/{self._epochs}: loss {row.train_loss:.4f}, top-1 {row.train_top1:.2%}, validation "
                f"{row.val_loss:.4f}, {row.val_top1:.2%}; {row.seconds:.1f} s"
                + (f", {_duration(seconds_left)} left" if seconds_left else ""),
                file=sys.stderr,
                flush=True,
            )

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        if self._shown:
            tqdm.write(line, file=sys.stderr)
            sys.stderr.flush()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.leave = False
            self._bar.close()
            self._bar = None


class TensorBoard:
    """Writes scalars to TensorBoard's logs, by training step.

    Args:
        folder: Folder of the logs; ``None`` writes nothing.

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
        """Writes the mean loss of the epoch so far, and the learning rate."""
        with self._writer.as_default(step):
            tf.summary.scalar("step/loss", loss)
            tf.summary.scalar("step/learning_rate", learning_rate)

    def epoch(self, step: int, row: EpochLog, flips: Sequence[LayerFlips]) -> None:
        """Writes the results of an epoch."""
        with self._writer.as_default(step):
            for part, name in (("train", "training"), ("val", "validation")):
                for measure in ("loss", "top1", "top5"):
                    tf.summary.scalar(f"{name}/{measure}", getattr(row, f"{part}_{measure}"))
            for layer in flips:
                tf.summary.scalar(f"flips/{layer.layer}/mean", layer.mean)
                tf.summary.scalar(f"flips/{layer.layer}/p95", layer.p95)
        self._writer.flush()


class StepsPerExecution:
    """Chooses how many steps run in one call of the compiled loop, so that a call takes about a second.

    Args:
        workers: Number of worker processes. All must run the same calls, so several use a fixed number of steps.
    """

    def __init__(self, workers: int = 1) -> None:
        self._adapts = workers == 1
        self.steps = 1 if self._adapts else _STEPS_OF_A_CLUSTER

    @contextlib.contextmanager
    def timing(self, steps: int) -> Iterator[None]:
        """Times a call with that many steps, to choose the number of the next one."""
        started = time.monotonic()
        yield
        if self._adapts:
            step = (time.monotonic() - started) / steps
            # The first call also compiles, so its time says little: at most double the number.
            self.steps = max(1, min(2 * self.steps, int(_SECONDS_PER_CALL / max(step, 1e-6))))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
