"""Runs one network on a phone: in the static program, or in the app with stock TensorFlow Lite."""

import contextlib
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from larq_melius.runtime.library import packaged_library
from larq_melius.zoo.devices.adb import Adb, DeviceError
from larq_melius.zoo.devices.results import Results, read_results

#: The phone's folder for the program and what it reads and writes; adb's shell may run programs there.
FOLDER = "/data/local/tmp/larq-melius"
PROGRAM = "larq-melius-benchmark"
PACKAGE = "org.larqmelius.benchmark"
#: The app's folder, which adb reads and writes without root.
APP_FOLDER = f"/sdcard/Android/data/{PACKAGE}/files"

#: The processors that there are programs for: Android's name, that of our files, and the number in an ELF header.
_ABIS = {"arm64-v8a": ("arm64", 183), "x86_64": ("x86_64", 62)}
#: Seconds for what is not measured: opening a network, its check, a profile of a few runs.
_ALLOWANCE = 300
#: Between two looks for what the app does; each takes a little of the phone's time.
_SECONDS_BETWEEN_LOOKS = 2.0


class MeasurementError(RuntimeError):
    """A network could not be measured; the phone is still there for the next one."""


class Runner(Protocol):
    """What measures networks on a phone: a context, at whose end nothing of it is left there."""

    abi: str
    runtime: Literal["program", "tflite"]

    def __enter__(self) -> "Runner": ...

    def __exit__(self, *error: object) -> None: ...

    def measure(
        self, files: dict[str, Path], flags: Sequence[str], seconds: float, on_line: Callable[[str], None]
    ) -> Results:
        """Measures a network in a process of its own.

        Args:
            files: What to push, by the flag that names it: ``graph``, perhaps ``input`` and ``expected``.
            flags: Further flags, as of TensorFlow Lite's benchmark.
            seconds: How long the measurement itself may take.
            on_line: Gets a line of progress now and then.

        Raises:
            DeviceError: If the phone is gone, or its storage is full.
            MeasurementError: If the process ends without results.
        """
        ...


