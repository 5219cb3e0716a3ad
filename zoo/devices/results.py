"""What a benchmark on a device found, as JSON: records, their schema, and files of several runs.

The app and the static program write one document a run; the harness completes it and appends it to the device's file.
"""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from larq_melius.files import write_atomically
from larq_melius.validation import Items, Share, checked, one_line

#: Changes whenever a field is added, removed or means something else.
SCHEMA_VERSION: Final = 1


def _check_sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("must be 64 hexadecimal digits in lower case")
    return value


Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
Line = Annotated[str, Field(pattern=r"^[^\r\n]+$")]


@checked
class Device:
    """A phone. Its serial number is not recorded."""

    manufacturer: Annotated[str | None, Field(description="ro.product.manufacturer, such as Google")]
    model: Annotated[str | None, Field(description="ro.product.model, such as Pixel 8")]
    soc: Annotated[str | None, Field(description="ro.soc.model, or else ro.board.platform, or Hardware of cpuinfo")]
    android_release: Annotated[str | None, Field(description="ro.build.version.release, such as 14")]
    android_sdk: Annotated[Positive | None, Field(description="ro.build.version.sdk, such as 34")]
    abi: Annotated[str | None, Field(description="What the benchmark was compiled for, such as arm64-v8a")]
    cores: Annotated[Positive | None, Field(description="Processors that are configured, the offline ones included")]
    core_max_mhz: Annotated[
        Items[NotNegative | None],
        Field(description="Highest clock of each core, MHz, from cpufreq's cpuinfo_max_freq; empty if unknown"),
    ]
    memory_bytes: Annotated[Count | None, Field(description="MemTotal of /proc/meminfo")]


@checked
class State:
    """What else decides about a phone's speed, at one moment."""

    thermal_status: Annotated[
        Annotated[int, Field(ge=0, le=6)] | None,
        Field(description="Android's: 0 none, 1 light, 2 moderate, 3 severe, 4 critical, 5 emergency, 6 shutdown"),
    ]
    hottest_zone_c: Annotated[
        float | None, Field(description="Highest temperature of /sys/class/thermal's CPU zones, or of all, °C")
    ]
    core_mhz: Annotated[
        Items[NotNegative | None],
        Field(description="Clock of each core at that moment, MHz, from scaling_cur_freq; empty if unknown"),
    ]
    battery_percent: Annotated[Annotated[int, Field(ge=0, le=100)] | None, Field(description="Charge of the battery")]
    battery_c: Annotated[float | None, Field(description="Temperature of the battery, °C")]
    charging: Annotated[bool | None, Field(description="Whether a cable or a charger feeds it")]


@checked
class Settings:
    """What the benchmark was asked to do."""

    num_threads: Annotated[Positive, Field(description="Threads")]
    warmup_runs: Annotated[Count, Field(description="Runs before those that are measured")]
    num_runs: Annotated[Positive, Field(description="Runs to measure, unless max_secs ends them")]
    max_secs: Annotated[NotNegative, Field(description="No measured run starts later than this after the first, s")]
    run_delay_secs: Annotated[NotNegative, Field(description="Pause between runs, s")]
    op_profiling: Annotated[bool, Field(description="Whether operators were timed, in runs of their own")]
    affinity: Annotated[
        Items[Count], Field(description="Cores that the process may run on, by sched_getaffinity; empty if unknown")
    ]


@checked
class Operator:
    """The time of one operator, or of several that run as one."""

    name: Annotated[Line, Field(description="Such as LceBconv2d or CONV_2D; what is fused into it may follow")]
    runner: Annotated[
        Literal["delegate", "runtime"],
        Field(description="The delegate, or what runs the rest: TFLite with XNNPACK, or the program's own kernels"),
    ]
    binary: Annotated[bool, Field(description="Whether it is Larq Compute Engine's, or has one of its in it")]
    count: Annotated[Positive, Field(description="Operators in it: 1, or the rest of the network in one line")]
    min_ms: Annotated[NotNegative, Field(description="Least time of any profiled run, ms")]


