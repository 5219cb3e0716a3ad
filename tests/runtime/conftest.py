"""Fixtures of the delegate's tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, load_delegate


@pytest.fixture(scope="session")
def instruction_sets(delegate_library: Path) -> list[str]:
    """The instruction sets of the delegate that this processor has."""
    available = []
    for name in ("portable", "avx2", "avx512", "neon"):
        try:
            load_delegate(str(delegate_library), {"isa": name})
        except ValueError:
            continue
        available.append(name)
    return available


@pytest.fixture(scope="session")
def run_delegate(delegate_library: Path) -> Callable[..., list[np.ndarray]]:
    """A function that runs a flatbuffer on inputs, in LiteRT with the delegate, and returns the outputs."""

    def run(model: bytes, *inputs: np.ndarray, num_threads: int = 1, resize: bool = False, **options: Any) -> Any:
        delegate = load_delegate(str(delegate_library), options)
        interpreter = Interpreter(model_content=model, experimental_delegates=[delegate], num_threads=num_threads)
        if resize:
            for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
                interpreter.resize_tensor_input(detail["index"], value.shape)
        interpreter.allocate_tensors()
        for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]

    return run
