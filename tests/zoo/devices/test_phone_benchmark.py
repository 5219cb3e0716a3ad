"""``larq-melius benchmark --device adb``: the stock adb, with a fake phone that runs what is pushed to it."""

import csv
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command_line import COMMAND, run
from fake_benchmark import SAMPLES

from larq_melius.zoo.devices import phone as phone_module
from larq_melius.zoo.devices import runners
from larq_melius.zoo.devices.results import read_device_file

pytestmark = pytest.mark.android

ROOT = Path(__file__).parents[3]


@pytest.fixture
def benchmark(workplace, delegate_library):
    environment = {"LARQ_MELIUS_DELEGATE": str(delegate_library)}
    return lambda *arguments: run("benchmark", "--device", "adb", *arguments, cwd=workplace, env=environment)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(runners, "_SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(phone_module, "_SECONDS_BETWEEN_LOOKS", 0.01)


def log(phone):
    return [json.loads(line) for line in (phone.root / "log").read_text().splitlines()]


def one_error(result):
    """The line of a command that failed before it had anything to print."""
    assert (result.returncode, result.stdout) == (1, ""), result
    (line,) = [line for line in result.stderr.splitlines() if not line.endswith("…")]
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


@pytest.mark.parametrize("app", [False, True], ids=["program", "app"])
def test_the_table_is_that_of_this_computer_and_nothing_is_left(benchmark, phone, app):
    result = benchmark("first.tflite", "second.tflite", "--threads", 2, "--runs", 3, *(["--app"] if app else []))
    assert result.returncode == 0, result.stderr
    header, first, second = result.stdout.splitlines()
    assert header.split()[:4] == ["MIN", "MS", "MEDIAN", "P90"]
    # Minimum, median, 90th percentile, ratio, time to open, memory.
    assert first.split()[:-1] == ["first.tflite", "1.00", "2.00", "2.80", "1.00", "12", "2.0"]
    assert second.split()[0] == "second.tflite"
    who = "stock TensorFlow Lite" if app else "the static program"
    assert who in result.stderr
    assert "Example Phone 1 (EX1, Android 14, x86_64); throttling for heat: none before, none after, charging." in (
        result.stderr
    )
    assert phone.files() == []
    assert not (phone.root / "installed").exists()


@pytest.mark.parametrize("app", [False, True], ids=["program", "app"])
def test_what_the_phone_is_asked(benchmark, phone, workplace, app):
    benchmark("first.tflite", "--threads", 2, "--runs", 7, "--warmup", 4, "--max-secs", 9, *(["--app"] if app else []))
    (flags,) = log(phone)
    assert {name: flags[name] for name in ("num_threads", "num_runs", "warmup_runs", "max_secs")} == {
        "num_threads": "2",
        "num_runs": "7",
        "warmup_runs": "4",
        "max_secs": "9",
    }
    assert flags["enable_op_profiling"] == "false"
    # The whole file, its input and this computer's answer.
    assert flags["sizes"]["graph"] == (workplace / "first.tflite").stat().st_size
    assert flags["sizes"]["input"] > 0
    assert flags["sizes"]["expected"] > 0
    assert float(flags["tolerance"]) > 0


def test_json_csv_and_a_profile(benchmark, phone):
    result = benchmark("first.tflite", "--profile", "--json")
    (row,) = json.loads(result.stdout)
    assert (row["name"], row["runtime"], row["runs"], row["median_ms"]) == ("first.tflite", "program", 3, 2.0)
    assert (row["p99_ms"], row["output_check"], row["binary_share"]) == (2.98, "passed", 0.75)
    assert row["profile"][1].split() == ["0.750", "ms", "LceBconv2d", "(delegate)"]
    assert log(phone)[0]["enable_op_profiling"] == "true"
    (row,) = csv.DictReader(io.StringIO(benchmark("first.tflite", "--csv").stdout))
    assert (row["name"], float(row["p90_ms"])) == ("first.tflite", 2.8)
    text = benchmark("first.tflite", "--profile").stdout
    assert "75% of the time in binary operators" in text


def test_results_are_added_to_a_folder_with_a_page(benchmark, phone, workplace):
    for _ in range(2):
        result = benchmark("first.tflite", "--results", "found")
        assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (workplace / "found").iterdir()) == [
        "README.md",
        "example-phone-1.json",
        "latency.png",
    ]
    runs = read_device_file(workplace / "found/example-phone-1.json").runs
    assert len(runs) == 2
    (model,) = runs[0].models
    assert model.name == "first"
    digest = subprocess.run(["sha256sum", workplace / "first.tflite"], capture_output=True, text=True, check=True)
    assert model.sha256 == digest.stdout.split()[0]
    assert model.samples_ms == tuple(SAMPLES)
    # What adb tells, and what the program tells.
    assert (runs[0].device.manufacturer, runs[0].device.android_sdk, runs[0].device.cores) == ("Example", 34, 2)
    state = runs[0].state_before
    assert (state.battery_percent, state.battery_c, state.charging, state.thermal_status) == (81, 29.5, True, 0)
    assert (state.hottest_zone_c, runs[0].settings.affinity) == (41.5, (0, 1))
    assert phone.serial not in (workplace / "found/example-phone-1.json").read_text()


