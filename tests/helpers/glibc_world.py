"""A folder in which Android's libraries run on glibc: no phone, and no test of Android's loader or C library.

TensorFlow Lite's library is that of its Android archive; only the tags of its dynamic section that ask for versions of
symbols are blanked, since glibc has other versions. The delegate's library is untouched. Beside them are empty
libraries with the names of Android's, and a preloaded one with the functions that glibc has not.
"""

import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

ANDROID_TESTS = Path(__file__).parents[1] / "android"
EMPTY_LIBRARIES = ("libc.so", "libm.so", "libdl.so", "liblog.so")
# DT_VERSYM, DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM.
VERSION_TAGS = {0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF}
# One that no loader knows.
IGNORED_TAG = 0x6000F000
PT_DYNAMIC = 2


@dataclass(frozen=True)
class World:
    """A folder with its compiler, and the emulator of its processor: none for this machine's own."""

    folder: Path
    compiler: tuple[str, ...]
    emulator: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """What a process in it needs in its environment."""
        return {
            "LD_LIBRARY_PATH": str(self.folder),
            "LD_PRELOAD": f"{self.folder / 'bionic_shim.so'} libm.so.6",
        }

    def run(self, *command: str | Path) -> str:
        """The output of a program of this processor.

        Raises:
            AssertionError: If it fails; the message has what it said.
        """
        if self.emulator:
            guest = [f"{name}={value}" for name, value in self.environment.items()]
            options = [word for setting in guest for word in ("-E", setting)]
            words, environment = [*self.emulator, *options, *map(str, command)], dict(os.environ)
        else:
            words, environment = list(map(str, command)), {**os.environ, **self.environment}
        result = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{command[0]}: exit code {result.returncode}\n{result.stderr}{result.stdout}"
        return result.stdout


def make_world(
    folder: Path, tflite: bytes, delegate: bytes, compiler: tuple[str, ...], emulator: tuple[str, ...] = ()
) -> World:
    """Fills a folder with both libraries, what they need, and the program ``run_network``."""
    (folder / "libtensorflowlite_jni.so").write_bytes(without_versions(tflite))
    (folder / "liblarq_melius_delegate.so").write_bytes(delegate)

    def compile_(output: str, *arguments: str | Path) -> None:
        subprocess.run([*compiler, "-O1", "-o", folder / output, *arguments], check=True, capture_output=True)

    source = folder / "empty.c"
    source.write_text("")
    for name in EMPTY_LIBRARIES:
        compile_(name, "-shared", "-nostdlib", f"-Wl,-soname,{name}", source)
    compile_("bionic_shim.so", "-shared", "-fPIC", ANDROID_TESTS / "bionic_shim.c")
    # A program that is linked to libc.so would take the empty one.
    compile_("run_network", ANDROID_TESTS / "run_network.c", "-ldl")
    return World(folder, compiler, emulator)


def without_versions(library: bytes) -> bytes:
    """A 64-bit library that neither has nor asks for versions of symbols."""
    data = bytearray(library)
    (headers,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for header in range(headers, headers + size * count, size):
        (kind,) = struct.unpack_from("<I", data, header)
        if kind != PT_DYNAMIC:
            continue
        offset, _, _, length = struct.unpack_from("<4Q", data, header + 8)
        for entry in range(offset, offset + length, 16):
            if struct.unpack_from("<Q", data, entry)[0] in VERSION_TAGS:
                struct.pack_into("<Q", data, entry, IGNORED_TAG)
    return bytes(data)


def arm64_emulator() -> tuple[str, ...] | None:
    """QEMU with Debian's ARM64 C library, as the command that runs a program; ``None`` where either is missing."""
    qemu = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    sysroot = Path("/usr/aarch64-linux-gnu")
    if qemu is None or not (sysroot / "lib" / "libm.so.6").exists():
        return None
    return (qemu, "-L", str(sysroot))
