"""Folders of runs, their comparison, and the command line over both."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from larq_melius.zoo.recipes import PRESETS, Recipe
from larq_melius.zoo.runs.authors import authors_curve, authors_recipe
from larq_melius.zoo.runs.compare import compare_runs, duration, render
from larq_melius.zoo.runs.folder import find_runs, load_run

COMMAND = Path(sys.executable).with_name("larq-melius")
COLUMNS = "model,stem,epoch,learning_rate,train_top1,train_top5,val_top1,val_top5,seconds,train_loss,val_loss"
MELIUSNET42 = PRESETS["MeliusNet42"].recipe
# Validation top-1 and top-5, training top-1 and seconds of seven epochs; the best top-1 comes twice.
EPOCHS = [
    (0.30, 0.51, 0.14, 100.0),
    (0.40, 0.61, 0.24, 110.0),
    (0.45, 0.66, 0.34, 120.0),
    (0.52, 0.74, 0.44, 130.0),
    (0.56, 0.78, 0.46, 140.0),
    (0.56, 0.79, 0.47, 150.0),
    (0.55, 0.77, 0.48, 160.0),
]


def write_run(folder: Path, recipe: Recipe = MELIUSNET42, stem: str = "grouped", epochs=EPOCHS, offset=0.0) -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(recipe.to_json())
    rows = [
        f"{recipe.model},{stem},{epoch},0.002,{train},{train + 0.2},{top1 + offset:.6f},{top5},{seconds},3.5,2.5"
        for epoch, (top1, top5, train, seconds) in enumerate(epochs, 1)
    ]
    (folder / "log.csv").write_text("\n".join([COLUMNS, *rows, ""]))
    return folder


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs the command where TensorFlow cannot be imported."""
    hidden = cwd / "hidden"
    hidden.mkdir(exist_ok=True)
    (hidden / "tensorflow.py").write_text("raise SystemExit('TensorFlow was imported')")
    command = [COMMAND, "runs", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(hidden)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_authors_curves() -> None:
    curve = authors_curve("MeliusNet42", "grouped")
    assert [row.epoch for row in curve] == list(range(1, 121))
    assert [round(row.val_top1, 3) for row in curve[:2]] == [0.331, 0.445]
    assert (curve[0].train_top5, curve[0].val_top5, curve[0].seconds) == (0.316935, 0.584879, 6810.649045)
    assert len(authors_curve("MeliusNet59", "grouped")) == 170
    assert authors_curve("MeliusNet42", "conv7x7") == ()
    assert authors_curve("MeliusNetTiny", "thumbnail") == ()


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.summary.startswith("Table")])
def test_the_authors_curves_end_at_the_accuracies_that_the_paper_prints(name) -> None:
    preset = PRESETS[name]
    curve = authors_curve(preset.recipe.model, preset.recipe.stem or "grouped")
    assert authors_recipe(curve[0].model, curve[0].stem) == preset.recipe
    # The paper cuts some figures off where it rounds others.
    assert max(row.val_top1 for row in curve) == pytest.approx(preset.top1, abs=1e-3)


def test_summary_of_a_run(tmp_path) -> None:
    write_run(tmp_path / "mine")
    (summary,) = compare_runs([load_run(tmp_path / "mine")], reach=0.45).runs
    assert (summary.name, summary.model, summary.stem, summary.dataset) == (
        "mine",
        "MeliusNet42",
        "grouped",
        "imagenet2012",
    )
    assert (summary.epochs_done, summary.epochs_planned) == (7, 120)
    # Of two epochs that are as good, the first, whose weights the run keeps.
    assert (summary.best_epoch, summary.best_top1, summary.best_top5) == (5, 0.56, 0.78)
    assert (summary.last_top1, summary.last_top5, summary.train_top1) == (0.55, 0.77, 0.48)
    assert summary.seconds == 910
    assert summary.minutes_per_epoch == pytest.approx(130 / 60)
    assert summary.seconds_left == pytest.approx(113 * (120 + 130 + 140 + 150 + 160) / 5)
    assert summary.seconds_to_reach == 330


