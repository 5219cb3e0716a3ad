"""Talks to an Android phone by the stock ``adb``; whatever goes wrong is an error of one line."""

import contextlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

#: Android 7: the first whose shell tells exit codes, and the app's oldest.
_OLDEST_SDK = 24
#: Seconds for a command that asks the phone something.
_ASKING = 30
#: Bytes a second that a slow cable carries at least.
_SLOWEST = 200_000

_REASONS = {
    "unauthorized": "does not trust this computer yet: unlock it and allow USB debugging in the dialog it shows",
    "authorizing": "does not trust this computer yet: unlock it and allow USB debugging in the dialog it shows",
    "offline": "is offline: unplug it, plug it in again, and look whether its screen asks something",
    "connecting": "is offline: unplug it, plug it in again, and look whether its screen asks something",
    "bootloader": "is in its bootloader: start Android",
    "recovery": "is in recovery: start Android",
    "sideload": "is in recovery: start Android",
    "host": "is in recovery: start Android",
}
_NO_PERMISSION = "cannot be opened by this user: see https://developer.android.com/studio/run/device about udev rules"
#: How adb says, on the computer, that it has lost the phone.
_LOST = re.compile(
    r"device (?:'[^']*' )?not found|device offline|no devices/emulators found|device still (?:authorizing|connecting)"
    r"|error: closed|connection reset|protocol fault|failed to get feature set|device unauthorized|transport"
)
_INSTALLATION = {
    "INSUFFICIENT_STORAGE": "its storage is full",
    "NO_MATCHING_ABIS": "the app has no native code for its processor",
    "OLDER_SDK": "its Android is older than the app's oldest",
    "UPDATE_INCOMPATIBLE": "an app of that name, signed by somebody else, is installed; remove it first: "
    "adb uninstall org.larqmelius.benchmark",
    "VERSION_DOWNGRADE": "a newer version is installed; remove it first: adb uninstall org.larqmelius.benchmark",
    "USER_RESTRICTED": "it refused: allow to install over USB in its developer options",
    "VERIFICATION_FAILURE": "it refused: turn off the verification of apps over USB in its developer options",
}


class DeviceError(RuntimeError):
    """A phone does not do what it should; the text is one line that says what to do."""


