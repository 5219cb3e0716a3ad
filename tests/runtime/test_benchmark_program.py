"""The benchmark program: the same outputs as LiteRT, its report, and files and arguments that are wrong.

Where ``LARQ_MELIUS_BENCHMARK_PROGRAM`` names a command that runs the program, such as one in QEMU, that is tested.
"""

import json
import os
import random
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, load_delegate
from filelock import FileLock
from lce_models import small_network
from mutations import FLAT

from larq_melius import __version__, get_model, models
from larq_melius.content_hash import seal
from larq_melius.converters.export.convert import convert
from larq_melius.converters.export.verify import ROUNDING_TOLERANCE
from larq_melius.converters.quantization.weight_only import quantize_weights
from larq_melius.converters.tflite.flatbuffer import count_operators, without_softmax
from larq_melius.zoo.devices.results import read_results
from larq_melius.zoo.random_networks import convert_random_network

ROOT = Path(__file__).parents[2]
QUICKNET = ROOT.parent / "shared/data/quicknet.tflite"
TIMINGS = re.compile(
    r"^Inference timings in us: Init: (\d+), First inference: (\d+), Warmup \(avg\): ([\d.e+]+), "
    r"Inference \(avg\): ([\d.e+]+)$",
    re.MULTILINE,
)


@pytest.fixture(scope="session")
def program() -> list[str]:
    """The command that runs the program: that of the environment, or what ``make delegate`` built, up to date."""
    given = os.environ.get("LARQ_MELIUS_BENCHMARK_PROGRAM")
    if given:
        return shlex.split(given)
    path = ROOT / "build/runtime/release/program/larq-melius-benchmark"
    if not path.exists():
        pytest.skip("There is no benchmark program: make delegate builds it, with the C++ tests.")
    if shutil.which("cmake") and shutil.which("ninja"):
        with FileLock(ROOT / "build/runtime.lock"):
            command = ["cmake", "--build", "--preset", "release", "--target", path.name]
            subprocess.run(command, cwd=ROOT / "runtime", check=True, stdout=subprocess.DEVNULL)
    return [str(path)]


@pytest.fixture
def run(program, tmp_path):
    """A function that runs the program in an empty folder."""

    def run(*flags: str) -> subprocess.CompletedProcess[str]:
        # Some arguments are bytes that are no text.
        return subprocess.run([*program, *flags], cwd=tmp_path, capture_output=True, text=True, errors="replace")

    return run


@pytest.fixture
def check_outputs(run, tmp_path, delegate_library):
    """A function that compares a network's outputs, as close as rounding, with LiteRT's."""

    def check(flatbuffer: bytes, *flags: str) -> None:
        x, expected = run_litert(flatbuffer, delegate_library)
        (tmp_path / "network.tflite").write_bytes(flatbuffer)
        (tmp_path / "x.bin").write_bytes(x.tobytes())
        result = run("--graph=network.tflite", "--input=x.bin", "--print_outputs", "--num_runs=1", *flags)
        assert result.returncode == 0, result.stderr
        (line,) = re.findall(r"^Output .*? float32 ([\dx]+): (.*)$", result.stdout, re.MULTILINE)
        assert line[0] == "x".join(map(str, expected.shape))
        actual = np.array(line[1].split(), "f4")
        assert np.std(expected) > 0
        assert np.sqrt(np.mean((actual - expected.ravel()) ** 2)) < ROUNDING_TOLERANCE * np.std(expected)

    return check


def run_litert(flatbuffer, delegate_library, seed=0):
    """An input, and what LiteRT makes of it with the delegate."""
    interpreter = Interpreter(model_content=flatbuffer, experimental_delegates=[load_delegate(str(delegate_library))])
    interpreter.allocate_tensors()
    (detail,) = interpreter.get_input_details()
    x = np.random.default_rng(seed).normal(size=detail["shape"]).astype("f4")
    interpreter.set_tensor(detail["index"], x)
    interpreter.invoke()
    return x, interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.fixture(scope="module")