def test_of_the_same_accuracy_the_lower_loss_is_better(tmp_path) -> None:
    log = write_run(tmp_path / "mine") / "log.csv"
    lines = log.read_text().splitlines()
    lines[6] = lines[6].removesuffix("2.5") + "2.4"
    log.write_text("\n".join([*lines, ""]))
    run = load_run(tmp_path / "mine")
    assert run.best.epoch == compare_runs([run]).runs[0].best_epoch == 6


def test_accuracy_that_was_never_reached_and_run_that_is_done(tmp_path) -> None:
    write_run(tmp_path / "mine", replace(MELIUSNET42, epochs=7))
    comparison = compare_runs([load_run(tmp_path / "mine")], reach=0.6)
    assert comparison.runs[0].seconds_to_reach is None
    assert comparison.runs[0].seconds_left == 0
    # The authors' top-1 was 0.6 after 12 epochs.
    assert comparison.authors[0].seconds_to_reach == pytest.approx(81771, abs=1)
    assert compare_runs([load_run(tmp_path / "mine")]).runs[0].seconds_to_reach is None


@pytest.mark.parametrize(
    ("offset", "points", "on_track"), [(0.03, 0.7097, True), (0.02, -0.2903, True), (0.0, -2.2903, False)]
)
def test_beside_the_authors_at_the_same_epoch(offset, points, on_track, tmp_path) -> None:
    write_run(tmp_path / "mine", offset=offset)
    comparison = compare_runs([load_run(tmp_path / "mine")])
    place = comparison.standings["mine"]
    assert (place.epoch, place.authors_top1, place.on_track) == (7, 0.572903, on_track)
    assert place.points == pytest.approx(points)
    assert place.other_settings == {}
    assert comparison.authors[0].name == "authors' MeliusNet42 grouped"
    assert (comparison.authors[0].best_epoch, comparison.authors[0].best_top1) == (119, 0.691941)
    assert ("on track" if on_track else "behind") in render(comparison)


def test_settings_that_are_not_the_authors(tmp_path) -> None:
    recipe = replace(MELIUSNET42, batch_size=256, stem="grouped", xla=True, seed=3, epochs=40)
    place = compare_runs([load_run(write_run(tmp_path / "mine", recipe))]).standings["mine"]
    assert place.other_settings == {"batch_size": (64, 256), "epochs": (120, 40)}


@pytest.mark.parametrize(
    ("recipe", "stem", "reason"),
    [
        (replace(MELIUSNET42, dataset="cifar10"), "thumbnail", "trained on imagenet2012, and this run on cifar10"),
        (replace(MELIUSNET42, quantization="float"), "grouped", "binary, and this run has quantization=float"),
        (MELIUSNET42, "conv7x7", "no curve of MeliusNet42 with the conv7x7 stem"),
        (PRESETS["MeliusNet-32bit"].recipe, "conv7x7", "no curve of MeliusNet with"),
    ],
)
def test_runs_that_the_authors_curves_say_nothing_about(recipe, stem, reason, tmp_path) -> None:
    comparison = compare_runs([load_run(write_run(tmp_path / "mine", recipe, stem))])
    assert (comparison.standings, comparison.authors) == ({}, ())
    assert reason in comparison.remarks["mine"]
    assert reason in " ".join(render(comparison).split())


def test_run_that_is_longer_than_the_authors(tmp_path) -> None:
    write_run(tmp_path / "mine", replace(MELIUSNET42, epochs=200), epochs=EPOCHS[-1:] * 121)
    comparison = compare_runs([load_run(tmp_path / "mine")])
    assert comparison.standings == {}
    assert "ended after epoch 120" in comparison.remarks["mine"]
    assert len(comparison.authors) == 1


