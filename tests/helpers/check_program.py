"""Checks with readelf that the benchmark program runs where nothing is installed: it may need no library and no loader.

python check_program.py larq-melius-benchmark-arm64 arm64
"""

import re
import subprocess
import sys
from collections.abc import Iterator

MACHINES = {"arm64": "AArch64", "x86_64": "Advanced Micro Devices X86-64"}


def problems(program: str, architecture: str) -> Iterator[str]:
    """What is wrong with a program."""
    headers = _readelf("-hlW", program)
    machine = re.search(r"Machine: +(.+)", headers)
    if machine is None or machine[1].strip() != MACHINES[architecture]:
        yield f"it is for {machine[1].strip() if machine else 'no machine'}"
    if re.search(r"^ *INTERP ", headers, re.MULTILINE):
        yield "it needs a loader"
    for name in re.findall(r"\(NEEDED\).*\[(.+)\]", _readelf("-dW", program)):
        yield f"it needs {name}"
    # Phones may have pages of 16 KiB.
    alignments = re.findall(r"^ *LOAD .* (0x[0-9a-f]+)$", headers, re.MULTILINE)
    if not alignments:
        yield "it has nothing to load"
    for alignment in alignments:
        if architecture == "arm64" and int(alignment, 16) % 0x4000:
            yield f"a segment is aligned to {alignment}, not to pages of 16 KiB"


def _readelf(*arguments: str) -> str:
    return subprocess.run(["readelf", *arguments], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    found = list(problems(*sys.argv[1:]))
    print(f"{sys.argv[1]}: {'; '.join(found) or 'fine'}")
    sys.exit(bool(found))
