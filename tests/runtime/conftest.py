"""Fixtures of the delegate's tests.

Where ``LARQ_MELIUS_EMULATED_PYTHON`` names a Python of another processor, they run the delegate there; see
``make arm64-check``.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import delegate_runs
import numpy as np
import pytest


@pytest.fixture(scope="session")
def emulated_runs() -> Iterator[delegate_runs.EmulatedRuns | None]:
    """What runs the delegate on another processor; ``None`` if it runs on this one."""
    python = os.environ.get("LARQ_MELIUS_EMULATED_PYTHON")
    runs = delegate_runs.EmulatedRuns(python) if python else None
    yield runs
    if runs is not None:
        runs.close()


@pytest.fixture(scope="session")
def instruction_sets(delegate_library: Path, emulated_runs: delegate_runs.EmulatedRuns | None) -> list[str]:
    """The instruction sets of the delegate that the processor has."""
    if emulated_runs is None:
        return delegate_runs.instruction_sets(str(delegate_library))
    return emulated_runs.call("instruction_sets", str(delegate_library))


@pytest.fixture(scope="session")
def run_delegate(
    delegate_library: Path, emulated_runs: delegate_runs.EmulatedRuns | None
) -> Callable[..., list[np.ndarray]]:
    """A function that runs a flatbuffer on inputs, in LiteRT with the delegate, and returns the outputs."""

    def run(model: bytes, *inputs: np.ndarray, num_threads: int = 1, resize: bool = False, **options: Any) -> Any:
        texts = {name: str(value) for name, value in options.items()}
        arguments = (str(delegate_library), model, list(inputs), num_threads, resize, texts)
        return delegate_runs.run(*arguments) if emulated_runs is None else emulated_runs.call("run", *arguments)

    return run