def test_only_differing_settings_are_shown(tmp_path) -> None:
    first = write_run(tmp_path / "first")
    # The network's own stem and the same one by name are no difference.
    recipe = replace(MELIUSNET42, stem="grouped", optimizer="adam", warmup_epochs=5.0)
    second = write_run(tmp_path / "second", recipe)
    comparison = compare_runs([load_run(first), load_run(second)])
    assert comparison.differences == {"optimizer": ("radam", "adam"), "warmup_epochs": (0.0, 5.0)}
    assert [summary.name for summary in comparison.authors] == ["authors' MeliusNet42 grouped"]
    assert compare_runs([load_run(first)]).differences == {}


def test_names_tell_runs_apart(tmp_path) -> None:
    paths = [write_run(tmp_path / name / "run") for name in ("a", "b")] + [write_run(tmp_path / "c")]
    names = [summary.name for summary in compare_runs([load_run(path) for path in paths]).runs]
    assert names == [os.path.join("a", "run"), os.path.join("b", "run"), "c"]
    with pytest.raises(ValueError, match="named twice"):
        compare_runs([load_run(paths[2]), load_run(tmp_path / "a" / ".." / "c")])


def test_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="at least one run"):
        compare_runs([])


def test_accuracy_out_of_range(tmp_path) -> None:
    with pytest.raises(ValueError, match="reach must be above 0 and at most 1, got 60"):
        compare_runs([load_run(write_run(tmp_path / "mine"))], reach=60)


def test_flips_are_read_in_the_order_of_the_network(tmp_path) -> None:
    write_run(tmp_path / "mine")
    (tmp_path / "mine" / "flips.csv").write_text(
        "epoch,layer,weights,mean,p50,p75,p90,p95,p99,largest\n1,z,100,0.5,0,0,1,2.5,7,9\n1,a,200,0.1,0,0,0,0,1,3\n"
    )
    run = load_run(tmp_path / "mine")
    assert run.layers == ("z", "a")
    assert (run.flips[0].p95, run.flips[0].largest) == (2.5, 9)


def test_run_without_a_finished_epoch(tmp_path) -> None:
    folder = write_run(tmp_path / "mine", epochs=[])
    with pytest.raises(ValueError, match="no epoch yet"):
        load_run(folder)
    (folder / "log.csv").unlink()
    with pytest.raises(ValueError, match="no epoch yet"):
        load_run(folder)
    assert load_run(folder, empty=True).log == ()
    with pytest.raises(ValueError, match="no epoch yet"):
        compare_runs([load_run(folder, empty=True)])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.002", "fast", "learning_rate of epoch 1 is 'fast'"),
        (",2.5\n", "\n", "epoch 1 has no val_loss"),
        (",val_top1", ",other", "epoch 1 has no val_top1"),
        ("grouped,2,", "grouped,3,", "row 2 is epoch 3"),
        ("0.300000", "1.5", "val_top1 of epoch 1 is 1.5, not 0 to 1"),
        ("0.300000", "nan", "val_top1 of epoch 1 is nan"),
        ("0.300000", "0.3\xff", "log.csv"),
    ],
)
def test_damaged_log(old, new, message, tmp_path) -> None:
    folder = write_run(tmp_path / "mine")
    text = (folder / "log.csv").read_text()
    assert old in text
    (folder / "log.csv").write_bytes(text.replace(old, new, 1).encode("latin-1"))
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        load_run(folder)
    assert message in str(error.value)
    assert "log.csv" in str(error.value)
    assert "--resume writes it again" in str(error.value)


def test_runs_under_a_folder(tmp_path) -> None:
    write_run(tmp_path / "b")
    write_run(tmp_path / "a" / "deep")
    write_run(tmp_path / "b" / "first_stage")
    (tmp_path / "other").mkdir()
    assert [path.relative_to(tmp_path).as_posix() for path in find_runs(tmp_path)] == ["a/deep", "b", "b/first_stage"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.44, "1.4 s"), (90, "1.5 min"), (1810, "30.2 min"), (6810.6, "1.9 h"), (818176, "9.5 d")]
)
def test_durations(seconds, text) -> None:
    assert duration(seconds) == text


