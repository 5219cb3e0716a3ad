"""The command line: what its commands print and write, and how mistakes end."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import run, run_process
from PIL import Image

IMAGENET_ERROR = "There are no 'imagenet' weights for MeliusNet42"


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """A folder with the exported digits network and the pictures of a 0 and a 1."""
    folder = tmp_path_factory.mktemp("digits")
    zero = np.array(
        [
            [0, 0, 5, 13, 9, 1, 0, 0],
            [0, 0, 13, 15, 10, 15, 5, 0],
            [0, 3, 15, 2, 0, 11, 8, 0],
            [0, 4, 12, 0, 0, 8, 8, 0],
            [0, 5, 8, 0, 0, 9, 8, 0],
            [0, 4, 11, 0, 1, 12, 7, 0],
            [0, 2, 14, 5, 10, 12, 0, 0],
            [0, 0, 6, 13, 10, 0, 0, 0],
        ]
    )
    one = np.array(
        [
            [0, 0, 0, 12, 13, 5, 0, 0],
            [0, 0, 0, 11, 16, 9, 0, 0],
            [0, 0, 3, 15, 16, 6, 0, 0],
            [0, 7, 15, 16, 16, 2, 0, 0],
            [0, 0, 1, 16, 16, 3, 0, 0],
            [0, 0, 1, 16, 16, 6, 0, 0],
            [0, 0, 1, 16, 16, 6, 0, 0],
            [0, 0, 0, 11, 16, 10, 0, 0],
        ]
    )
    for name, scan in (("zero.png", zero), ("one.bmp", one)):
        picture = Image.fromarray((scan * 255 / 16).astype("uint8"))
        picture.resize((80, 80), Image.Resampling.NEAREST).save(folder / name)
    result = run_process("export", "meliusnettiny", "-o", "digits.tflite", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "LceBconv2d" in result.stdout
    assert not [line for line in result.stderr.splitlines() if not line.endswith("…")], result.stderr
    return folder


def test_predict_with_an_exported_file(digits):
    result = run_process("predict", "digits.tflite", "zero.png", "one.bmp", "--json", cwd=digits)
    assert result.stderr == ""
    answer = json.loads(result.stdout)
    assert [entry["image"] for entry in answer] == ["zero.png", "one.bmp"]
    assert [entry["predictions"][0]["label"] for entry in answer] == ["0", "1"]
    assert len(answer[0]["predictions"]) == 5
    assert answer[0]["predictions"][0]["score"] > 0.5


def test_predict_with_a_network_gives_the_same(digits):
    by_file = json.loads(run("predict", "digits.tflite", "zero.png", "--json", cwd=digits).stdout)
    by_name = json.loads(run("predict", "MeliusNetTiny", "zero.png", "--json", cwd=digits).stdout)
    for a, b in zip(by_file[0]["predictions"], by_name[0]["predictions"], strict=True):
        assert a["label"] == b["label"]
        assert a["score"] == pytest.approx(b["score"], abs=1e-4)


def test_predict_prints_a_line_a_class(digits):
    result = run("predict", "digits.tflite", "one.bmp", "--top", 3, cwd=digits)
    lines = result.stdout.splitlines()
    assert lines[0] == "one.bmp"
    assert len(lines) == 4
    assert lines[1].split()[1] == "1"


def test_predict_runs_what_it_is_told_to_and_says_so(digits, delegate_library):
    variables = {"LARQ_MELIUS_DELEGATE": str(delegate_library)}
    scores = {}
    for runtime, ran in (("auto", "delegate"), ("delegate", "delegate"), ("lce", "lce")):
        result = run("predict", "digits.tflite", "zero.png", "--json", "--runtime", runtime, cwd=digits, env=variables)
        (entry,) = json.loads(result.stdout)
        assert entry["runtime"] == ran
        scores[runtime] = {p["label"]: p["score"] for p in entry["predictions"]}
    assert scores["delegate"] == pytest.approx(scores["lce"], abs=1e-4)
    result = run("predict", "digits.tflite", "zero.png", "--runtime", "lce", cwd=digits)
    assert result.stderr == "Note: Larq Compute Engine's interpreter ran the network.\n"


def test_summary_of_a_network_and_of_a_file(digits):
    facts = json.loads(run("summary", "MeliusNetC", "--json", cwd=digits).stdout)
    assert facts["binary_macs"] == 4353269760
    assert facts["binary_convolutions"] == 48
    facts = json.loads(run("summary", "digits.tflite", "--json", cwd=digits).stdout)
    network = json.loads(run("summary", "MeliusNetTiny", "--json", cwd=digits).stdout)
    assert facts["operators"]["LceBconv2d"] == network["binary_convolutions"]
    assert facts["labels"] == 10


def test_summary_in_words(digits):
    lines = run("summary", "MeliusNetTiny", "--weights", "digits", "--blocks", cwd=digits).stdout.splitlines()
    facts = dict(re.split(r"\s{2,}", line) for line in lines[: lines.index("")])
    assert facts["binary MACs"] == "24,772,608"
    assert facts["size (MiB)"] == "0.17"
    assert facts["top-1 of these weights"] == "99.8%"
    header, *blocks = [re.split(r"\s{2,}", line) for line in lines[lines.index("") + 1 :]]
    assert header == ["BLOCK", "OUTPUT", "BINARY MACS", "32-BIT MACS", "PARAMETERS", "SIZE (KIB)"]
    assert [row[0] for row in blocks] == [
        *("stem", "stage1_block1", "stage1_block2", "transition1", "stage2_block1", "stage2_block2"),
        *("final_bn", "predictions"),
    ]
    # 8x8 outputs of 64 channels, twice: from 64 channels and from 128 (paper, section 3.1).
    assert blocks[1][1:3] == ["8 x 8 x 128", f"{8 * 8 * 64 * 9 * (64 + 128):,}"]
    assert sum(int(row[2].replace(",", "")) for row in blocks) == 24_772_608
    assert sum(int(row[4].replace(",", "")) for row in blocks) == 691_082


def test_summary_has_the_papers_accuracy_of_the_papers_networks(digits):
    facts = json.loads(run("summary", "ResNetE18", "--stem", "conv7x7", "--json", cwd=digits).stdout)
    assert facts["paper_top1"] == 0.6
    facts = json.loads(run("summary", "ResNetE18", "--input-size", 64, "--json", cwd=digits).stdout)
    assert facts["paper_top1"] is None


def test_blocks_of_a_tflite_file(digits):
    result = run("summary", "digits.tflite", "--blocks", cwd=digits)
    assert result.returncode == 2
    assert "--blocks and --layers are for networks and Keras files" in result.stderr


def test_list(tmp_path):
    result = run("list", "--json", cwd=tmp_path)
    assert result.stderr == ""
    networks = {entry["name"]: entry for entry in json.loads(result.stdout)}
    assert len(networks) == 15
    assert networks["MeliusNetTiny"]["weights"] == ["digits"]
    result = run("list", "binary*", cwd=tmp_path)
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == [
        "BinaryDenseNet28",
        "BinaryDenseNet37",
        "BinaryDenseNet45",
    ]


def test_list_tells_which_stem_the_weights_are_for(tmp_path):
    lines = run("list", cwd=tmp_path, env={"LARQ_MELIUS_HOME": str(tmp_path)}).stdout.splitlines()
    rows = {row[0]: row[1:] for row in (re.split(r"\s{2,}", line) for line in lines)}
    assert rows["MeliusNet22"] == ["grouped", "6.97 M", "3.88", "2.08e8", "63.6%", "imagenet (62.4%)"]
    assert rows["BinaryDenseNet28"][-1] == "imagenet (conv7x7 stem, 60.9%)"
    assert rows["MeliusNet42"][-1] == "none"


@pytest.mark.slow
def test_tables(tmp_path):
    tables = json.loads(run("tables", "1", "--json", cwd=tmp_path).stdout)
    assert len(tables) == 1
    assert "MeliusNet59" in run("tables", "1", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("summary", "MeliusNet99"), "Unknown model 'MeliusNet99'"),
        (("export", "MeliusNet42", "-o", "x.tflite"), IMAGENET_ERROR),
        (("predict", "MeliusNet42", "zero.png"), IMAGENET_ERROR),
        (("export", "MeliusNetTiny"), "Missing option '-o'"),
        (("export", "MeliusNetTiny", "-o", "no/folder/x.tflite"), "no/folder/x.tflite"),
        (("export", "none.keras", "-o", "x.tflite"), "none.keras does not exist"),
        (("export", "MeliusNetTiny", "-o", "x.tflite", "--mean", "a,b"), "not a list of numbers"),
        (("export", "MeliusNetTiny", "-o", "x.tflite", "--std", "inf"), "std[0] must be a finite number, got inf"),
        (("export", "MeliusNetTiny", "-o", "x.tflite", "--classes", "7"), "classes must be 10"),
        (("export", "MeliusNetTiny", "-o", "x.tflite", "--weights", "none", "--mean", "1,2"), "channels"),
        (("predict", "digits.tflite", "nothing.png"), "nothing.png"),
        (("predict", "digits.tflite", "digits.tflite"), "not an image"),
        (("predict", "nothing.tflite", "zero.png"), "nothing.tflite"),
        (("predict", "zero.tflite", "zero.png"), "not a TFLite flatbuffer"),
        (("predict", "digits.tflite"), "Missing argument"),
        (("tables", "5"), "'5' is not"),
        (("list", "nothing*"), "No network matches 'nothing*'"),
        (("nonsense",), "No such command 'nonsense'"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_mistakes_get_one_line_and_exit_code_2(arguments, message, digits):
    (digits / "zero.tflite").write_bytes((digits / "zero.png").read_bytes())
    before = sorted(digits.iterdir())
    result = run(*arguments, cwd=digits)
    errors = [line for line in result.stderr.splitlines() if not line.endswith("…")]
    assert result.returncode == 2
    assert len(errors) == 1
    assert message in errors[0]
    assert result.stdout == ""
    assert sorted(digits.iterdir()) == before


def test_mistake_as_users_see_it(tmp_path):
    result = run_process("summary", "MeliusNet99", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: Unknown model 'MeliusNet99'")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.process
def test_the_usual_silencer_of_tensorflow_silences(tmp_path):
    result = run_process("summary", "MeliusNetTiny", "--json", cwd=tmp_path, env={"TF_CPP_MIN_LOG_LEVEL": "3"})
    assert (result.returncode, result.stderr) == (0, "")


def test_the_module_is_the_command_line(tmp_path, run_python):
    result = run_python("import runpy; runpy.run_module('larq_melius', run_name='__main__')", "--version")
    assert result.stdout == run("--version", cwd=tmp_path).stdout


def test_traceback_on_request(tmp_path):
    result = run_process("--traceback", "summary", "MeliusNet99", cwd=tmp_path)
    assert "Traceback" in result.stderr
    assert result.returncode == 1
