"""Shows how a training goes: a bar on a terminal, a line an epoch elsewhere."""

import sys
from types import TracebackType

from tqdm import tqdm

from larq_melius.zoo.runs.log import EpochLog


class Progress:
    """A bar over the steps of each epoch, with the rate and the time left, on stderr.

    Args:
        epochs: Epochs of the whole run.
        steps: Steps of one epoch.
        batch_size: Images of one step.
        shown: Whether to show anything; of several workers, the chief does.
    """

    def __init__(self, epochs: int, steps: int, batch_size: int, *, shown: bool = True) -> None:
        self._epochs = epochs
        self._steps = steps
        self._batch_size = batch_size
        self._shown = shown
        self._bar: tqdm | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def start(self, epoch: int, done: int) -> None:
        """Begins an epoch (counted from 1), ``done`` of whose steps an earlier process has done."""
        self._close()
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
        """Steps were done; loss and accuracy are the means of the epoch so far."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3f}, top-1 {top1:.1%}", refresh=False)
            self._bar.update(steps * self._batch_size)

    def finish(self, row: EpochLog, seconds_left: float) -> None:
        """Ends an epoch with its line."""
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

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.leave = False
            self._bar.close()
            self._bar = None


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