def test_list_command(tmp_path) -> None:
    write_run(tmp_path / "runs" / "mine")
    write_run(tmp_path / "runs" / "young", epochs=[])
    (write_run(tmp_path / "runs" / "bad") / "recipe.json").write_text("{")
    entries = json.loads(run("list", "--json", cwd=tmp_path).stdout)
    assert [entry["run"] for entry in entries] == ["bad", "mine", "young"]
    assert entries[0]["error"].endswith(
        "is damaged: A recipe must be a JSON object, and this is not JSON: Expecting "
        "property name enclosed in double quotes: line 1 column 2 (char 1)."
    )
    assert entries[1]["best_top1"] == 0.56
    assert [entry["epochs_done"] for entry in entries] == [None, 7, 0]
    lines = run("list", tmp_path / "runs", cwd=tmp_path).stdout.splitlines()
    assert lines[2].split() == ["mine", "MeliusNet42", "grouped", "imagenet2012", "7/120", "56.00%"]
    assert run("list", "hidden", cwd=tmp_path).stdout == "There are no runs under hidden.\n"


def test_compare_command(tmp_path) -> None:
    write_run(tmp_path / "one")
    write_run(tmp_path / "two", replace(MELIUSNET42, batch_size=256), offset=0.03)
    text = run("compare", "one", "two", "--reach", 0.5, cwd=tmp_path).stdout
    row = next(line for line in text.splitlines() if line.startswith("one"))
    assert re.split("  +", row) == [
        *("one", "7/120", "56.00%", "78.00%", "5", "55.00%", "77.00%", "48.00%"),
        *("2.2 min", "15.2 min", "4.4 h", "7.7 min"),
    ]
    assert "two: 58.00% after epoch 7, 0.71 points above the authors' 57.29%: on track." in text
    assert "Settings that are not the authors': batch_size=256 (theirs 64)." in text
    comparison = json.loads(run("compare", "one", "two", "--json", cwd=tmp_path).stdout)
    assert comparison["differences"] == {"batch_size": [64, 256]}
    assert comparison["runs"][1]["last_top1"] == 0.58
    assert not comparison["standings"]["one"]["on_track"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "nowhere"), "There is no folder nowhere"),
        (("compare",), "Missing argument 'RUN...'"),
        (("compare", "nowhere"), "There is no folder nowhere: name one that 'larq-melius train' made."),
        (("compare", "."), "is not the folder of a run, as it has no recipe.json"),
        (("compare", "mine", "mine"), "named twice"),
        (("compare", "mine", "--reach", "60"), "60.0 is not in the range"),
        (("compare", "young"), "The run in young has finished no epoch yet"),
        (("plot", "mine"), "Missing option '-o'"),
        (("plot", "mine", "-o", "x.gif"), "must end in .png, .svg or .pdf, got x.gif"),
        (("plot", "mine", "-o", "no/folder/x.png"), "Cannot write no/folder/x.png: No such file"),
        (("plot", "mine", "-o", "x.png", "--flips"), "The run in mine has no flips.csv"),
        (("plot", "mine", "-o", "x.png", "--layer", "conv"), "--layer goes with --flips"),
        (("plot", "mine", "-o", "x.png", "--flips", "--no-authors"), "--no-authors does not go with --flips"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_get_one_line_and_exit_code_2(arguments, message, tmp_path) -> None:
    write_run(tmp_path / "mine")
    write_run(tmp_path / "young", epochs=[])
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert not list(tmp_path.glob("x.*"))


def test_help_does_without_tensorflow(tmp_path) -> None:
    for command in ((), ("list",), ("compare",), ("plot",)):
        result = run(*command, "--help", cwd=tmp_path)
        assert result.returncode == 0
        assert result.stderr == ""