def digits_network(once) -> bytes:
    """The trained digits network without metadata."""

    def fill(folder: Path) -> None:
        (folder / "it").write_bytes(convert(models.MeliusNetTiny(weights="digits")))

    return (once("digits_flatbuffer", fill) / "it").read_bytes()


def test_digits_network(digits_network, check_outputs):
    check_outputs(without_softmax(digits_network))
    check_outputs(digits_network, "--num_threads=3")


@pytest.mark.parametrize("kind", ["weights", "float16"])
def test_weights_in_fewer_bits(kind, digits_network, check_outputs):
    check_outputs(without_softmax(quantize_weights(digits_network, kind)))


@pytest.mark.parametrize(
    "build",
    [
        # Transitions in groups, whose channels are shuffled.
        lambda: models.MeliusNet([1, 2], [64], 2, input_shape=(45, 37, 3), stem="grouped", convention="larq_zoo"),
        lambda: models.ResNetE([1, 1], [64, 96], input_shape=(48, 48, 3), stem="conv7x7", convention="authors"),
    ],
    ids=["grouped stem, larq_zoo", "residual, conv7x7 stem"],
)
@pytest.mark.long
def test_small_networks(build, check_outputs, randomize):
    model = build()
    randomize(model)
    check_outputs(without_softmax(convert(model)))


@pytest.mark.long
@pytest.mark.parametrize(("convention", "stem"), [("authors", "grouped"), ("larq_zoo", "conv7x7")])
def test_meliusnet22(convention, stem, check_outputs, randomize):
    model = get_model("MeliusNet22", weights=None, convention=convention, stem=stem)
    randomize(model)
    check_outputs(without_softmax(convert(model)))


@pytest.mark.long
def test_mobilenet(check_outputs):
    check_outputs(without_softmax(convert_random_network("MobileNet-0.25")))


@pytest.mark.skipif(not QUICKNET.exists(), reason="QuickNet is not there")
def test_trained_quicknet(check_outputs):
    check_outputs(without_softmax(QUICKNET.read_bytes()))


def test_report(digits_network, run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.tflite").write_bytes(digits_network)
    (tmp_path / "broken.tflite").write_bytes(b"not a flatbuffer")
    result = run(
        *(f"--graph={name}.tflite" for name in ("a", "broken", "b")),
        *("--num_threads=2", "--warmup_runs=2", "--num_runs=4", "--run_delay=0.01", "--enable_op_profiling=true"),
        "--output=results.json",
    )
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("larq-melius-benchmark: ")]
    assert errors == ["larq-melius-benchmark: broken.tflite cannot be run: it is not a TFLite flatbuffer"]
    timings = TIMINGS.findall(result.stdout)
    assert len(timings) == 2
    shares = re.findall(r"^The delegate \((\w+)\) took ([\d.]+)% of the time\. The rest ", result.stdout, re.MULTILINE)
    assert len(shares) == 2

    text = (tmp_path / "results.json").read_text()
    read_results(text)  # of the schema that phones' results have
    report = json.loads(text)
    assert sorted(tmp_path.glob("*.tmp")) == []
    assert report["schema_version"] == 1
    assert report["tool"] == "larq-melius-benchmark"
    assert report["tool_version"] == __version__
    assert report["error"] is None
    assert report["device"]["cores"] is None or report["device"]["cores"] >= os.cpu_count()
    assert report["settings"] == {
        **{"num_threads": 2, "warmup_runs": 2, "num_runs": 4, "max_secs": 150, "run_delay_secs": 0.01},
        **{"op_profiling": True, "affinity": sorted(os.sched_getaffinity(0))},
    }
    first, broken, second = report["models"]
    assert [first["name"], broken["name"], second["name"]] == ["a", "broken", "b"]
    assert broken["error"] == "broken.tflite cannot be run: it is not a TFLite flatbuffer"
    assert broken["samples_ms"] == []
    assert broken["min_ms"] is None
    for model, (isa, _), (init, first_us, warmup, mean) in zip((first, second), shares, timings, strict=True):
        assert model["error"] is None
        assert model["bytes"] == len(digits_network)
        assert model["runtime"] == "program"
        assert model["delegate_isa"] == isa
        assert model["output_check"] == "not_checked"
        assert model["claimed_operators"] == sum(
            n for name, n in count_operators(digits_network).items() if name.startswith("Lce")
        )
        samples = model["samples_ms"]
        assert len(samples) == 4
        assert min(samples) > 0
        for name, value in {
            "min_ms": np.min(samples),
            "mean_ms": np.mean(samples),
            "median_ms": np.median(samples),
            "p90_ms": np.quantile(samples, 0.9),
            "p99_ms": np.quantile(samples, 0.99),
            "std_ms": np.std(samples),
        }.items():
            assert model[name] == pytest.approx(value, rel=1e-6, abs=1e-9)
        assert float(init) == pytest.approx(model["load_ms"] * 1000, abs=1)
        assert float(first_us) == pytest.approx(model["first_ms"] * 1000, abs=1)
        assert float(warmup) > 0
        assert float(mean) == pytest.approx(model["mean_ms"] * 1000, rel=1e-4)
        # Linux counts pages in batches: a small network can go unnoticed.
        assert model["memory_peak_bytes"] >= model["memory_before_bytes"] > 0
        check_profile(model)


