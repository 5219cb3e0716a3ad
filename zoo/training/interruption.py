"""Training that ends early: stopped by a signal, or by an error of TensorFlow."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType

import tensorflow as tf

from larq_melius.zoo.data import ImageDataset

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingStopped(Exception):  # noqa: N818 - not an error: it was requested
    """The training was stopped by a signal; its last checkpoint holds all progress."""


class StopRequest:
    """Records SIGTERM, which schedulers send before they kill, and Ctrl-C; a second signal ends the process at once."""

    def __init__(self) -> None:
        self._earlier: dict[signal.Signals, object] = {}
        self.requested = False

    def __enter__(self) -> "StopRequest":
        # Python allows signal handlers in the main thread only.
        if threading.current_thread() is threading.main_thread():
            self._earlier = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._earlier = {}


@contextlib.contextmanager
def explained_failures(data: ImageDataset) -> Iterator[None]:
    """Turns TensorFlow's errors into ones that say what to do.

    Raises:
        RuntimeError: If another worker died, or the device is out of memory.
        ValueError: If an image cannot be decoded, or its label is not one of the classes.
    """
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise RuntimeError(
            "Another worker has gone, and the others cannot continue without it: restart all of them with --resume."
        ) from error
    except tf.errors.ResourceExhaustedError as error:
        raise RuntimeError("The device's memory is full: lower batch_size, or use more devices.") from error
    except tf.errors.InvalidArgumentError as error:
        for split in data.sizes:
            if damage := data.source.find_corrupt_example(split):
                raise ValueError(f"{damage}: remove it, or replace it.") from error
        raise ValueError(f"The data set {data.name} cannot be read: {error.message}") from error
