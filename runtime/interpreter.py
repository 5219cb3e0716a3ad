"""Runs an exported network: in LiteRT with the delegate, or in Larq Compute Engine's interpreter."""

import contextlib
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np

from larq_melius.content_hash import check_content
from larq_melius.runtime.library import LIBRARY_VARIABLE, import_litert
from larq_melius.runtime.library import delegate as load_delegate

Runtime = Literal["auto", "delegate", "lce"]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a network.

    Attributes:
        name: Its name in the file.
        shape: Its shape for a batch of one.
        dtype: The type of its elements.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


class Interpreter:
    """An exported network, ready to run.

    Attributes:
        runtime: What runs it: ``"delegate"`` for LiteRT with this package's delegate, ``"lce"`` for Larq Compute
            Engine's interpreter.
        inputs: What it takes.
        outputs: What it gives.
        claimed_operators: How many of Larq Compute Engine's operators the delegate runs: all that the file has, or
            there would be no interpreter. 0 in Larq Compute Engine's own.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        num_threads: int = 1,
        *,
        runtime: Runtime = "auto",
        **options: Any,
    ) -> None:
        """Opens a network.

        Args:
            model: Path of a ``.tflite`` file, or what is in it.
            num_threads: Threads to use.
            runtime: ``"delegate"`` or ``"lce"``. ``"auto"`` takes the delegate, but Larq Compute Engine's interpreter,
                with one warning in a process, where this installation has no delegate for this machine.
            **options: Options of the delegate; see ``larq_melius.runtime.delegate``.

        Raises:
            ImportError: If what is to run it is not installed.
            OSError: If the file cannot be read, or there is no delegate although ``runtime`` asks for it.
            ValueError: If the network cannot be run, or an argument makes no sense.
        """
        if runtime not in get_args(Runtime):
            raise ValueError(f"runtime must be one of {', '.join(get_args(Runtime))}, not {runtime!r}.")
        if not isinstance(num_threads, int) or num_threads < 1:
            raise ValueError(f"num_threads must be a whole number from 1, not {num_threads!r}.")
        where = "The flatbuffer" if isinstance(model, bytes) else os.fspath(model)
        if _magic(model) != b"TFL3":
            raise ValueError(f"{where} is not a TFLite flatbuffer.")
        try:
            check_content(model if isinstance(model, bytes) else Path(model).read_bytes())
        except ValueError as error:
            raise ValueError(f"{where}: {error}.") from error
        delegate = None if runtime == "lce" else _load(required=runtime == "delegate", options=options)
        backend: _Backend
        if delegate is not None:
            backend = _LitertBackend(model, where, num_threads, delegate)
        else:
            backend = _LceBackend(model, where, num_threads)
        for info in backend.inputs + backend.outputs:
            if info.shape[:1] != (1,):
                raise ValueError(f"{where} cannot be run on a batch: its {info.name!r} has the shape {info.shape}.")
        self._backend = backend
        self.runtime: Literal["delegate", "lce"] = backend.runtime
        self.inputs = backend.inputs
        self.outputs = backend.outputs
        self.claimed_operators = backend.claimed_operators

    def predict(self, batch: Any) -> Any:
        """Runs the network on each sample of a batch.

        Args:
            batch: An array, ``(samples, ...)``; for a network of several inputs a list with an array for each.

        Returns:
            An array, ``(samples, ...)``; for a network of several outputs a list with an array for each.

        Raises:
            ValueError: If the shapes or the types are not those of the network's inputs.
        """
        arrays = self._check(batch if isinstance(batch, (list, tuple)) else [batch])
        samples = len(arrays[0])
        if samples == 1:
            outputs = self._backend.run(arrays)
            return outputs[0] if len(outputs) == 1 else outputs
        outputs = [np.empty((samples, *info.shape[1:]), info.dtype) for info in self.outputs]
        for i in range(samples):
            for output, value in zip(outputs, self._backend.run([array[i : i + 1] for array in arrays]), strict=True):
                output[i] = value[0]
        return outputs[0] if len(outputs) == 1 else outputs

    def _check(self, batch: Sequence[Any]) -> list[np.ndarray]:
        if len(batch) != len(self.inputs):
            raise ValueError(f"The network has {len(self.inputs)} inputs, but was given {len(batch)}.")
        arrays = []
        for info, given in zip(self.inputs, batch, strict=True):
            array = np.asarray(given)
            if array.ndim == 0 or array.shape[1:] != info.shape[1:]:
                wanted = ", ".join(["samples", *map(str, info.shape[1:])])
                raise ValueError(f"The input {info.name!r} takes the shape ({wanted}), not {array.shape}.")
            # An image of whole numbers has not been normalized.
            if array.dtype != info.dtype and not (array.dtype.kind == info.dtype.kind == "f"):
                raise ValueError(f"The input {info.name!r} takes {info.dtype}, not {array.dtype}.")
            arrays.append(np.ascontiguousarray(array, info.dtype))
        if len({len(array) for array in arrays}) > 1:
            raise ValueError(f"The inputs have {', '.join(str(len(array)) for array in arrays)} samples.")
        return arrays


class _Backend(Protocol):
    """What runs a network, one sample at a time."""

    runtime: Literal["delegate", "lce"]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    claimed_operators: int

    def run(self, sample: list[np.ndarray]) -> list[np.ndarray]: ...


class _LitertBackend:
    runtime: Literal["delegate", "lce"] = "delegate"

    def __init__(self, model: str | os.PathLike[str] | bytes, where: str, num_threads: int, delegate: Any) -> None:
        litert = import_litert()
        # LiteRT maps a file into memory, which costs less than reading it.
        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": os.fspath(model)}
        try:
            interpreter = litert.Interpreter(**source, num_threads=num_threads, experimental_delegates=[delegate])
            for detail in interpreter.get_input_details():
                if len(detail["shape"]) and detail["shape"][0] != 1:
                    interpreter.resize_tensor_input(detail["index"], [1, *detail["shape"][1:]])
            with _without_remarks():
                interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            # An LCE operator that the delegate did not claim ends here, too: LiteRT has no kernel of it.
            raise ValueError(f"{where} cannot be run: {' '.join(str(error).split())}") from error
        operators = interpreter._get_ops_details()  # as in the file; the delegate's and XNNPACK's follow
        self.claimed_operators = sum(operator["op_name"].startswith("Lce") for operator in operators)
        self._interpreter = interpreter
        self.inputs, self._input_indices = _describe(interpreter.get_input_details())
        self.outputs, self._output_indices = _describe(interpreter.get_output_details())

    def run(self, sample: list[np.ndarray]) -> list[np.ndarray]:
        for index, value in zip(self._input_indices, sample, strict=True):
            self._interpreter.set_tensor(index, value)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._output_indices]


class _LceBackend:
    runtime: Literal["delegate", "lce"] = "lce"
    claimed_operators = 0

    def __init__(self, model: str | os.PathLike[str] | bytes, where: str, num_threads: int) -> None:
        from larq_melius.runtime.lce_interpreter import make_interpreter

        data = model if isinstance(model, bytes) else Path(model).read_bytes()
        try:
            self._interpreter = make_interpreter(data, num_threads=num_threads)
        except ValueError as error:
            raise ValueError(f"{where} cannot be run: {error}") from error
        self.inputs = self._infos("input")
        self.outputs = self._infos("output")

    def _infos(self, kind: str) -> tuple[TensorInfo, ...]:
        shapes, types = (getattr(self._interpreter, f"{kind}_{what}") for what in ("shapes", "types"))
        return tuple(
            TensorInfo(f"{kind}_{i}", tuple(shape), np.dtype(dtype))
            for i, (shape, dtype) in enumerate(zip(shapes, types, strict=True))
        )

    def run(self, sample: list[np.ndarray]) -> list[np.ndarray]:
        result = self._interpreter.predict(sample)
        return [np.asarray(part) for part in (result if isinstance(result, list) else [result])]


def _magic(model: str | os.PathLike[str] | bytes) -> bytes:
    """The four bytes that say what kind of flatbuffer it is."""
    if isinstance(model, bytes):
        return model[4:8]
    with open(model, "rb") as file:
        return file.read(8)[4:8]


_REMARK = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
_redirecting = threading.Lock()


@contextlib.contextmanager
def _without_remarks() -> Iterator[None]:
    """Keeps from stderr what LiteRT's C++ code remarks about XNNPACK, which no setting does; the rest passes."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_redirecting)
        try:
            stderr = os.dup(2)
        except OSError:  # There is no stderr.
            yield
            return
        held = stack.enter_context(tempfile.TemporaryFile())
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if line.rstrip() != _REMARK:
                    os.write(2, line)


def _describe(details: Sequence[dict[str, Any]]) -> tuple[tuple[TensorInfo, ...], list[int]]:
    infos = tuple(
        TensorInfo(detail["name"], tuple(int(size) for size in detail["shape"]), np.dtype(detail["dtype"]))
        for detail in details
    )
    return infos, [detail["index"] for detail in details]


_warned = False


def _load(*, required: bool, options: dict[str, Any]) -> Any:
    """The delegate; ``None``, after a warning, if there is none and none is ``required``."""
    global _warned
    # What the environment names is what the user wants: that it cannot be loaded is an error.
    required = required or LIBRARY_VARIABLE in os.environ
    try:
        return load_delegate(**options)
    except OSError as error:
        if required:
            raise
        if not _warned:
            warnings.warn(f"{error} Networks run in Larq Compute Engine's interpreter, slowly.", stacklevel=3)
            _warned = True
        return None
