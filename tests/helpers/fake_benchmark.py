"""Stands for the static program and the app on a fake phone: takes their flags, and writes results by the schema.

The phone's file ``mode`` says what goes wrong.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

SAMPLES = [3.0, 1.0, 2.0]
STATE = {
    "thermal_status": None,
    "hottest_zone_c": 41.5,
    "core_mhz": [2000.0, 2000.0],
    "battery_percent": None,
    "battery_c": None,
    "charging": None,
}


def document(flags: dict[str, str], kind: str) -> dict:
    """Results of a run with these flags."""
    profiled = flags["enable_op_profiling"] == "true"
    operators = [
        {"name": "CONV_2D", "runner": "runtime", "binary": False, "count": 1, "min_ms": 0.25},
        {"name": "LceBconv2d", "runner": "delegate", "binary": True, "count": 1, "min_ms": 0.75},
    ]
    return {
        "schema_version": 1,
        "created": "2026-01-31T12:00:00Z",
        "tool": "org.larqmelius.benchmark" if kind == "app" else "larq-melius-benchmark",
        "tool_version": "0.0.1",
        "device": {
            "manufacturer": None,
            "model": None,
            "soc": None,
            "android_release": None,
            "android_sdk": None,
            "abi": "x86_64",
            "cores": 2,
            "core_max_mhz": [2500.0, 2500.0],
            "memory_bytes": 4 * 2**30,
        },
        "state_before": dict(STATE),
        "state_after": dict(STATE),
        "settings": {
            "num_threads": int(flags["num_threads"]),
            "warmup_runs": int(flags["warmup_runs"]),
            "num_runs": int(flags["num_runs"]),
            "max_secs": float(flags["max_secs"]),
            "run_delay_secs": 0.0,
            "op_profiling": profiled,
            "affinity": [0, 1],
        },
        "models": [
            {
                "name": Path(flags["graph"]).stem,
                "sha256": None,
                "bytes": Path(flags["graph"]).stat().st_size,
                "runtime": "tflite" if kind == "app" else "program",
                "runtime_version": "0.0.1",
                "delegate_version": "0.0.1",
                "delegate_isa": "neon",
                "output_check": "passed",
                "output_max_error": 0.0,
                "load_ms": 12.0,
                "first_ms": 4.0,
                "samples_ms": SAMPLES,
                "min_ms": 1.0,
                "mean_ms": 2.0,
                "median_ms": 2.0,
                "p90_ms": 2.8,
                "p99_ms": 2.98,
                "std_ms": 0.8165,
                "memory_before_bytes": 2**20,
                "memory_peak_bytes": 3 * 2**20,
                "claimed_operators": 4,
                "binary_share": 0.75 if profiled else None,
                "profile": operators if profiled else [],
                "error": None,
            }
        ],
        "error": None,
    }


def main(kind: str, arguments: list[str]) -> int:
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
    phone = Path(os.environ["PHONE"])
    mode = (phone / "mode").read_text() if (phone / "mode").exists() else ""
    output = Path(flags["output"])
    if kind == "app":
        output = phone / "sdcard/Android/data/org.larqmelius.benchmark/files/results" / output
    with (phone / "log").open("a") as log:  # what it was given, with the sizes of the files
        sizes = {flag: Path(flags[flag]).stat().st_size for flag in ("graph", "input", "expected")}
        log.write(json.dumps({**flags, "sizes": sizes}) + "\n")
    print("Warming up", file=sys.stderr, flush=True)
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "hang":
        time.sleep(60)
    results = document(flags, kind)
    if mode == "wrong":
        results["models"][0]["min_ms"] = "fast"
    if mode == "newer":
        results["schema_version"] = 2
    if mode == "no results":
        print("larq-melius-benchmark: results.json cannot be written: No space left on device", file=sys.stderr)
        return 1
    if mode == "unsupported" and "second" in flags["graph"]:
        empty = dict.fromkeys(name for name in results["models"][0] if name.endswith("_ms") and name != "samples_ms")
        results["models"][0].update(empty, samples_ms=[], error="The operator STRANGE is not known.")
    output.parent.mkdir(exist_ok=True)
    output.with_suffix(".new").write_text(json.dumps(results))
    output.with_suffix(".new").rename(output)
    return int(results["models"][0]["error"] is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
