"""``larq-melius weights``."""

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import pytest
import tensorflow as tf
from command_line import run_process
from reference_data import DATA

import larq_melius as lm
import larq_melius.converters
from larq_melius.reference_implementations import AUTHORS
from larq_melius.weights import cached_path, find_record, list_records, save_packed, store

#: Arguments, exit code, standard output and the lines of standard error.
Run = Callable[..., tuple[int, str, list[str]]]

ADD = ("add", "own.npz", "--model", "meliusnettiny", "--tag", "pets", "--labels", "labels.txt", "--mean", 80)
ADD = (*ADD, "--std", 90)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line in an empty folder, offline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LARQ_MELIUS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LARQ_MELIUS_OFFLINE", "1")
    monkeypatch.delenv("LARQ_MELIUS_MIRROR", raising=False)

    def run_here(*arguments: object) -> tuple[int, str, list[str]]:
        result = command_line.run("weights", *arguments)
        return result.returncode, result.stdout, result.stderr.splitlines()

    return run_here


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Weights of a network for two classes, and their names."""
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    return save_packed(lm.MeliusNetTiny(weights=None, classes=2), tmp_path / "own.npz")


def ok(result: tuple[int, str, list[str]]) -> str:
    code, out, err = result
    assert (code, err) == (0, [])
    return out


def fails(result: tuple[int, str, list[str]], code: int = 2) -> str:
    assert result[0] == code
    assert len(result[2]) == 1, result
    return result[2][0]


@pytest.mark.long
def test_as_users_run_it(tmp_path, own) -> None:
    home = {"LARQ_MELIUS_HOME": str(tmp_path / "home"), "LARQ_MELIUS_OFFLINE": "1", "LARQ_MELIUS_MIRROR": None}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return run_process("weights", *arguments, cwd=tmp_path, env=home)

    added = run(*ADD)
    assert (added.returncode, added.stderr) == (0, "")
    fetched = command_line.run("weights", "fetch", "MeliusNetTiny", "--tag", "pets", cwd=tmp_path, env=home)
    assert Path(fetched.stdout.strip()).read_bytes() == own.read_bytes()
    assert fetched.stderr == ""
    missing = run("fetch", "MeliusNet22")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith(
        "Error: The 'imagenet' weights of MeliusNet22 (meliusnet22_weights.h5) are not in the cache"
    )
    assert len(missing.stderr.splitlines()) == 1


def test_help_does_without_tensorflow(tmp_path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('TensorFlow was imported')")
    for command in ([], ["add"], ["import"], ["list"]):
        result = run_process("weights", *command, "--help", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
        assert result.returncode == 0, result.stderr


def test_a_file_is_added_listed_fetched_verified_and_removed(run, own) -> None:
    details = ("--top1", 0.9, "--top5", 1, "--license", "MIT", "--source", "me", "--trained-on", "pets")
    out = ok(run(*ADD, *details, "--measured-by", "us", "--crop-fraction", 0.5, "--interpolation", "bicubic"))
    assert out == "MeliusNetTiny(weights='pets', stem='thumbnail') now loads a copy of own.npz.\n"
    record = find_record("MeliusNetTiny", "pets", "thumbnail")
    assert record.preprocessing == lm.preprocessing.Preprocessing((80.0,), (90.0,), 0.5, "bicubic")
    assert (record.trained_on, record.measured_by, record.source) == ("pets", "us", "me")
    assert record.classes == ("cat", "dog")
    entries = json.loads(ok(run("list", "MeliusNetTiny", "--json")))
    assert [(e["tag"], e["state"], e["top1"]) for e in entries] == [
        ("pets", "cached", 0.9),
        ("digits", "shipped", find_record("MeliusNetTiny", "digits", "thumbnail").top1),
    ]
    assert entries[0]["path"] == str(cached_path(record))
    lines = ok(run("list", "meliusnettiny")).splitlines()
    assert lines[1].split()[:7] == ["MeliusNetTiny", "pets", "thumbnail", "with", "90.0%", "100.0%", "cached"]
    assert ok(run("fetch", "MeliusNetTiny", "--tag", "pets")) == f"{cached_path(record)}\n"
    assert record.file in ok(run("verify"))
    assert ok(run("remove", "MeliusNetTiny", "--tag", "pets")) == f"Removed {record.file}.\n"
    assert not cached_path(record).exists()
    assert len(json.loads(ok(run("list", "MeliusNetTiny", "--json")))) == 1


def test_list_of_everything(run) -> None:
    entries = json.loads(ok(run("list", "--json")))
    assert len(entries) == len(list_records())
    assert {e["state"] for e in entries if e["urls"]} == {"not here"}
    assert {e["path"] for e in entries if e["urls"]} == {None}
    assert len(ok(run("list")).splitlines()) == len(entries) + 1
    assert json.loads(ok(run("list", "MeliusNet59", "--json"))) == []


def test_damaged_files_are_named(run, own) -> None:
    ok(run(*ADD))
    path = cached_path(find_record("MeliusNetTiny", "pets", "thumbnail"))
    path.write_bytes(b"damaged")
    code, out, err = run("verify")
    assert code == 1
    assert [line.split()[1] for line in out.splitlines()] == ["damaged", "shipped"]
    assert err[0].startswith(f"Error: Damaged: {path}.")
    assert len(err) == 1
    assert json.loads(ok(run("list", "--json")))[0]["state"] == "damaged"
    assert "add the file again" in fails(run("fetch", "MeliusNetTiny", "--tag", "pets"))
    assert not path.exists()
    assert ok(run("verify", "MeliusNet22")) == "None of the files is on this machine.\n"
    assert ok(run("remove", "MeliusNetTiny", "--tag", "pets")).startswith("Removed ")
    assert len(json.loads(ok(run("list", "MeliusNetTiny", "--json")))) == 1
    ok(run(*ADD))
    assert "cached" in ok(run("verify", "MeliusNetTiny"))


def test_damaged_package_is_named(run, tmp_path, monkeypatch) -> None:
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"damaged")
    monkeypatch.setattr(store, "shipped_path", lambda record: damaged if record.tag == "digits" else None)
    assert str(damaged) in fails(run("verify", "MeliusNetTiny"), 1)
    assert "install larq-melius again" in fails(run("fetch", "MeliusNetTiny"))


def test_fetch_takes_the_network_s_own_tag_and_top(run, own, tmp_path) -> None:
    assert ok(run("fetch", "MeliusNetTiny")).strip().endswith("meliusnet_tiny_digits.npz")
    assert ok(run("fetch", "MeliusNetTiny", "--no-top")).strip().endswith("meliusnet_tiny_digits.npz")
    headless = lm.MeliusNetTiny(weights=own, classes=2, include_top=False)
    save_packed(headless, tmp_path / "own.npz")
    ok(run(*ADD, "--no-top"))
    assert "_notop_" in ok(run("fetch", "MeliusNetTiny", "--tag", "pets", "--no-top"))
    assert "pass include_top=False" in fails(run("fetch", "MeliusNetTiny", "--tag", "pets"))


def test_weights_that_are_no_numbers_are_not_added(run, own) -> None:
    model = lm.MeliusNetTiny(weights=own, classes=2)
    model.get_layer("predictions").bias[0].assign(np.nan)
    model.save_weights("nan.h5")
    assert "predictions/bias:0 holds numbers that are not finite" in fails(run("add", "nan.h5", *ADD[2:]))
    assert not any(record.tag == "pets" for record in list_records())


def test_remove_takes_the_file_that_was_named_and_no_other(run, own) -> None:
    ok(run(*ADD))
    message = fails(run("remove", "MeliusNetTiny", "--tag", "pets", "--no-top"))
    assert "with the thumbnail stem and without the classifier" in message
    assert cached_path(find_record("MeliusNetTiny", "pets", "thumbnail")).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fetch", "MeliusNet42"), "There are no 'imagenet' weights for MeliusNet42"),
        (("fetch", "BinaryDenseNet28"), "--stem conv7x7"),
        (("fetch", "BinaryDenseNet28", "--stem", "conv7x7"), "LARQ_MELIUS_OFFLINE"),
        (("fetch", "MeliusNetTiny", "--tag", "text.npz"), "text.npz is a file"),
        (("fetch", "MeliusNet99"), "Unknown model"),
        (("add", "none.npz", "--model", "MeliusNet22", "--tag", "x"), "none.npz"),
        (("add", "text.npz", "--model", "MeliusNet22", "--tag", "x"), "text.npz is not a packed weight file"),
        (("add", "own.npz", "--model", "MeliusNetTiny", "--tag", "x"), "have 1 channels: give mean and std"),
        (("add", *ADD[1:], "--top1", "62"), "62.0 is not in the range"),
        (("add", *ADD[1:], "--tag", "none"), "is not 'none'"),
        (("add", *ADD[1:], "--std", 0), "std[0] must be above 0, got 0"),
        (("add", *ADD[1:], "--mean", "inf"), "mean[0] must be a finite number, got inf"),
        (("add", *ADD[1:], "--input-size", "4"), "Input size must be at least 8x8"),
        (("add", "own.npz", "--model", "MeliusNet22"), "Missing option '--tag'"),
        (("remove", "MeliusNetTiny", "--tag", "digits"), "part of the package"),
        (("remove", "MeliusNet22", "--tag", "imagenet"), "is not on this machine"),
        (("remove", "MeliusNet42", "--tag", "imagenet"), "'larq-melius weights list MeliusNet42'"),
        (("import", "text.npz", "--model", "MeliusNet22", "-o", "x.npz"), "text.npz is not a weight file"),
        (("import", "types.params", "--model", "MeliusNet22", "-o", "x.npz"), "types.params"),
        (("import", "types.params", "--model", "MeliusNet22", "-o", "x.txt"), "must end in"),
        (("list", "MeliusNet99"), "Unknown model"),
        (("verify", "MeliusNet99"), "Unknown model"),
        (("nonsense",), "No such command 'nonsense'"),
    ],
    ids=lambda value: " ".join(map(str, value))[:60] if isinstance(value, tuple) else "",
)
def test_mistakes_get_one_line_and_exit_code_2(arguments, message, run, own, tmp_path) -> None:
    (tmp_path / "text.npz").write_text("no weights")
    (tmp_path / "types.params").write_bytes((DATA / "mxnet_types.params").read_bytes())
    before = sorted(tmp_path.iterdir())
    assert message in fails(run(*arguments))
    assert [path for path in sorted(tmp_path.iterdir()) if path.name != "home"] == before


def test_damaged_registry_is_one_line(run, tmp_path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "registry.json").write_text("{")
    for command in (("list",), ("verify",), ("fetch", "MeliusNetTiny"), ("remove", "MeliusNetTiny", "--tag", "digits")):
        assert f"The registry {tmp_path / 'home' / 'registry.json'} is damaged" in fails(run(*command))


def test_traceback_on_request(run, monkeypatch) -> None:
    result = command_line.run("--traceback", "weights", "list", "MeliusNet99")
    assert result.returncode == 1
    assert result.stderr.startswith("Traceback")
    assert "ValueError: Unknown model" in result.stderr


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that makes a file from which ``weights import`` reads a network."""

    def make(network: tf.keras.Model) -> Path:
        def import_weights(source: Any, model: str, **options: Any) -> tf.keras.Model:
            assert (Path(source), model, options) == (Path("some.pth"), "meliusnettiny", {"stem": None, "format": kind})
            return network

        kind = "bitorch"
        monkeypatch.setattr(larq_melius.converters, "import_weights", import_weights)
        (tmp_path / "some.pth").write_bytes(b"a checkpoint")
        return tmp_path / "some.pth"

    return make


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".weights.h5", ".keras"])
def test_imported_weights_are_written_and_the_next_command_works(suffix, run, checkpoint, randomize) -> None:
    network = lm.MeliusNetTiny(weights=None, classes=2)
    randomize(network)
    checkpoint(network)
    out = ok(run("import", "some.pth", "--model", "meliusnettiny", "--format", "bitorch", "-o", f"new file{suffix}"))
    lines = out.splitlines()
    assert lines[0] == f"Wrote new file{suffix} ({Path(f'new file{suffix}').stat().st_size:,} bytes)."
    assert lines[2] == (
        f"  larq-melius weights add 'new file{suffix}' --model MeliusNetTiny --tag imagenet --labels LABELS.txt"
    )
    Path("LABELS.txt").write_text("cat\ndog\n")
    command = ("--model", "MeliusNetTiny", "--tag", "imagenet", "--labels", "LABELS.txt", "--mean", 80, "--std", 90)
    ok(run("add", f"new file{suffix}", *command))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    loaded = lm.MeliusNetTiny(weights="imagenet", classes=2)
    np.testing.assert_array_equal(loaded(images), network(images))


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({}, "--labels LABELS.txt"),
        # Without the size, the entry would tell the network's usual one, which these stems do not take.
        ({"classes": 1000, "stem": "conv7x7", "input_shape": (32, 32, 1)}, "--stem conv7x7 --input-size 32"),
        ({"classes": 1000, "stem": "grouped", "input_shape": (64, 64, 1)}, "--stem grouped --input-size 64"),
        ({"include_top": False, "stem": "thumbnail"}, "--no-top"),
        ({"include_top": False, "input_shape": (8, 8, 1)}, "--no-top"),
    ],
)
def test_next_command_after_an_import_tells_what_is_not_usual(arguments, options, run, checkpoint, tmp_path) -> None:
    checkpoint(lm.MeliusNetTiny(weights=None, **arguments))
    out = ok(run("import", "some.pth", "--model", "meliusnettiny", "--format", "bitorch", "-o", "x.npz"))
    command = out.splitlines()[2]
    assert command == f"  larq-melius weights add x.npz --model MeliusNetTiny --tag imagenet {options}"
    (tmp_path / "LABELS.txt").write_text("\n".join("0123456789"))
    ok(run(*shlex.split(command)[2:], "--mean", 80, "--std", 90))


def test_weights_for_another_padding_are_written_as_a_whole_model_only(run, checkpoint, tmp_path) -> None:
    from dataclasses import replace

    checkpoint(lm.MeliusNetTiny(weights=None, convention=replace(AUTHORS, binary_pad_value=-1.0)))
    command = ("import", "some.pth", "--model", "meliusnettiny", "--format", "bitorch", "-o")
    assert "pads with -1" in fails(run(*command, "x.npz"))
    assert not (tmp_path / "x.npz").exists()
    out = ok(run(*command, "x.keras"))
    assert "use it with tf.keras.models.load_model" in out
    message = fails(run("add", "x.keras", *ADD[2:6], "--mean", 1, "--std", 1, "--labels", DATA.parent / "test_cli.py"))
    assert message
    (tmp_path / "labels.txt").write_text("\n".join("0123456789"))
    message = fails(run("add", "x.keras", *ADD[2:]))
    assert "was saved with pad_values=-1.0, but the network has 1.0" in message