def test_keep_leaves_the_files(benchmark, phone):
    assert benchmark("first.tflite", "--keep").returncode == 0
    assert [path for path in phone.files() if path.endswith((".tflite", "benchmark"))] == [
        "/data/local/tmp/larq-melius/first.tflite",
        "/data/local/tmp/larq-melius/larq-melius-benchmark",
    ]
    assert benchmark("first.tflite").returncode == 0
    assert phone.files() == []


def test_an_app_that_was_installed_stays(benchmark, phone, workplace):
    (phone.root / "installed").touch()
    (workplace / "build/android/larq-melius-benchmark.apk").unlink()
    assert benchmark("first.tflite", "--app").returncode == 0
    assert (phone.root / "installed").exists()
    folder = "/sdcard/Android/data/org.larqmelius.benchmark"
    assert phone.files() == [folder, f"{folder}/files", f"{folder}/files/results"]


def test_no_adb(benchmark, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert one_error(benchmark("first.tflite")).startswith("There is no adb: install Android's platform-tools")


def test_no_phone(benchmark, adb):
    assert one_error(benchmark("first.tflite")).startswith("There is no phone: plug one in")


def test_several_phones(benchmark, new_phone, workplace, delegate_library):
    first, second = new_phone(), new_phone()
    serials = ", ".join(sorted([first.serial, second.serial]))
    message = one_error(benchmark("first.tflite"))
    assert message == f"There are several phones: adb sees {serials}; choose one by --device adb:SERIAL."
    environment = {"LARQ_MELIUS_DELEGATE": str(delegate_library)}
    device = f"adb:{second.serial}"
    assert run("benchmark", "--device", device, "first.tflite", cwd=workplace, env=environment).returncode == 0
    assert first.commands == []
    result = run("benchmark", "--device", "adb:nobody", "first.tflite", cwd=workplace, env=environment)
    assert one_error(result) == f"There is no phone nobody: adb sees {serials}."


@pytest.mark.parametrize(
    ("state", "message"), [("unauthorized", "does not trust this computer yet"), ("offline", "is offline")]
)
def test_a_phone_that_is_not_ready(benchmark, new_phone, state, message):
    phone = new_phone(state=state)
    assert one_error(benchmark("first.tflite")).startswith(f"The phone {phone.serial} {message}")


def test_an_old_android(benchmark, new_phone):
    properties = {"ro__build__version__sdk": "23", "ro__build__version__release": "6.0"}
    new_phone(shell_v2=False, **properties)
    assert one_error(benchmark("first.tflite")).endswith("runs Android 6.0; the benchmark needs Android 7 (API 24).")


def test_another_processor(benchmark, new_phone):
    new_phone(ro__product__cpu__abilist="armeabi-v7a,armeabi")
    message = one_error(benchmark("first.tflite"))
    assert message.endswith("runs armeabi-v7a, armeabi only; the benchmark needs arm64-v8a or x86_64.")


def test_a_program_for_another_processor(benchmark, phone, workplace):
    (workplace / "arm").write_bytes(b"\x7fELF\2\1\1" + bytes(11) + b"\xb7\0")
    message = one_error(benchmark("first.tflite", "--program", "arm"))
    assert message == "arm is a program for arm64-v8a, but the phone runs x86_64."
    message = one_error(benchmark("first.tflite", "--program", "first.tflite"))
    assert message == "first.tflite is no program for arm64-v8a or x86_64."


@pytest.mark.parametrize(
    ("name", "target", "options"),
    [
        ("larq-melius-benchmark-x86_64", "benchmark-program", ()),
        ("larq-melius-benchmark.apk", "apk", ("--app",)),
    ],
    ids=["program", "app"],
)
def test_a_program_that_is_not_there(name, target, options, benchmark, phone, workplace):
    if (Path(__file__).parents[3] / "build/android" / name).exists():
        pytest.skip(f"The benchmark finds the one that make {target} has built in this repository.")
    (workplace / "build/android" / name).unlink()
    assert f"build it by make {target}" in one_error(benchmark("first.tflite", *options))


@pytest.mark.parametrize("app", [False, True], ids=["program", "app"])
def test_a_full_storage(benchmark, phone, workplace, app):
    first = workplace / "build/android" / ("larq-melius-benchmark.apk" if app else "larq-melius-benchmark-x86_64")
    phone.free_bytes = first.stat().st_size + 100  # a network needs more
    message = one_error(benchmark("first.tflite", *(["--app"] if app else [])))
    assert "has no room for first.tflite" in message
    assert message.endswith("its storage is full.")
    assert phone.files() == []


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ("INSTALL_FAILED_INSUFFICIENT_STORAGE", "its storage is full"),
        ("INSTALL_FAILED_NO_MATCHING_ABIS: Failed to extract", "no native code for its processor"),
        ("INSTALL_FAILED_UPDATE_INCOMPATIBLE: Package", "adb uninstall org.larqmelius.benchmark"),
        ("INSTALL_FAILED_USER_RESTRICTED", "allow to install over USB"),
        ("INSTALL_FAILED_SOMETHING_NEW", "INSTALL_FAILED_SOMETHING_NEW"),
    ],
)
def test_an_app_that_is_not_installed(benchmark, phone, refusal, message):
    (phone.root / "refusal").write_text(refusal)
    error = one_error(benchmark("first.tflite", "--app"))
    assert "does not install larq-melius-benchmark.apk: " in error
    assert message in error


