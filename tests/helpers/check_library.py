"""Checks with readelf that a delegate runs where it is meant to run.

It may need nothing but the C library: of Linux in the given version of glibc at most, of Android what the list of
names in android/native/bionic.txt has for the given API level. It must export the functions of a delegate, on Android
the methods of its Java class too, and nothing else, and align its segments to pages of 16 KiB where there are such.

    python check_library.py liblarq_melius_delegate-linux-aarch64.so glibc 2.28
    python check_library.py liblarq_melius_delegate-android-arm64.so android 24
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

BIONIC = Path(__file__).parents[2] / "android" / "native" / "bionic.txt"
GLIBC_LIBRARY = re.compile(r"(libc|libm|libpthread|libdl)\.so\.\d|ld-linux-[\w-]+\.so\.\d")
ENTRY_POINTS = {"tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate"}
JAVA_METHODS = {
    f"Java_org_larqmelius_delegate_MeliusDelegate_{method}"
    for method in ("create", "destroy", "profile", "claimedOperators")
}
# Processors with pages of 16 KiB or more; on Android, emulators on other processors have them, too.
LARGE_PAGES = {"AArch64"}


def problems(library: str, system: str, version: str) -> Iterator[str]:
    """What is wrong with a library for ``glibc`` of a version, or for ``android`` of an API level."""
    dynamic = _readelf("-dW", library)
    android = system == "android"
    known = _bionic(int(version)) if android else {}
    for name in re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic):
        if name not in known if android else not GLIBC_LIBRARY.fullmatch(name):
            yield f"it needs {name}"
    if "TEXTREL" in dynamic:
        yield "its code is relocated (TEXTREL)"
    symbols = [line.split() for line in _readelf("--dyn-syms", "-W", library).splitlines()]
    exports = {row[7] for row in symbols if len(row) == 8 and row[4] == "GLOBAL" and row[6] != "UND"}
    if exports != (ENTRY_POINTS | JAVA_METHODS if android else ENTRY_POINTS):
        yield f"it exports {', '.join(sorted(exports)) or 'nothing'}"
    segments = _readelf("-lW", library)
    if android:
        yield from _android_problems(library, symbols, segments, known)
    else:
        for needed in sorted(set(re.findall(r"Name: GLIBC_([\d.]+)", _readelf("-VW", library)))):
            if _numbers(needed) > _numbers(version):
                yield f"it needs glibc {needed}"
    machine = re.search(r"Machine: +(\S+)", _readelf("-hW", library))
    if android or (machine and machine[1] in LARGE_PAGES):
        for alignment in re.findall(r"LOAD .* (0x[0-9a-f]+)$", segments, re.MULTILINE):
            if int(alignment, 16) % 0x4000:
                yield f"a segment is aligned to {alignment}, not to pages of 16 KiB"


def _android_problems(
    library: str, symbols: list[list[str]], segments: str, known: dict[str, set[str]]
) -> Iterator[str]:
    undefined = {row[7] for row in symbols if len(row) == 8 and row[6] == "UND"}
    missing = undefined - set().union(*known.values())
    if missing:
        yield f"Android does not have {', '.join(sorted(missing))}"
    if re.search(r"^ +TLS ", segments, re.MULTILINE):
        yield "it has thread-local variables, which Android loads from API level 29 only"
    if re.search(r"Name: ", _readelf("-VW", library)):
        yield "it asks for versions of symbols"


def _bionic(level: int) -> dict[str, set[str]]:
    """The names that each library has from an API level on."""
    names: dict[str, set[str]] = {}
    for line in BIONIC.read_text().splitlines():
        if line.startswith("["):
            library = names.setdefault(line.strip("[]"), set())
        elif not line.startswith("#"):
            name, introduced = line.split()
            if int(introduced) <= level:
                library.add(name)
    return names


def _readelf(*arguments: str) -> str:
    return subprocess.run(["readelf", *arguments], check=True, capture_output=True, text=True).stdout


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


if __name__ == "__main__":
    found = list(problems(*sys.argv[1:]))
    print(f"{sys.argv[1]}: {'; '.join(found) or 'fine'}")
    sys.exit(bool(found))