class Adb:
    """A phone that adb reaches.

    Attributes:
        serial: What adb calls it.
        properties: What ``getprop`` says.
    """

    def __init__(self, serial: str | None = None) -> None:
        """Finds a phone.

        Args:
            serial: What ``adb devices`` calls it; ``None`` for what the environment variable ``ANDROID_SERIAL`` says,
                or else the only one.

        Raises:
            DeviceError: If there is no adb, no such phone or several, if it is not ready, or its Android is too old.
        """
        self._adb = _find_adb()
        self.serial = self._choose(serial or os.environ.get("ANDROID_SERIAL") or None)
        self.properties = dict(re.findall(r"^\[(.+?)\]: \[(.*)\]$", self._ask("shell", "getprop"), re.MULTILINE))
        sdk = self.properties.get("ro.build.version.sdk", "")
        if not sdk.isdigit():
            raise DeviceError(f"{self} does not tell its version of Android.")
        if int(sdk) < _OLDEST_SDK:
            release = self.properties.get("ro.build.version.release", "?")
            raise DeviceError(f"{self} runs Android {release}; the benchmark needs Android 7 (API {_OLDEST_SDK}).")
        if "shell_v2" not in self._ask("features").split():
            raise DeviceError(f"{self} has a shell that tells no exit codes, unlike Android 7's and later.")

    def __str__(self) -> str:
        """How errors call the phone."""
        return f"The phone {self.serial}"

    @property
    def abis(self) -> list[str]:
        """What the phone runs, such as ``arm64-v8a``, the best first."""
        return self.properties.get("ro.product.cpu.abilist", "").split(",")

    @contextlib.contextmanager
    def reserved(self) -> Iterator[None]:
        """Keeps other benchmarks of this computer off the phone: they would disturb each other's times and files.

        Raises:
            DeviceError: If one is at work there.
        """
        folder = Path.home() / ".android"  # adb's own
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / f"larq-melius-{re.sub(r'[^A-Za-z0-9.-]', '_', self.serial)}.lock", timeout=0)
        try:
            with lock:
                yield
        except Timeout as error:
            raise DeviceError(
                f"Another benchmark is at work on the phone {self.serial}: wait until it ends."
            ) from error

    def shell(
        self,
        command: str,
        *,
        seconds: float = _ASKING,
        on_line: Callable[[str], None] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in the phone's shell, whatever its exit code is.

        Args:
            command: For the phone's shell; see ``shlex.quote``.
            seconds: After which the phone is thought not to answer.
            on_line: Gets each line that the command writes to standard error, as soon as it is there.

        Raises:
            DeviceError: If the phone is gone or does not answer.
        """
        return self._run("shell", command, seconds=seconds, on_line=on_line)

    def output(self, command: str) -> str:
        """What a command in the phone's shell writes to standard output.

        Raises:
            DeviceError: If it fails, or the phone is gone.
        """
        result = self.shell(command)
        if result.returncode:
            raise DeviceError(f"{self} cannot do {command!r}: {_last_line(result)}")
        return result.stdout

    def push(self, file: Path, path: str) -> None:
        """Copies a file to the phone.

        Raises:
            DeviceError: If that fails, such as for a full storage.
        """
        size = file.stat().st_size
        result = self._run("push", str(file), path, seconds=_ASKING + size / _SLOWEST)
        if result.returncode:
            line = _last_line(result, "error")
            if "No space left" in line:
                raise DeviceError(f"{self} has no room for {file.name} ({size / 2**20:.1f} MiB): its storage is full.")
            raise DeviceError(f"{file.name} cannot be copied to {path} on the phone: {line}")

    def pull(self, path: str, file: Path) -> None:
        """Copies a file from the phone.

        Raises:
            DeviceError: If that fails.
        """
        result = self._run("pull", path, str(file), seconds=10 * _ASKING)
        if result.returncode:
            raise DeviceError(f"{path} cannot be copied from the phone: {_last_line(result, 'error')}")

    def install(self, apk: Path) -> None:
        """Installs an app, in place of an earlier version.

        Raises:
            DeviceError: If the phone refuses.
        """
        result = self._run("install", "-r", str(apk), seconds=4 * _ASKING + apk.stat().st_size / _SLOWEST)
        if result.returncode or "Failure" in result.stdout:
            line = _last_line(result, "Failure")
            reason = next((text for code, text in _INSTALLATION.items() if code in line), line)
            raise DeviceError(f"{self} does not install {apk.name}: {reason}.")

    def _choose(self, serial: str | None) -> str:
        states = dict(re.findall(r"^(\S+)\s+(.+?)\s*$", self._run("devices").stdout.partition("attached\n")[2], re.M))
        known = f"adb sees {', '.join(sorted(states))}" if states else "adb sees none"
        if serial is None:
            if not states:
                raise DeviceError(
                    "There is no phone: plug one in with a cable that carries data, and turn on USB debugging in its "
                    "developer options (adb devices must show it)."
                )
            if len(states) > 1:
                raise DeviceError(f"There are several phones: {known}; choose one by --device adb:SERIAL.")
            (serial,) = states
        if serial not in states:
            raise DeviceError(f"There is no phone {serial}: {known}.")
        state = states[serial]
        if state != "device":
            reason = (
                _NO_PERMISSION if state.startswith("no permissions") else _REASONS.get(state, f"is in state {state}")
            )
            raise DeviceError(f"The phone {serial} {reason}.")
        return serial

    def _ask(self, *arguments: str) -> str:
        result = self._run(*arguments)
        if result.returncode:
            raise DeviceError(f"adb {' '.join(arguments)} failed: {_last_line(result)}")
        return result.stdout

    def _run(
        self, *arguments: str, seconds: float = _ASKING, on_line: Callable[[str], None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        phone = ["-s", self.serial] if hasattr(self, "serial") else []
        command = [self._adb, *phone, *arguments]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise DeviceError(f"{self._adb} cannot be run: {error.strerror}.") from error
        with process:
            late = threading.Timer(seconds, process.kill)
            late.start()
            lines: list[str] = []
            reading = threading.Thread(target=_collect, args=(process.stderr, lines, on_line))
            reading.start()
            try:
                assert process.stdout is not None
                output = process.stdout.read()
                reading.join()
                code = process.wait()
            except BaseException:
                process.kill()
                raise
            finally:
                timed_out = late.finished.is_set()
                late.cancel()
        result = subprocess.CompletedProcess(command, code, output, "".join(lines))
        if timed_out:
            raise DeviceError(f"{self if phone else 'adb'} did not answer adb {arguments[0]} for {seconds:.0f} s.")
        # The shell's own exit codes pass through; adb's lines on the computer begin with its name or "error".
        if code and phone and (lost := _lost(result)):
            raise DeviceError(f"{self} is gone ({lost}): is the cable loose, or USB debugging off?")
        return result


def _find_adb() -> str:
    path = os.environ.get("PATH", os.defpath)
    for home in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        if home in os.environ:
            path += os.pathsep + str(Path(os.environ[home], "platform-tools"))
    adb = shutil.which("adb", path=path)
    if adb is None:
        raise DeviceError(
            "There is no adb: install Android's platform-tools (apt install adb, brew install android-platform-tools), "
            "and see that adb is on PATH."
        )
    return adb


def _collect(pipe: Any, lines: list[str], on_line: Callable[[str], None] | None) -> None:
    for line in pipe:
        lines.append(line)
        if on_line is not None and line.strip():
            on_line(line.strip())


def _lost(result: subprocess.CompletedProcess[str]) -> str:
    """What adb says if it has lost the phone; nothing for errors of commands on the phone."""
    for line in f"{result.stderr}\n{result.stdout}".splitlines():
        if line.startswith(("error:", "adb: error:", "adb:")) and _LOST.search(line):
            return line.removeprefix("adb: ").removeprefix("error: ").strip()
    return ""


def _last_line(result: subprocess.CompletedProcess[str], word: str = "") -> str:
    """What a command said last, preferably in a line with a word in it."""
    lines = [line.strip() for line in f"{result.stdout}\n{result.stderr}".splitlines() if line.strip()]
    chosen = [line for line in lines if word and word in line] or lines or [f"exit code {result.returncode}"]
    return chosen[-1].removeprefix("adb: ").removeprefix("error: ")