@pytest.mark.parametrize(
    ("mode", "app", "message"),
    [
        ("killed", False, "the program was killed in the middle, as Android does when memory runs out"),
        ("killed", True, "the app was killed in the middle, or crashed"),
        ("crash", False, "the program crashed (signal 11)"),
        ("crash", True, "the app was killed in the middle, or crashed"),
        ("no results", False, "results.json cannot be written: No space left on device"),
        ("wrong", False, "min_ms must be a number"),
        ("newer", True, "its schema has version 2, and this version of larq-melius reads 1 only"),
    ],
)
def test_a_benchmark_that_fails(benchmark, phone, mode, app, message):
    (phone.root / "mode").write_text(mode)
    error = one_error(benchmark("first.tflite", *(["--app"] if app else [])))
    assert error.startswith("first: ")
    assert message in error
    assert phone.files() == []


def test_no_network_that_can_be_measured(benchmark, phone):
    (phone.root / "mode").write_text("unsupported")
    for form in ((), ("--csv",)):
        result = benchmark("second.tflite", *form)
        assert one_error(result) == "second.tflite: The operator STRANGE is not known."
    result = benchmark("second.tflite", "--json")
    assert (result.returncode, json.loads(result.stdout)) == (1, [])


def test_one_network_that_fails_leaves_the_others(benchmark, phone):
    (phone.root / "mode").write_text("unsupported")
    result = benchmark("second.tflite", "first.tflite", "--results", "found")
    assert result.returncode == 1
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["first.tflite"]
    assert result.stderr.splitlines()[-1] == "Error: second.tflite: The operator STRANGE is not known."


def test_a_phone_that_is_unplugged(benchmark, phone):
    phone.on_command = lambda command: phone.unplug() if "exec" in command else None
    assert f"The phone {phone.serial} is gone" in one_error(benchmark("first.tflite"))


def test_a_phone_that_is_unplugged_later_keeps_what_was_measured(benchmark, phone, workplace):
    phone.on_command = lambda command: phone.unplug() if "exec" in command and "second" in command else None
    result = benchmark("first.tflite", "second.tflite", "--results", "found")
    assert result.returncode == 1
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["first.tflite"]
    assert f"Error: second.tflite: The phone {phone.serial} is gone" in result.stderr
    (run_,) = read_device_file(workplace / "found/example-phone-1.json").runs
    assert [model.error is None for model in run_.models] == [True, False]
    assert "is gone" in run_.error


def test_a_hot_phone_is_waited_for(benchmark, phone):
    (phone.root / "thermal").write_text("".join(f"Thermal Status: {status}\n" for status in (0, 3, 3, 1, 0)))
    result = benchmark("first.tflite")
    assert result.returncode == 0, result.stderr
    assert [line for line in result.stderr.splitlines() if "hot" in line] == [
        "The phone is hot (thermal status severe): waiting for none, at most 600 s…",
        "The phone is hot (thermal status light): waiting for none, at most 600 s…",
    ]


def test_a_phone_that_stays_hot(benchmark, phone):
    (phone.root / "thermal").write_text("Thermal Status: 2\n")
    message = one_error(benchmark("first.tflite", "--cool-down", "0.1"))
    assert message.endswith("(thermal status moderate): cool it, or measure it as it is by --throttling moderate.")
    assert phone.files() == []
    result = benchmark("first.tflite", "--throttling", "moderate")
    assert result.returncode == 0
    assert "throttling for heat: moderate before, moderate after" in result.stderr


