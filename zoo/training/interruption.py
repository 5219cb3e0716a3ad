"""Ends a training in good order when its process is told to end."""

import signal
import threading
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingStopped(Exception):  # noqa: N818 - no error: it was asked for
    """The training was told to stop; its last checkpoint has all that was done."""


class StopRequest:
    """Notes SIGTERM, which schedulers send before they kill, and Ctrl-C; a second one ends the process at once."""

    def __init__(self) -> None:
        self._earlier: dict[signal.Signals, object] = {}
        self.requested = False

    def __enter__(self) -> "StopRequest":
        # Python lets no other thread handle signals.
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
