"""The Larq Zoo's own networks, exported in its own environment, in the delegate: equal to LCE's interpreter."""

import os
import subprocess
from pathlib import Path
from typing import Any

import delegate_runs
import numpy as np
import pytest
from network_checks import check_network

PYTHON = os.environ.get("LARQ_ZOO_PYTHON")
SCRIPT = Path(__file__).with_name("larq_zoo_export.py")

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="LARQ_ZOO_PYTHON does not name the Python of an environment with the Larq Zoo (make interop)"
)


@pytest.mark.parametrize(
    "name",
    [
        "QuickNetSmall",
        "QuickNet",
        "QuickNetLarge",
        "BiRealNet",
        "XNORNet",
        "DoReFaNet",
        "RealToBinaryNet",
        "MeliusNet22",
    ],
)
def test_networks_of_the_larq_zoo(
    name: str, delegate_library: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(model: bytes, *inputs: np.ndarray, num_threads: int = 1, **options: Any) -> list[np.ndarray]:
        return delegate_runs.run(str(delegate_library), model, list(inputs), num_threads, False, options)

    file = tmp_path / "network.tflite"
    subprocess.run([str(PYTHON), "-I", str(SCRIPT), name, str(file)], check=True)
    check_network(file.read_bytes(), run, capfd)
