"""Runs flatbuffers with the delegate, in this process or in a Python of another processor that QEMU emulates.

As a program it serves such runs: it reads pickled arguments of ``run`` from standard input and answers each with what
that returned or raised, and what was printed to standard error meanwhile.
"""

import os
import pickle
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate


def run(
    library: str, model: bytes, inputs: list[np.ndarray], num_threads: int, resize: bool, options: dict[str, str]
) -> list[np.ndarray]:
    """Runs a flatbuffer once and returns its outputs."""
    delegate = load_delegate(library, options)
    interpreter = Interpreter(model_content=model, experimental_delegates=[delegate], num_threads=num_threads)
    if resize:
        for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.resize_tensor_input(detail["index"], value.shape)
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def instruction_sets(library: str) -> list[str]:
    """The instruction sets of the delegate that the processor has."""
    available = []
    for name in ("portable", "avx2", "avx512", "amx", "neon"):
        try:
            load_delegate(library, {"isa": name})
        except ValueError:
            continue
        available.append(name)
    return available


class EmulatedRuns:
    """The same functions, called in a Python that QEMU emulates, of which one process serves all calls."""

    def __init__(self, python: str) -> None:
        """Starts the process.

        Args:
            python: The program that runs Python, as ``tests/arm64/install.sh`` writes it.
        """
        self._process = subprocess.Popen([python, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def call(self, function: str, *arguments: Any) -> Any:
        """What ``run`` or ``instruction_sets`` returns or raises there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump((function, arguments), self._process.stdin)
        self._process.stdin.flush()
        result, error, printed = pickle.load(self._process.stdout)
        os.write(2, printed)
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _serve() -> None:
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        result, error = None, None
        stderr = os.dup(2)
        with tempfile.TemporaryFile() as held:
            os.dup2(held.fileno(), 2)
            try:
                result = {"run": run, "instruction_sets": instruction_sets}[function](*arguments)
            except (RuntimeError, ValueError) as raised:
                error = type(raised)(str(raised))
            finally:
                os.dup2(stderr, 2)
                os.close(stderr)
            held.seek(0)
            printed = held.read()
        pickle.dump((result, error, printed), replies)
        replies.flush()


if __name__ == "__main__":
    _serve()
