"""Loads damaged files in a process of its own, with limits of memory and time.

The process loads one file after the other, as importing TensorFlow takes seconds. One that crashes or hangs is ended,
the file that it had is blamed, and another takes its place.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import resource
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from larq_melius.runtime.measurement import peak_memory

#: Bytes that a load may take above what the process and its networks have.
MEMORY = 1 << 30
#: Seconds of processor time and, as the machine may be busy, of the clock.
SECONDS = 30
PATIENCE = 300

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """What became of a file: ``loaded``, with the hash of the numbers, ``refused``, or what must not be."""

    kind: str
    details: str = ""


class Loader:
    """A process that loads files."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None

    def load(self, kind: str, path: Path, marker: Path) -> Outcome:
        """Loads a file by one of ``LOADERS``; ``marker`` is what its code would make."""
        if self._process is None:
            self._pipe, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        self._pipe.send((kind, path))
        outcome = None
        if self._pipe.poll(PATIENCE):
            with contextlib.suppress(EOFError, ConnectionError):
                outcome = self._pipe.recv()
        else:
            outcome = Outcome("hang")
        if outcome is None:
            self._process.join()
            outcome = Outcome("hang" if self._process.exitcode == -24 else "crash", f"exit {self._process.exitcode}")
        if marker.exists():
            outcome = Outcome("code")
        if outcome.kind in ("hang", "crash", "memory"):
            self.close()
        return outcome

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _serve(pipe: Any) -> None:
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
    import larq_melius  # noqa: F401 - selects legacy Keras

    while True:
        kind, path = pipe.recv()
        load = LOADERS[kind]()
        resource.setrlimit(resource.RLIMIT_CPU, (int(_cpu_seconds()) + SECONDS, resource.RLIM_INFINITY))
        before = _resident()
        outcome = _outcome(load, path)
        if peak_memory() - before > MEMORY:
            outcome = Outcome("memory", f"{peak_memory() - before:,} bytes; {outcome}")
        pipe.send(outcome)


def _outcome(load: Callable[[Path], Arrays], path: Path) -> Outcome:
    try:
        arrays = load(path)
    except (ValueError, OSError) as error:
        return Outcome("refused", str(error)) if "\n" not in str(error) else Outcome("several lines", str(error))
    except BaseException:
        return Outcome("traceback", traceback.format_exc())
    if not all(np.isfinite(array).all() for array in arrays):
        return Outcome("not finite")
    return Outcome("loaded", hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest())


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


_networks: dict[str, Any] = {}


def small_network() -> Any:
    """The network whose files are damaged."""
    import larq_melius as lm

    return lm.MeliusNet(
        [1, 1], [64], growth_rate=8, input_shape=(8, 8, 3), classes=3, stem="thumbnail", transition_groups=1
    )


def _weights() -> Callable[[Path], Arrays]:
    from larq_melius.weights.loading import load_weights

    if "small" not in _networks:
        _networks["small"] = small_network()
    network = _networks["small"]

    def load(path: Path) -> Arrays:
        load_weights(network, path, None, include_top=True)
        arrays: Arrays = network.get_weights()
        return arrays

    return load


def _model() -> Callable[[Path], Arrays]:
    import tensorflow as tf

    from larq_melius.models.safe_loading import load_model_safely

    tf.keras.backend.clear_session()

    def load(path: Path) -> Arrays:
        arrays: Arrays = load_model_safely(path).get_weights()
        return arrays

    return load


def _tflite() -> Callable[[Path], Arrays]:
    from larq_melius.converters import count_operators, read_metadata
    from larq_melius.runtime import make_interpreter

    def load(path: Path) -> Arrays:
        data = path.read_bytes()
        metadata = read_metadata(data)
        count_operators(data)
        if metadata is None:
            raise ValueError("no metadata")
        return [make_interpreter(data).predict(np.zeros((1, *metadata.input_shape), "float32"))]

    return load


def _labels() -> Callable[[Path], Arrays]:
    from larq_melius.converters import read_metadata

    def load(path: Path) -> Arrays:
        read_metadata(path.read_bytes())
        return []

    return load


def _import(model: str) -> Callable[[], Callable[[Path], Arrays]]:
    def make() -> Callable[[Path], Arrays]:
        from larq_melius.converters import import_weights

        def load(path: Path) -> Arrays:
            arrays: Arrays = import_weights(path, model).get_weights()
            return arrays

        return load

    return make


def _params() -> Callable[[Path], Arrays]:
    from larq_melius.converters.importers.mxnet_params import read_params

    def load(path: Path) -> Arrays:
        read_params(path)
        return []

    return load


def _state() -> Callable[[Path], Arrays]:
    from larq_melius.converters.importers.torch_files import read_state
    from larq_melius.weights.checks import check_finite

    def load(path: Path) -> Arrays:
        # As the importer does with each tensor that it takes.
        return [check_finite(tensor, name) for name, tensor in read_state(path).items()]

    return load


def _registry() -> Callable[[Path], Arrays]:
    from larq_melius.weights import cached_path, list_records
    from larq_melius.weights.cache import cache_dir

    def load(path: Path) -> Arrays:
        os.environ["LARQ_MELIUS_HOME"] = str(path.parent)
        path.replace(cache_dir() / "registry.json")
        folder = cache_dir() / "weights"
        assert all(cached_path(record).parent == folder for record in list_records())
        return []

    return load


def _progress() -> Callable[[Path], Arrays]:
    """The newest of two checkpoints, of which one part is the damaged file; the one before it is whole."""
    import shutil

    import tensorflow as tf

    from larq_melius.zoo.training.checkpoints import Checkpoints
    from larq_melius.zoo.training.trainer import _RunProgress

    def load(path: Path) -> Arrays:
        variable = tf.Variable(np.zeros(100, "float32"))
        folder = path.parent / "checkpoints"
        shutil.rmtree(folder, ignore_errors=True)
        checkpoints = Checkpoints(folder, {"variable": variable})
        progress = json.dumps({"epoch": 1, "batch": 0, "seconds": 0.0, "log": [], "flips": []})
        for step in (1, 2):
            checkpoints.save(step, json.loads(progress))
        part = "progress.json" if path.suffix == ".json" else f"state{path.suffix}"
        shutil.copyfile(path, folder / "step-0000000002" / part)
        said: list[str] = []
        checkpoints.restore(_RunProgress.from_dict, said.append)
        if said:
            raise ValueError(said[0])
        return [variable.numpy()]

    return load


LOADERS: dict[str, Callable[[], Callable[[Path], Arrays]]] = {
    "weights": _weights,
    "model": _model,
    "tflite": _tflite,
    "labels": _labels,
    "params": _params,
    "torch": _state,
    "registry": _registry,
    "checkpoint": _progress,
}
