"""Checks with readelf that a delegate for Linux runs where it is meant to run.

It may need nothing but the C library, in the given version of glibc at most; it must export the two functions of a
delegate and nothing else, and align its segments to pages of 16 KiB where the processor has them.

    python check_library.py liblarq_melius_delegate-linux-aarch64.so 2.28
"""

import re
import subprocess
import sys
from collections.abc import Iterator

C_LIBRARY = re.compile(r"(libc|libm|libpthread|libdl)\.so\.\d|ld-linux-[\w-]+\.so\.\d")
EXPORTS = {"tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate"}
# Processors with pages of 16 KiB or more.
LARGE_PAGES = {"AArch64"}


def problems(library: str, glibc: str) -> Iterator[str]:
    """What is wrong with a library."""
    dynamic = _readelf("-dW", library)
    for name in re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic):
        if not C_LIBRARY.fullmatch(name):
            yield f"it needs {name}"
    if "TEXTREL" in dynamic:
        yield "its code is relocated (TEXTREL)"
    for version in sorted(set(re.findall(r"Name: GLIBC_([\d.]+)", _readelf("-VW", library)))):
        if _numbers(version) > _numbers(glibc):
            yield f"it needs glibc {version}"
    symbols = [line.split() for line in _readelf("--dyn-syms", "-W", library).splitlines()]
    exports = {row[7] for row in symbols if len(row) == 8 and row[4] == "GLOBAL" and row[6] != "UND"}
    if exports != EXPORTS:
        yield f"it exports {', '.join(sorted(exports)) or 'nothing'}"
    machine = re.search(r"Machine: +(\S+)", _readelf("-hW", library))
    if machine and machine[1] in LARGE_PAGES:
        for alignment in re.findall(r"LOAD .* (0x[0-9a-f]+)$", _readelf("-lW", library), re.MULTILINE):
            if int(alignment, 16) % 0x4000:
                yield f"a segment is aligned to {alignment}, not to pages of 16 KiB"


def _readelf(*arguments: str) -> str:
    return subprocess.run(["readelf", *arguments], check=True, capture_output=True, text=True).stdout


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


if __name__ == "__main__":
    found = list(problems(*sys.argv[1:]))
    print(f"{sys.argv[1]}: {'; '.join(found) or 'fine'}")
    sys.exit(bool(found))
