"""Measures networks on a phone, one after the other, each in a process of its own."""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from larq_melius.runtime import Interpreter
from larq_melius.runtime.measurement import random_inputs
from larq_melius.zoo.devices.adb import Adb, DeviceError
from larq_melius.zoo.devices.phone import (
    THERMAL_STATUSES,
    Cooling,
    describe_device,
    describe_state,
    saves_battery,
    wait_until_cool,
)
from larq_melius.zoo.devices.results import SCHEMA_VERSION, Device, ModelResult, Results, Settings, State
from larq_melius.zoo.devices.runners import MeasurementError, Runner

#: Largest difference of any output to the computer's answer, in standard deviations of the answer, with binary
#: activations and without. Rounding, which differs between processors, flips a few of their signs: that moves outputs
#: by a tenth (``larq_melius.converters.verify``), the furthest of a thousand by some more. A wrong kernel moves that
#: one by several.
_FLIP_TOLERANCE = 1.0
_ROUNDING_TOLERANCE = 1e-3
_NO_HEAT = Cooling()

T = TypeVar("T", Device, State)


@dataclass(frozen=True)
class Answer:
    """What a network answers on this computer to random inputs.

    Attributes:
        inputs: All inputs one after the other, little-endian.
        outputs: All outputs, likewise.
        tolerance: By how much an output may differ.
    """

    inputs: bytes
    outputs: bytes
    tolerance: float


def compute_answer(path: Path) -> Answer | None:
    """Runs a network on this computer, for the phone to compare with; ``None`` if its outputs are not 32-bit floats.

    Raises:
        ImportError, OSError, ValueError: As ``Interpreter`` does.
    """
    interpreter = Interpreter(path)
    inputs = random_inputs(interpreter)
    given = interpreter.predict(inputs)
    outputs = given if isinstance(given, list) else [given]
    if any(output.dtype != np.float32 for output in outputs):
        return None
    binary = interpreter.claimed_operators > 0 or interpreter.runtime == "lce"
    share = _FLIP_TOLERANCE if binary else _ROUNDING_TOLERANCE
    return Answer(
        inputs=b"".join(map(_little_endian, inputs)),
        outputs=b"".join(map(_little_endian, outputs)),
        tolerance=share * max(float(np.std(output.astype("float64"))) for output in outputs),
    )


def measure_on_phone(
    adb: Adb,
    runner: Runner,
    files: dict[str, Path],
    settings: Settings,
    *,
    cooling: Cooling = _NO_HEAT,
    say: Callable[[str], None] = lambda line: None,
    on_line: Callable[[str], None] = lambda line: None,
) -> Results:
    """Measures networks on a phone, which is left as it was.

    A network that cannot be measured has an error in the place of its times. So have those that are left when the phone
    is gone, out of storage or too hot, unless that happens before anything was measured.

    Args:
        adb: The phone.
        runner: What runs the networks there.
        files: Networks by the names to report them under.
        settings: Threads, runs and so on.
        cooling: How a hot phone is waited for.
        say: Gets a line for each step.
        on_line: Gets what the benchmark says meanwhile.

    Raises:
        DeviceError: If the phone does not do what it should, and nothing was measured.
        ImportError, OSError, ValueError: If a network does not run on this computer.
    """
    answers = {name: compute_answer(path) for name, path in files.items()}
    created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    device = replace(describe_device(adb), abi=runner.abi)
    before = after = describe_state(adb)
    if saves_battery(adb):
        say("The phone's battery saver is on, which slows it down")
    documents: list[Results] = []
    models: list[ModelResult] = []
    stopped: str | None = None
    with adb.reserved(), runner:
        for name, path in files.items():
            try:
                if stopped is not None:
                    raise MeasurementError(stopped)
                wait_until_cool(adb, cooling, say)
                start = describe_state(adb)
                say(f"Measuring {name} on the phone")
                document = _measure(runner, path, answers[name], settings, on_line)
                end = describe_state(adb)
            except (MeasurementError, DeviceError) as error:
                if isinstance(error, DeviceError):
                    if not documents:
                        raise
                    stopped = str(error)
                models.append(_failure(name, path, runner, str(error)))
                continue
            before, after = before if documents else start, end
            documents.append(document)
            models.append(_result(document, name, path, runner))
            if (end.thermal_status or 0) > max(start.thermal_status or 0, cooling.accepted):
                status = THERMAL_STATUSES[end.thermal_status or 0]
                say(f"{name} made the phone hot (thermal status {status}), which may have slowed it down")
    if not documents:
        raise DeviceError(f"{models[0].name}: {models[0].error}")
    first, last = documents[0], documents[-1]
    return Results(
        schema_version=SCHEMA_VERSION,
        created=created,
        tool=first.tool,
        tool_version=first.tool_version,
        device=_completed(device, first.device),
        state_before=_completed(before, first.state_before),
        state_after=_completed(after, last.state_after),
        settings=first.settings,
        models=tuple(models),
        error=stopped,
    )


def _measure(
    runner: Runner, path: Path, answer: Answer | None, settings: Settings, on_line: Callable[[str], None]
) -> Results:
    flags = [
        f"--num_threads={settings.num_threads}",
        f"--warmup_runs={settings.warmup_runs}",
        f"--num_runs={settings.num_runs}",
        f"--max_secs={settings.max_secs:g}",
        f"--enable_op_profiling={str(settings.op_profiling).lower()}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        files = {"graph": path}
        if answer is not None:
            flags.append(f"--tolerance={answer.tolerance:g}")
            for flag, data in (("input", answer.inputs), ("expected", answer.outputs)):
                files[flag] = Path(folder, f"{path.stem}.{flag}")
                files[flag].write_bytes(data)
        # Profiling takes runs of its own.
        return runner.measure(files, flags, (1 + settings.op_profiling) * settings.max_secs, on_line)


def _result(document: Results, name: str, path: Path, runner: Runner) -> ModelResult:
    """The network of a document, under our name for it."""
    if len(document.models) != 1:
        return _failure(name, path, runner, document.error or "the phone's results have no network")
    data = path.read_bytes()
    return replace(document.models[0], name=_short(name), sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _failure(name: str, path: Path, runner: Runner, reason: str) -> ModelResult:
    data = path.read_bytes()
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(ModelResult))
    values.update(
        name=_short(name),
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        runtime=runner.runtime,
        output_check="not_checked",
        samples_ms=(),
        profile=(),
        error=" ".join(reason.split()),
    )
    return ModelResult(**values)


def _short(name: str) -> str:
    """The name for the results, which leave this computer: without its folders."""
    return Path(name).name.removesuffix(".tflite")


def _completed(ours: T, theirs: T) -> T:
    """What the harness knows, with what only the benchmark on the phone knows."""
    missing = {field.name: getattr(theirs, field.name) for field in fields(ours) if not _known(ours, field.name)}
    return replace(ours, **missing)


def _known(record: Any, name: str) -> bool:
    return getattr(record, name) not in (None, ())


def _little_endian(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()
