"""``larq-melius ablation``: the trainings it runs and the table it prints."""

import json

import pytest
from command_line import run, run_process

from larq_melius.zoo.ablations import ABLATIONS
from larq_melius.zoo.ablations.study import case_recipe
from larq_melius.zoo.runs.log import EpochLog, read_rows

SMALL = [
    *("--set", "model=MeliusNet", "--set", 'architecture={"num_blocks": [1, 1], "transition_filters": [64]}'),
    *("--set", "epochs=1", "--set", "batch_size=128"),
]


@pytest.mark.parametrize("name", ABLATIONS)
def test_cases_differ_in_what_they_compare(name) -> None:
    """On ImageNet, each case is a recipe of the paper, and no two are the same."""
    recipes = [case_recipe(case, None, (), 1) for case in ABLATIONS[name].cases]
    assert len({recipe.to_json() for recipe in recipes}) == len(recipes)
    assert {recipe.dataset for recipe in recipes} == {"imagenet2012"}
    differing = {
        "stem": {"stem", "model", "batch_size", "reference_batch_size"},
        "naive": {"model"},
        "optimizer": {"optimizer", "warmup_epochs", "learning_rate", "reference_batch_size", "rate_scaling"},
        "32bit": {"architecture"},
        "precision": {"precision", "xla"},
    }[name]
    fields = vars(recipes[0])
    for other in recipes[1:]:
        assert {key for key in fields if fields[key] != vars(other)[key]} <= differing


@pytest.mark.long
def test_table_has_the_last_epochs_of_the_runs(tmp_path) -> None:
    arguments = ["ablation", "optimizer", "--dataset", "digits", "--seeds", 2, "-o", tmp_path, *SMALL]
    result = run(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    assert "Epoch 1/1" in result.stderr
    cases = json.loads(result.stdout)
    assert [case["case"]["label"] for case in cases] == ["RAdam", "Adam, warm-up", "SGD, warm-up"]
    for case, folder in zip(cases, ("radam", "adam-warm-up", "sgd-warm-up"), strict=True):
        logs = [read_rows(tmp_path / folder / f"seed-{seed}" / "log.csv", EpochLog)[-1] for seed in (1, 2)]
        assert case["val_top1"] == pytest.approx([log.val_top1 for log in logs])
        assert case["train_loss"] == pytest.approx([log.train_loss for log in logs])
        assert logs[0].train_loss != logs[1].train_loss
    # What is done is kept.
    again = run(*arguments)
    lines = again.stdout.splitlines()
    assert lines[0].startswith("optimizer: RAdam, Adam and SGD")
    assert [line.split("  ")[0].strip() for line in lines[2:5]] == ["RAdam", "Adam, warm-up", "SGD, warm-up"]
    assert lines[2].endswith("60.6%")
    assert lines[5] == "Mean ± standard deviation over 2 seeds."
    assert "Epoch 1/1" not in again.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    "study",
    [
        "naive",
        "32bit",
        pytest.param("stem", marks=pytest.mark.slow),
        pytest.param("precision", marks=pytest.mark.slow),
    ],
)
def test_every_study_runs_on_digits(study, tmp_path) -> None:
    """The images are enlarged to what the stems of a study take."""
    result = run("ablation", study, "--dataset", "digits", "-o", tmp_path, "--json", *SMALL)
    assert result.returncode == 0, result.stderr
    cases = json.loads(result.stdout)
    assert [case["case"]["label"] for case in cases] == [case.label for case in ABLATIONS[study].cases]
    assert all(len(case["val_top1"]) == 1 for case in cases)


def test_mistakes_get_one_line() -> None:
    unknown = run_process("ablation", "depth")
    assert unknown.returncode == 2
    assert unknown.stderr == (
        "Error: Unknown ablation study 'depth'; choose one of stem, naive, optimizer, 32bit, precision.\n"
    )
