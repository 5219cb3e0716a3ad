"""Stock tools read the metadata of exported files: MediaPipe's reader, with the schema's own generated code."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import larq_melius as lm
from larq_melius.converters import export_tflite
from larq_melius.weights import find_record

PYTHON = os.environ.get("MEDIAPIPE_PYTHON")

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="MEDIAPIPE_PYTHON does not name the Python of an environment with MediaPipe (make interop)"
)


def test_mediapipe_reads_the_metadata(tmp_path):
    record = find_record("MeliusNetTiny", "digits", "thumbnail")
    path = export_tflite(
        lm.MeliusNetTiny(),
        tmp_path / "digits.tflite",
        preprocessing=record.preprocessing,
        labels=record.classes,
        name="MeliusNetTiny",
        license="Apache-2.0",
    ).path
    script = Path(__file__).with_name("mediapipe_reference.py")
    result = subprocess.run([PYTHON, "-I", script, path], check=True, capture_output=True, text=True)
    answer = json.loads(result.stdout)
    assert answer["files"] == {"labels.txt": "".join(f"{digit}\n" for digit in range(10))}
    assert answer["metadata"]["name"] == "MeliusNetTiny"
    assert answer["metadata"]["license"] == "Apache-2.0"
    (subgraph,) = answer["metadata"]["subgraph_metadata"]
    (image,) = subgraph["input_tensor_metadata"]
    assert image["content"]["content_properties"] == {
        "color_space": "GRAYSCALE",
        "default_size": {"width": 8, "height": 8},
    }
    (unit,) = image["process_units"]
    assert unit["options_type"] == "NormalizationOptions"
    assert unit["options"]["mean"] == pytest.approx(record.preprocessing.mean)
    assert unit["options"]["std"] == pytest.approx(record.preprocessing.std)
    (scores,) = subgraph["output_tensor_metadata"]
    (labels,) = scores["associated_files"]
    assert labels["type"] == "TENSOR_AXIS_LABELS"