def check_profile(model):
    runs = {operator["runner"] for operator in model["profile"]}
    assert runs == {"delegate", "runtime"}
    names = " + ".join(operator["name"] for operator in model["profile"]).split(" + ")
    assert names.count("LceBconv2d") == 8
    assert names.count("SOFTMAX") == 1
    for operator in model["profile"]:
        assert operator["binary"] == ("Lce" in operator["name"])
        assert operator["count"] == len(operator["name"].split(" + "))
        assert operator["min_ms"] > 0
    binary = sum(operator["min_ms"] for operator in model["profile"] if operator["binary"])
    whole = sum(operator["min_ms"] for operator in model["profile"])
    assert model["binary_share"] == pytest.approx(binary / whole, rel=1e-6)


def test_outputs_are_checked_before_anything_is_measured(digits_network, run, tmp_path, delegate_library):
    x, y = run_litert(digits_network, delegate_library)
    (tmp_path / "digits.tflite").write_bytes(digits_network)
    (tmp_path / "x.bin").write_bytes(x.tobytes())
    (tmp_path / "y.bin").write_bytes(y.tobytes())
    (tmp_path / "other.bin").write_bytes((y + 0.25).tobytes())
    (tmp_path / "short.bin").write_bytes(y.tobytes()[:-4])
    flags = ("--graph=digits.tflite", "--input=x.bin", "--num_runs=3", "--output=results.json")
    for warmup in (0, 1):
        result = run(*flags, "--expected=y.bin", f"--warmup_runs={warmup}")
        assert result.returncode == 0, result.stderr
        assert "outputs as expected" in result.stdout
        (model,) = json.loads((tmp_path / "results.json").read_text())["models"]
        assert model["output_check"] == "passed"
        assert model["output_max_error"] < 1e-5
        assert len(model["samples_ms"]) == 3
    result = run(*flags, "--expected=other.bin")
    assert result.returncode == 1
    assert "larq-melius-benchmark: digits.tflite: its outputs are off by 0.25, more than 0.00" in result.stderr
    (model,) = json.loads((tmp_path / "results.json").read_text())["models"]
    assert model["output_check"] == "failed"
    assert model["output_max_error"] == pytest.approx(0.25, abs=1e-5)
    assert model["samples_ms"] == []
    result = run(*flags, "--expected=short.bin")
    assert "short.bin has 36 bytes, and the outputs have 40" in result.stderr
    result = run(*flags, "--input=y.bin")
    assert result.returncode == 1
    assert f"y.bin has 40 bytes, and the input takes {x.nbytes}" in result.stderr


