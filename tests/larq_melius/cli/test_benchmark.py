"""``larq-melius benchmark``: what it measures, in which forms, and what it refuses."""

import csv
import io
import json

import pytest
from command_line import run
from lce_models import small_network

from larq_melius.runtime import Measurement


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two networks: one does nine times the work of the other."""
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "small.tflite").write_bytes(small_network()[0])
    (folder / "large.tflite").write_bytes(small_network(size=192)[0])
    return folder


@pytest.fixture
def benchmark(folder, delegate_library):
    return lambda *arguments: run(
        "benchmark", *arguments, cwd=folder, env={"LARQ_MELIUS_DELEGATE": str(delegate_library)}
    )


def test_networks_side_by_side(benchmark, folder):
    result = benchmark("small.tflite", "large.tflite", "--runs", 5, "--threads", 2, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    small, large = json.loads(result.stdout)
    assert (small["name"], large["name"]) == ("small.tflite", "large.tflite")
    for row in (small, large):
        assert (row["runtime"], row["threads"], row["runs"], row["claimed_operators"]) == ("delegate", 2, 5, 4)
        assert 0 < row["minimum_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["open_ms"] > 0
        assert row["file_bytes"] == (folder / row["name"]).stat().st_size
    # Input, output and packed maps of the larger one alone are some 4 MiB.
    assert large["memory_bytes"] > small["memory_bytes"] + 3 * 2**20


def test_csv(benchmark):
    rows = list(csv.DictReader(io.StringIO(benchmark("small.tflite", "--runs", 2, "--csv").stdout)))
    assert [row["name"] for row in rows] == ["small.tflite"]
    assert float(rows[0]["minimum_ms"]) > 0


def test_table_and_profile(benchmark):
    result = benchmark("small.tflite", "--runs", 2, "--profile")
    assert result.stderr == "Run by LiteRT with the delegate, 1 thread.\n"
    table, plan = result.stdout.split("\n\n")
    assert table.splitlines()[0].split()[:3] == ["MIN", "MS", "MEDIAN"]
    assert table.splitlines()[1].split()[0] == "small.tflite"
    operators = [line for line in plan.splitlines() if " = " in line]
    assert len(operators) == 4
    assert all(line.endswith(" ms") for line in operators)


def test_lce(benchmark):
    (row,) = json.loads(benchmark("small.tflite", "--runs", 2, "--runtime", "lce", "--json").stdout)
    assert (row["runtime"], row["claimed_operators"]) == ("lce", 0)


def test_networks_by_name(benchmark):
    result = benchmark("MeliusNetTiny", "small.tflite", "--runs", 2, "--json")
    network, _ = json.loads(result.stdout)
    # 8 binary convolutions, each with its LceQuantize.
    assert (network["name"], network["claimed_operators"]) == ("MeliusNetTiny", 16)
    assert result.stderr == "Converting MeliusNetTiny…\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.tflite",), "nothing.tflite: No such file"),
        (("MeliusNet99",), "Unknown model 'MeliusNet99'"),
        (("MobileNet-0.6",), "Unknown model 'MobileNet-0.6'"),
        (("small.tflite", "--json", "--csv"), "exclude each other"),
        (("small.tflite", "--profile", "--runtime", "lce"), "--profile needs the delegate"),
        ((), "Missing argument"),
    ],
    ids=str,
)
def test_mistakes_get_one_line(benchmark, arguments, message):
    result = benchmark(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_quantiles():
    times = Measurement("x", "delegate", 1, 0, 0, 0.0, 0, tuple(float(n) for n in (5, 1, 3, 2, 4)))
    assert [times.quantile(share) for share in (0, 0.5, 1)] == [1, 3, 5]
