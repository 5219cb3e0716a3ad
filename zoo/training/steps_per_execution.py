"""How many steps go into one call of the compiled loop."""

import contextlib
import time
from collections.abc import Iterator

# Often enough for a lively progress bar and a quick stop, seldom enough for a call to cost nothing.
_SECONDS_PER_CALL = 1.0
_STEPS_OF_A_CLUSTER = 10


class StepsPerExecution:
    """Adapts the steps of a call to how long a step takes.

    Args:
        workers: Number of worker processes: they must all run the same calls, so several keep to a fixed number.
    """

    def __init__(self, workers: int = 1) -> None:
        self._adapts = workers == 1
        self.steps = 1 if self._adapts else _STEPS_OF_A_CLUSTER

    @contextlib.contextmanager
    def timing(self, steps: int) -> Iterator[None]:
        """Times a call of so many steps, to choose the next."""
        started = time.monotonic()
        yield
        if self._adapts:
            step = (time.monotonic() - started) / steps
            # The first call compiles, and may be slow for that: grow step by step.
            self.steps = max(1, min(2 * self.steps, int(_SECONDS_PER_CALL / max(step, 1e-6))))