def test_time_decides_how_often_it_runs(digits_network, run, tmp_path):
    (tmp_path / "digits.tflite").write_bytes(digits_network)
    flags = ("--graph=digits.tflite", "--output=results.json", "--run_delay=0.02", "--warmup_runs=0")
    samples = []
    for limits in (("--num_runs=1000", "--max_secs=0.1"), ("--num_runs=1", "--min_secs=0.1"), ("--max_secs=0",)):
        assert run(*flags, *limits).returncode == 0
        samples.append(len(json.loads((tmp_path / "results.json").read_text())["models"][0]["samples_ms"]))
    assert 1 <= samples[0] < 10
    assert 1 <= samples[1] < 10
    assert samples[2] == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "there is no network to measure: give --graph=FILE.tflite; --help lists all flags"),
        (["--num_thread=1"], "the flag --num_thread is unknown; --help lists them"),
        (["--graph=x", "--num_threads=0"], '--num_threads must be a whole number from 1 to 256, not "0"'),
        (["--graph=absent.tflite"], "absent.tflite cannot be read: No such file or directory"),
        (["--graph=."], ". cannot be read: it is no file"),
        (["--graph=x.tflite", "--external_delegate_options=isa:mmx"], "unknown"),
        (["--graph=x.tflite", "--input=absent.bin"], "absent.bin cannot be read: No such file or directory"),
        (["--graph=x.tflite", "--num_runs=1", "--output=absent/x.json"], "absent/x.json cannot be written: No such"),
    ],
)
def test_wrong_arguments_are_one_line(flags, message, run, tmp_path):
    (tmp_path / "x.tflite").write_bytes(small_network()[0])
    result = run(*flags)
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if not re.match(r"x: opened in", line)]
    assert line.startswith("larq-melius-benchmark: ")
    assert message in line


def test_help(run):
    result = run("--help")
    assert result.returncode == 0
    assert result.stderr == ""
    for flag in ("--graph=FILE", "--num_threads=1", "--warmup_runs=1", "--num_runs=50", "--max_secs=150"):
        assert flag in result.stdout


def test_file_that_was_changed_does_not_match_its_hash(run, tmp_path):
    flatbuffer = small_network()[0] + b'"sha256": "' + b"0" * 64 + b'"'
    sealed = seal(flatbuffer)
    assert sealed != flatbuffer
    for data, code in ((flatbuffer, 0), (sealed, 0), (sealed[:-200] + b"?" + sealed[-199:], 1)):
        (tmp_path / "x.tflite").write_bytes(data)
        result = run("--graph=x.tflite", "--num_runs=1")
        assert result.returncode == code
    assert "do not match the SHA-256 that it carries" in result.stderr


def check_damaged(flatbuffer, seeds, run, folder):
    """Runs damaged files: a result or one line each. Returns how many ran."""
    ran = 0
    for seed in seeds:
        rng = random.Random(seed)
        data = flatbuffer
        for _ in range(rng.choice([1, 1, 3])):
            data = rng.choice(FLAT)(data or b"?", rng)
        (folder / "x.tflite").write_bytes(data)
        result = run("--graph=x.tflite", "--num_runs=1", "--print_outputs", f"--num_threads={rng.choice([1, 2])}")
        if result.returncode == 0:
            assert TIMINGS.search(result.stdout), seed
            assert re.search(r"^Output .*: ", result.stdout, re.MULTILINE), seed
            ran += 1
            continue
        assert result.returncode == 1, (seed, result.stderr[-200:])
        (line,) = [line for line in result.stderr.splitlines() if not re.match(r"x: opened in", line)]
        assert re.match(r"larq-melius-benchmark: x\.tflite( cannot be run:| is no TFLite|:) \S", line), (seed, line)
    return ran


def test_damaged_files(run, tmp_path):
    assert 10 < check_damaged(small_network()[0], range(60), run, tmp_path) < 55


@pytest.mark.slow
def test_many_damaged_files(digits_network, run, tmp_path):
    assert check_damaged(small_network()[0], range(1000, 2500), run, tmp_path) > 100
    assert check_damaged(digits_network, range(2500, 3000), run, tmp_path) > 100
