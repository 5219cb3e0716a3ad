"""A phone for the stock adb, with the commands of Android that the harness uses."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_benchmark
import pytest
from fake_phone import FakePhone
from lce_models import small_network

_BENCHMARK = f"{sys.executable} {fake_benchmark.__file__}"
_APP = "org.larqmelius.benchmark"
_TOOLS = {
    "getprop": "cat $PHONE/properties",
    "dumpsys": """case $1 in
        battery) cat $PHONE/battery;;
        thermalservice)
            head -n 1 $PHONE/thermal
            if [ $(wc -l < $PHONE/thermal) -gt 1 ]; then sed -i 1d $PHONE/thermal; fi;;
        esac""",
    "pm": f"""case $1 in
        path) [ -e $PHONE/installed ] && echo package:/data/app/{_APP}/base.apk;;
        uninstall) rm -rf $PHONE/installed $PHONE/sdcard/Android/data/{_APP};;
        esac""",
    "cmd": """cat > /dev/null
        if [ -e $PHONE/refusal ]; then echo "Failure [$(cat $PHONE/refusal)]"; exit 1; fi
        touch $PHONE/installed; echo Success""",
    "am": f"""case $1 in
        force-stop) [ -e $PHONE/app.pid ] && kill -9 $(cat $PHONE/app.pid); rm -f $PHONE/app.pid;;
        start)
            if [ ! -e $PHONE/installed ]; then echo "Error: Activity class {{{_APP}}} does not exist."; exit 0; fi
            mkdir -p $PHONE/sdcard/Android/data/{_APP}/files
            while [ $# -gt 0 ] && [ "$1" != --es ]; do shift; done
            if [ "$2" = args ]; then
                setsid {_BENCHMARK} app $3 > /dev/null 2>&1 & echo $! > $PHONE/app.pid
            fi;;
        esac""",
    "pidof": "[ -d /proc/$(cat $PHONE/app.pid) ] && cat $PHONE/app.pid",
    "settings": "cat $PHONE/low_power 2>/dev/null || echo null",
    "input": "true",
    "wm": "true",
}
_PROPERTIES = {
    "ro.product.manufacturer": "Example",
    "ro.product.model": "Phone 1",
    "ro.soc.model": "EX1",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.product.cpu.abilist": "x86_64",
}
_BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  level: 81
  scale: 100
  temperature: 295
"""


@pytest.fixture(scope="module")
def adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """A function that runs the stock adb, with a server of the test's own that the command line uses as well."""
    command = shutil.which("adb")
    if command is None:
        pytest.skip("There is no adb here (Debian's package adb): the harness is not tried with it.")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        patch.delenv("ANDROID_SERIAL", raising=False)

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([command, *arguments], capture_output=True, text=True, check=False, timeout=60)

        run("start-server")
        yield run
        run("kill-server")


@pytest.fixture
def new_phone(
    adb: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> Iterator[Callable[..., FakePhone]]:
    """A function that makes a phone and connects it: with further properties, or in another state."""
    phones: list[FakePhone] = []

    def make(*, state: str = "device", shell_v2: bool = True, **properties: str) -> FakePhone:
        root = tmp_path / f"phone-{len(phones)}"
        tools = {name: f"#!/bin/sh\n{script}\n" for name, script in _TOOLS.items()}
        phone = FakePhone(root, tools, state=state, shell_v2=shell_v2)
        phones.append(phone)
        known = {**_PROPERTIES, **{name.replace("__", "."): value for name, value in properties.items()}}
        (root / "properties").write_text("".join(f"[{name}]: [{value}]\n" for name, value in known.items()))
        (root / "battery").write_text(_BATTERY)
        (root / "thermal").write_text("Thermal Status: 0\n")
        if state == "offline":  # adb waits ten seconds for it before it calls it offline
            adb("start-server")
            subprocess.Popen(["adb", "connect", phone.serial], stdout=subprocess.DEVNULL)
            while phone.serial not in adb("devices").stdout:
                pass
        else:
            adb("connect", phone.serial)
        return phone

    yield make
    for phone in phones:
        adb("disconnect", phone.serial)
        phone.close()


@pytest.fixture
def phone(new_phone: Callable[..., FakePhone]) -> FakePhone:
    """One phone, ready."""
    return new_phone()


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with two networks, and with what make would have built: a program and an app."""
    folder = tmp_path / "workplace"
    (folder / "build/android").mkdir(parents=True)
    (folder / "first.tflite").write_bytes(small_network()[0])
    (folder / "second.tflite").write_bytes(small_network(size=64)[0])
    program = folder / "build/android/larq-melius-benchmark-x86_64"
    program.write_text(f'#!/bin/sh\nexec {_BENCHMARK} larq-melius-benchmark "$@"\n')
    (folder / "build/android/larq-melius-benchmark.apk").write_bytes(os.urandom(100_000))
    return folder