@checked
class ModelResult:
    """What one network costs, or why that is not known."""

    name: Annotated[Line, Field(description="File name without .tflite")]
    sha256: Annotated[
        Annotated[str, AfterValidator(_check_sha256)] | None, Field(description="Hash of the file; null if unreadable")
    ]
    bytes: Annotated[Count | None, Field(description="Size of the file")]
    runtime: Annotated[
        Literal["tflite", "program"],
        Field(
            description="tflite: stock TFLite with the delegate, XNNPACK for the rest; program: the delegate, plain "
            "kernels of the static program for the rest, whose times are not TFLite's"
        ),
    ]
    runtime_version: Annotated[str | None, Field(description="TFLite's version, or the program's")]
    delegate_version: Annotated[str | None, Field(description="larq-melius' version")]
    delegate_isa: Annotated[str | None, Field(description="Such as neon; null if no operator went to the delegate")]
    output_check: Annotated[
        Literal["passed", "failed", "not_checked"],
        Field(description="Beside a stored answer, before anything is timed; not_checked if there is none"),
    ]
    output_max_error: Annotated[
        NotNegative | None, Field(description="Largest absolute difference to the stored answer")
    ]
    load_ms: Annotated[NotNegative | None, Field(description="From the file to a network ready to run, ms")]
    first_ms: Annotated[NotNegative | None, Field(description="First run after that, measured or warm-up, ms")]
    samples_ms: Annotated[Items[NotNegative], Field(description="Each measured run in its order, ms")]
    min_ms: Annotated[NotNegative | None, Field(description="Least of them")]
    mean_ms: Annotated[NotNegative | None, Field(description="Mean of them")]
    median_ms: Annotated[NotNegative | None, Field(description="Median of them")]
    p90_ms: Annotated[NotNegative | None, Field(description="90th percentile, interpolated linearly as by NumPy")]
    p99_ms: Annotated[NotNegative | None, Field(description="99th percentile, likewise")]
    std_ms: Annotated[NotNegative | None, Field(description="Standard deviation, of the population: divided by n")]
    memory_before_bytes: Annotated[Count | None, Field(description="VmHWM of the process before the file was opened")]
    memory_peak_bytes: Annotated[Count | None, Field(description="VmHWM after the last measured run")]
    claimed_operators: Annotated[
        Count | None, Field(description="Operators of Larq Compute Engine's in the file that the delegate ran")
    ]
    binary_share: Annotated[
        Share | None, Field(description="Share of the profiled time in binary operators; null without a profile")
    ]
    profile: Annotated[Items[Operator], Field(description="In the order of execution; empty without op_profiling")]
    error: Annotated[
        Line | None, Field(description="Why there are no times, in one line; null if there are. A stopped run has both")
    ]

    @property
    def memory_bytes(self) -> int | None:
        """By how much opening and running the network raised the peak of the process's memory."""
        if self.memory_peak_bytes is None or self.memory_before_bytes is None:
            return None
        return self.memory_peak_bytes - self.memory_before_bytes

    @model_validator(mode="after")
    def _check_statistics(self) -> "ModelResult":
        statistics = (self.min_ms, self.mean_ms, self.median_ms, self.p90_ms, self.p99_ms, self.std_ms)
        if (None in statistics) != (not self.samples_ms) or (not self.samples_ms and set(statistics) != {None}):
            raise ValueError("the statistics of samples_ms are there exactly if it is not empty")
        if not self.samples_ms and self.error is None:
            raise ValueError(f"{self.name} has neither samples_ms nor an error")
        return self


@checked
class Results:
    """One run of the app or of the static program."""

    schema_version: Annotated[Literal[1], Field(description="Of this schema")]
    created: Annotated[
        Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")],
        Field(description="When the run began, UTC, as 2026-01-31T12:00:00Z"),
    ]
    tool: Annotated[
        Literal["larq-melius-benchmark", "org.larqmelius.benchmark"],
        Field(description="The static program, or the app"),
    ]
    tool_version: Annotated[str, Field(description="larq-melius' version")]
    device: Device
    state_before: State
    state_after: State
    settings: Settings
    models: Annotated[Items[ModelResult], Field(description="In the order in which they ran")]
    error: Annotated[
        Line | None, Field(description="Why the run ended early, such as an unknown argument; null if it did not")
    ]


@checked
class DeviceFile:
    """All runs on phones of one model, in the order in which they were made."""

    schema_version: Annotated[Literal[1], Field(description="Of this schema")]
    runs: Items[Results]


def schema() -> dict[str, Any]:
    """The JSON schema of a ``DeviceFile``, whose ``#/$defs/Results`` is that of one run."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **TypeAdapter(DeviceFile).json_schema()}


def read_results(text: str) -> Results:
    """Reads the document of one run.

    Raises:
        ValueError: If it is of another version, or not by the schema.
    """
    return _read(text, Results)


def read_device_file(path: Path) -> DeviceFile:
    """Reads a device's file.

    Raises:
        OSError: If there is none.
        ValueError: If it is of another version, or not by the schema.
    """
    try:
        return _read(path.read_text("utf-8"), DeviceFile)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def append_results(folder: Path, results: Results) -> Path:
    """Adds a run to the file of its device, ``MANUFACTURER-MODEL.json``, which is made if there is none.

    Args:
        folder: Folder of such files; made if there is none.
        results: The run.

    Returns:
        The file.

    Raises:
        OSError: If the folder or the file cannot be written.
        ValueError: If the file is of another version, or not by the schema; it is left as it is.
    """
    words = [results.device.manufacturer or "unknown", results.device.model or "device"]
    path = folder / f"{re.sub(r'[^a-z0-9]+', '-', ' '.join(words).lower()).strip('-')}.json"
    earlier = read_device_file(path).runs if path.exists() else ()
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(DeviceFile(SCHEMA_VERSION, (*earlier, results))), indent=1, ensure_ascii=False)
    # One line for a list of numbers: samples would take most of the file.
    text = re.sub(r"\[\s+([-\d.e+,\snul]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    return write_atomically(path, f"{text}\n".encode())


def _read(text: str, kind: Any) -> Any:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValueError(f"this is not JSON: {error}") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"its schema has version {version}, and this version of larq-melius reads {SCHEMA_VERSION} only."
        )
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        raise ValueError(one_line(error, kind)) from error
