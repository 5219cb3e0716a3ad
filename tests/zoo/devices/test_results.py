"""The records of results on phones, their schema, and files and pages of them."""

import json
import re
from pathlib import Path

import fake_benchmark
import numpy as np
import pytest

from larq_melius.zoo.devices.page import device_name, write_page
from larq_melius.zoo.devices.results import append_results, read_device_file, read_results, schema

ROOT = Path(__file__).parents[3]
FLAGS = {
    "enable_op_profiling": "true",
    "num_threads": "4",
    "warmup_runs": "1",
    "num_runs": "3",
    "max_secs": "150",
    "graph": __file__,
}


def results(*, kind="larq-melius-benchmark", name="MeliusNetC", created="2026-01-31T12:00:00Z", factor=1, **device):
    """A run whose times are those of the fake benchmark, times a factor."""
    document = fake_benchmark.document(FLAGS, kind)
    document["created"] = created
    document["device"].update({"manufacturer": "Example", "model": "Phone 1", **device})
    (model,) = document["models"]
    model["name"] = name
    for key, value in model.items():
        if key.endswith("_ms"):
            model[key] = [factor * sample for sample in value] if key == "samples_ms" else factor * value
    return document


def read(document):
    return read_results(json.dumps(document))


def test_the_schema_in_the_repository_is_that_of_the_records():
    assert json.loads((ROOT / "benchmarks/devices/schema.json").read_text()) == schema()


def test_every_field_is_described_and_required():
    for record in schema()["$defs"].values():
        assert sorted(record["required"]) == sorted(record["properties"])
        assert record["additionalProperties"] is False
        for name, field in record["properties"].items():
            assert "$ref" in field or "$ref" in field.get("items", {}) or field["description"], name
            unit = re.search("_(ms|bytes|c|mhz|percent|secs)$", name)
            words = {"ms": "ms|of them|percentile|deviation", "c": "°C", "mhz": "MHz", "secs": "s$"}
            if unit is not None and unit[1] in words:
                assert re.search(words[unit[1]], field["description"]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d.update(schema_version=2),
            "its schema has version 2, and this version of larq-melius reads 1 only",
        ),
        (lambda d: d.pop("settings"), "settings is missing"),
        (lambda d: d.update(nonsense=1), "there is no field 'nonsense'"),
        (lambda d: d["models"][0].update(median_ms="2"), "median_ms must be a number"),
        (lambda d: d["models"][0].update(median_ms=-1.0), "median_ms must be at least 0"),
        (lambda d: d["models"][0].update(binary_share=1.5), "binary_share must be a share from 0 to 1"),
        (lambda d: d["models"][0].update(samples_ms=[]), "the statistics of samples_ms are there exactly if it is not"),
        (lambda d: d["models"][0].update(p90_ms=None), "the statistics of samples_ms are there exactly if it is not"),
        (lambda d: d["models"][0].update(sha256="x"), "sha256 must be 64 hexadecimal digits"),
        (lambda d: d["state_before"].update(thermal_status=7), "state_before.thermal_status must be at most 6, got 7"),
        (lambda d: d.update(created="today"), "created"),
    ],
)
def test_what_is_not_by_the_schema(change, message):
    document = results()
    change(document)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read(document)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema_version": 1}', '{"schema_version": "1"}'])
def test_what_is_no_document(text):
    with pytest.raises(ValueError, match=r"JSON|version|missing"):
        read_results(text)


def test_not_a_number_is_refused():
    with pytest.raises(ValueError, match="median_ms"):
        read_results(json.dumps(results(factor=float("nan"))))


def test_the_statistics_of_the_example_are_numpys():
    (model,) = read(results()).models
    samples = model.samples_ms
    found = (model.min_ms, model.mean_ms, model.median_ms, model.p90_ms, model.p99_ms, model.std_ms)
    wanted = [np.min(samples), np.mean(samples), *np.quantile(samples, [0.5, 0.9, 0.99]), np.std(samples)]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_runs_are_added_to_the_file_of_their_device(tmp_path):
    first, second = read(results()), read(results(created="2026-02-01T12:00:00Z"))
    folder = tmp_path / "new/folder"
    path = append_results(folder, first)
    assert (append_results(folder, second), path.name) == (path, "example-phone-1.json")
    assert read_device_file(path).runs == (first, second)
    other = append_results(folder, read(results(model="Øther ../Phone")))
    assert (other.parent, other.name) == (folder, "example-ther-phone.json")
    assert append_results(folder, read(results(manufacturer=None, model=None))).name == "unknown-device.json"
    # One line holds all samples.
    assert '"samples_ms": [3.0, 1.0, 2.0]' in path.read_text()


def test_a_damaged_file_is_left_as_it_is(tmp_path):
    path = append_results(tmp_path, read(results()))
    damaged = path.read_text()[:-20]
    path.write_text(damaged)
    with pytest.raises(ValueError, match=re.escape(f"{path}: this is not JSON")):
        append_results(tmp_path, read(results()))
    assert path.read_text() == damaged


def test_a_page_of_no_results(tmp_path):
    assert "There are no results yet." in write_page(tmp_path).read_text()
    assert (ROOT / "benchmarks/devices/README.md").read_text().startswith(write_page(tmp_path).read_text()[:200])


def test_a_page_has_the_newest_run_of_each_network(tmp_path):
    for document in (
        results(factor=10),
        results(name="MobileNet-1.0", factor=5),
        results(kind="app", factor=7),
        results(created="2026-02-01T12:00:00Z", factor=3),
        results(model="Phone 2", soc="EX2", android_release="14", factor=100),
    ):
        append_results(tmp_path, read(document))
    page = write_page(tmp_path).read_text()
    sections = page.split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == [
        "Example Phone 1 (x86_64)",
        "Example Phone 2 (EX2, Android 14, x86_64)",
    ]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in sections[0].splitlines() if line[:2] == "| "]
    # Network, tool, threads, runs, minimum, median, 90th percentile.
    assert [row[:7] for row in rows[1:]] == [
        ["MeliusNetC", "app", "4", "3", "7.00", "14.00", "19.60"],
        ["MeliusNetC", "program", "4", "3", "3.00", "6.00", "8.40"],
        ["MobileNet-1.0", "program", "4", "3", "5.00", "10.00", "14.00"],
    ]
    assert rows[2][-1] == "2026-02-01"
    assert "Cores: 2 at up to 2.50 GHz; 4.0 GiB of memory." in sections[0]
    assert "latency.png" in page
    assert (tmp_path / "latency.png").read_bytes()[:4] == b"\x89PNG"
    before = (tmp_path / "latency.png").read_bytes()
    write_page(tmp_path)
    assert (tmp_path / "latency.png").read_bytes() == before


def test_a_page_is_written_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    append_results(tmp_path, read(results()))
    assert "latency.png" not in write_page(tmp_path).read_text()


def test_a_page_of_somebody_elses_is_not_overwritten(tmp_path):
    (tmp_path / "README.md").write_text("# My notes\n")
    with pytest.raises(ValueError, match="is not a page of results"):
        write_page(tmp_path)


def test_the_name_of_an_unknown_device():
    assert device_name(read(results(manufacturer=None, model=None, abi=None)).device) == "Unknown phone"