def test_a_network_that_heats_the_phone(benchmark, phone):
    (phone.root / "thermal").write_text("Thermal Status: 0\nThermal Status: 0\nThermal Status: 0\nThermal Status: 2\n")
    result = benchmark("first.tflite")
    assert "first.tflite made the phone hot (thermal status moderate), which may have slowed it down" in result.stderr


def test_a_phone_without_thermal_status(benchmark, phone):
    (phone.root / "thermal").write_text("Can't find service: thermalservice\n")
    assert "throttling for heat: unknown before, unknown after" in benchmark("first.tflite").stderr


def test_a_phone_that_saves_battery(benchmark, phone):
    (phone.root / "low_power").write_text("1\n")
    assert "The phone's battery saver is on, which slows it down" in benchmark("first.tflite").stderr


def _start(phone, workplace, delegate_library):
    """A command whose program hangs on the phone."""
    (phone.root / "mode").write_text("hang")
    process = subprocess.Popen(
        [COMMAND, "benchmark", "--device", "adb", "first.tflite"],
        cwd=workplace,
        env={**os.environ, "LARQ_MELIUS_DELEGATE": str(delegate_library)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # As a terminal starts it: what a script starts in the background ignores Ctrl-C, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 60
    while not (phone.root / "log").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    return process


def test_ctrl_c_leaves_nothing(phone, workplace, delegate_library):
    process = _start(phone, workplace, delegate_library)
    pid = phone.path("/data/local/tmp/larq-melius/pid").read_text().strip()
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "")
    assert errors.splitlines()[-1] == "Aborted."
    assert phone.files() == []
    assert pid not in _running()


def test_what_a_killed_harness_left_is_removed(phone, workplace, delegate_library, benchmark):
    process = _start(phone, workplace, delegate_library)
    pid = phone.path("/data/local/tmp/larq-melius/pid").read_text().strip()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    (phone.root / "mode").unlink()
    result = benchmark("first.tflite")
    assert result.returncode == 0, result.stderr
    assert pid not in _running()
    assert phone.files() == []


def test_another_benchmark_is_not_disturbed(phone, workplace, delegate_library, benchmark):
    process = _start(phone, workplace, delegate_library)
    message = one_error(benchmark("first.tflite"))
    assert message == f"Another benchmark is at work on the phone {phone.serial}: wait until it ends."
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)


def _running():
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if b"fake_benchmark" in path.read_bytes()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "usb"), "it is adb or adb:SERIAL, not 'usb'"),
        (("--device", "adb:"), "it is adb or adb:SERIAL, not 'adb:'"),
        (("--keep",), "--keep goes with --device adb"),
        (("--max-secs", "9"), "--max-secs goes with --device adb"),
        (("--device", "adb", "--runtime", "lce"), "--runtime lce is for this computer"),
        (("--device", "adb", "--apk", "x.apk"), "--apk goes with --app"),
        (("--device", "adb", "--app", "--program", "x"), "--program and --app exclude each other"),
    ],
    ids=str,
)
def test_mistakes_get_one_line(workplace, arguments, message):
    result = run("benchmark", "first.tflite", *arguments, cwd=workplace)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_folder_of_something_else(benchmark, phone, workplace):
    (workplace / "README.md").write_text("# My notes\n")
    result = benchmark("first.tflite", "--results", ".")
    assert result.returncode == 2
    assert "README.md is not a page of results" in result.stderr


@pytest.mark.parametrize(("abi", "name", "isa"), [("arm64-v8a", "arm64", "neon"), ("x86_64", "x86_64", None)])
def test_the_real_program(new_phone, benchmark, workplace, abi, name, isa):
    program = ROOT / f"build/android/larq-melius-benchmark-{name}"
    if not program.exists():
        pytest.skip(f"There is no {program.name}: make benchmark-program builds it.")
    if name == "arm64" and not (shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")):
        pytest.skip("There is no QEMU (Debian's package qemu-user) to run an ARM64 program.")
    if name == "x86_64" and platform.machine() != "x86_64":
        pytest.skip("This machine runs no program for x86-64.")
    phone = new_phone(ro__product__cpu__abilist=abi)
    result = benchmark("first.tflite", "--program", program, "--profile", "--runs", 4, "--results", "found")
    assert result.returncode == 0, result.stderr
    (run_,) = read_device_file(workplace / "found/example-phone-1.json").runs
    (model,) = run_.models
    assert (model.error, model.output_check, model.claimed_operators, len(model.samples_ms)) == (None, "passed", 4, 4)
    assert (run_.device.abi, model.delegate_isa) == (abi, isa or model.delegate_isa)
    assert sum(operator.binary for operator in model.profile) > 0
    assert phone.files() == []