class ProgramRunner:
    """The static program, which needs no installation.

    Attributes:
        abi: Android's name of what it is compiled for.
        runtime: What the results call it.
    """

    runtime: Literal["program", "tflite"] = "program"

    def __init__(self, adb: Adb, program: Path | None = None, *, keep: bool = False) -> None:
        """Finds the program for a phone.

        Args:
            adb: The phone.
            program: The program; by default, that of this installation or of ``make benchmark-program``.
            keep: Whether to leave all files on the phone.

        Raises:
            DeviceError: If there is no program for the phone's processor.
        """
        self._adb, self._keep = adb, keep
        self.abi, self._program = _find_program(adb, program)

    def __enter__(self) -> "ProgramRunner":
        try:
            self._end_program()
            self._clean()  # what a killed harness or --keep has left
            self._adb.output(f"mkdir -p {FOLDER}")
            self._adb.push(self._program, f"{FOLDER}/{PROGRAM}")
            self._adb.output(f"chmod 755 {FOLDER}/{PROGRAM}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(DeviceError):
            self._end_program()
            if not self._keep:
                self._clean()

    def measure(
        self, files: dict[str, Path], flags: Sequence[str], seconds: float, on_line: Callable[[str], None]
    ) -> Results:
        """Measures a network; see ``Runner``."""
        pushed = _push(self._adb, files, f"{FOLDER}/")
        arguments = [*_file_flags(pushed), *flags, f"--output={FOLDER}/results.json"]
        command = f"cd {FOLDER} && rm -f results.json && echo $$ > pid && exec ./{PROGRAM} {shlex.join(arguments)}"
        try:
            result = self._adb.shell(command, seconds=seconds + _ALLOWANCE, on_line=on_line)
            if result.returncode not in (0, 1):
                raise MeasurementError(_ending(result))
            if not _exists(self._adb, f"{FOLDER}/results.json"):
                raise MeasurementError(_words(result) or "it ended without results and without a word")
            return _pull(self._adb, f"{FOLDER}/results.json")
        finally:
            if not self._keep:
                _remove(self._adb, [f"{FOLDER}/results.json", *pushed.values()])

    def _end_program(self) -> None:
        """Ends the program if it runs; the number of its process may be another's by now."""
        self._adb.shell(
            f"pid=$(cat {FOLDER}/pid 2>/dev/null) && grep -q {PROGRAM} /proc/$pid/cmdline 2>/dev/null && kill -9 $pid"
        )

    def _clean(self) -> None:
        self._adb.output(f"rm -rf {FOLDER}")


class AppRunner:
    """The app, which runs networks in stock TensorFlow Lite for Android with the delegate and XNNPACK.

    Attributes:
        abi: Android's name of what it runs as.
        runtime: What the results call it.
    """

    runtime: Literal["program", "tflite"] = "tflite"

    def __init__(self, adb: Adb, apk: Path | None = None, *, keep: bool = False) -> None:
        """Finds the app for a phone.

        Args:
            adb: The phone.
            apk: The app's file; by default, that of ``make apk``, or else the app that is installed.
            keep: Whether to leave the app and all files on the phone.

        Raises:
            DeviceError: If the app is neither on the phone nor on this computer, or not for the phone's processor.
        """
        self._adb, self._keep = adb, keep
        self.abi = _choose_abi(adb)
        self._apk = apk or _built(f"{PROGRAM}.apk")
        self._was_there = bool(adb.shell(f"pm path {PACKAGE}").stdout.strip())
        if self._apk is None and not self._was_there:
            raise DeviceError("The app is not on the phone: build it by make apk, or name its file by --apk FILE.")
        if self._apk is not None and not self._apk.is_file():
            raise DeviceError(f"There is no file {self._apk}.")

    def __enter__(self) -> "AppRunner":
        try:
            if self._apk is not None:
                self._adb.install(self._apk)
            self._adb.shell("input keyevent KEYCODE_WAKEUP; wm dismiss-keyguard")
            self._make_folder()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(DeviceError):
            self._adb.shell(f"am force-stop {PACKAGE}")
            if not self._keep and not self._was_there:
                self._adb.shell(f"pm uninstall {PACKAGE}", seconds=120)

    def measure(
        self, files: dict[str, Path], flags: Sequence[str], seconds: float, on_line: Callable[[str], None]
    ) -> Results:
        """Measures a network; see ``Runner``."""
        # Not into its folder of networks, where somebody may keep one of that name.
        pushed = _push(self._adb, files, f"{APP_FOLDER}/harness-")
        name = f"harness-{time.time_ns()}.json"
        output = f"{APP_FOLDER}/results/{name}"
        arguments = shlex.join([*_file_flags(pushed), *flags, f"--output={name}"])
        try:
            self._start(f"-S -W -n {PACKAGE}/.BenchmarkActivity --es args {shlex.quote(arguments)}")
            self._wait(output, seconds + _ALLOWANCE)
            return _pull(self._adb, output)
        finally:
            if not self._keep:
                _remove(self._adb, [output, *pushed.values()])

    def _start(self, arguments: str) -> None:
        result = self._adb.shell(f"am start {arguments}", seconds=120)
        if result.returncode or "Error" in result.stdout + result.stderr:
            raise DeviceError(f"{self._adb} does not start the app: {_words(result) or 'it says nothing'}")

    def _make_folder(self) -> None:
        """Has the app make its folder: one that adb's shell made would not be the app's own."""
        if _exists(self._adb, APP_FOLDER):
            return
        self._start(f"-W -n {PACKAGE}/.BenchmarkActivity")
        for _ in range(10):
            if _exists(self._adb, APP_FOLDER):
                return
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        raise DeviceError(f"{self._adb} has no folder {APP_FOLDER}, although the app runs.")

    def _wait(self, output: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        pid = self._adb.shell(f"pidof {PACKAGE}").stdout.strip()
        while True:
            # Alive first: results that the app wrote before it ended are there in the second look.
            alive = bool(pid) and _exists(self._adb, f"/proc/{pid.split()[0]}")
            if _exists(self._adb, output):
                return
            if not alive:
                raise MeasurementError("the app was killed in the middle, or crashed (adb logcat tells)")
            if time.monotonic() > end:
                raise MeasurementError(f"the app has no results after {seconds:.0f} s")
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _find_program(adb: Adb, program: Path | None) -> tuple[str, Path]:
    """The program for a phone, and Android's name of what it is compiled for."""
    if program is not None:
        if not program.is_file():
            raise DeviceError(f"There is no file {program}.")
        with program.open("rb") as file:
            header = file.read(20)
        machine = int.from_bytes(header[18:20], "little")
        abi = next((name for name, (_, number) in _ABIS.items() if number == machine), None)
        if header[:4] != b"\x7fELF" or abi is None:
            raise DeviceError(f"{program} is no program for {' or '.join(_ABIS)}.")
        if abi not in adb.abis:
            raise DeviceError(f"{program} is a program for {abi}, but the phone runs {', '.join(adb.abis)}.")
        return abi, program
    abi = _choose_abi(adb)
    name = f"{PROGRAM}-{_ABIS[abi][0]}"
    packaged = packaged_library().with_name(name)
    path = _built(name) or (packaged if packaged.is_file() else None)
    if path is None:
        raise DeviceError(
            f"There is no {name} here, the program to run on the phone: build it by make benchmark-program, or name it "
            "by --program FILE."
        )
    return abi, path


def _choose_abi(adb: Adb) -> str:
    for abi in adb.abis:
        if abi in _ABIS:
            return abi
    raise DeviceError(f"{adb} runs {', '.join(adb.abis) or 'nothing'} only; the benchmark needs {' or '.join(_ABIS)}.")


def _built(name: str) -> Path | None:
    """What make has built in the repository that the current folder is in, or that this is an installation of."""
    folders = [Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[2]]
    return next((path for path in (folder / "build/android" / name for folder in folders) if path.is_file()), None)


def _push(adb: Adb, files: dict[str, Path], prefix: str) -> dict[str, str]:
    """Copies files to the phone; their paths there are their names after a prefix."""
    paths = {flag: f"{prefix}{re.sub(r'[^A-Za-z0-9._-]', '_', file.name)}" for flag, file in files.items()}
    try:
        for flag, path in paths.items():
            adb.push(files[flag], path)
    except BaseException:
        _remove(adb, list(paths.values()))
        raise
    return paths


def _file_flags(paths: dict[str, str]) -> list[str]:
    return [f"--{flag}={path}" for flag, path in paths.items()]


def _pull(adb: Adb, path: str) -> Results:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "results.json")
        adb.pull(path, file)
        try:
            return read_results(file.read_text("utf-8"))
        except ValueError as error:
            raise MeasurementError(f"the phone's results cannot be read: {error}") from error


def _exists(adb: Adb, path: str) -> bool:
    return adb.shell(f"test -e {path}").returncode == 0


def _remove(adb: Adb, paths: Sequence[str]) -> None:
    with contextlib.suppress(DeviceError):
        adb.shell(f"rm -f {shlex.join(paths)}")


def _words(result: subprocess.CompletedProcess[str]) -> str:
    """What a command on the phone said: its error, or else its last line."""
    lines = [line.strip() for line in f"{result.stdout}\n{result.stderr}".splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("Error", f"{PROGRAM}: "))]
    return (errors or lines or [""])[-1].removeprefix("Error: ").removeprefix(f"{PROGRAM}: ")


def _ending(result: subprocess.CompletedProcess[str]) -> str:
    """Why a program ended, by the exit code that the phone's shell gives."""
    code = result.returncode
    if code in (126, 127):
        return f"the phone cannot run the program: {_words(result)}"
    if code == 137:
        return "the program was killed in the middle, as Android does when memory runs out"
    if code > 128:
        return f"the program crashed (signal {code - 128})"
    return f"the program ended with exit code {code}: {_words(result) or 'it said nothing'}"
