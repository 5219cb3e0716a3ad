"""Recipes: the authors' settings, and what users make of them."""

import csv
import json

import pytest
from command_line import run, run_process
from reference_data import DATA

import larq_melius
from larq_melius.zoo.recipes import PRESETS, Recipe, load_recipe


def test_every_network_has_a_recipe() -> None:
    assert set(larq_melius.list_models()) <= set(PRESETS)


# What the authors' logs state (tables.json, "authors_run"): network, stem, total batch, rate, epochs.
with (DATA / "authors_runs.csv").open() as file:
    AUTHORS_RUNS = list(csv.DictReader(file))


@pytest.mark.parametrize("authors", AUTHORS_RUNS, ids=lambda row: f"{row['model']}-{row['stem']}")
def test_the_authors_settings(authors) -> None:
    recipe = load_recipe(authors["model"] + ("-conv7x7" if authors["stem"] == "conv7x7" else ""))
    assert (recipe.model, recipe.stem or "grouped") == (authors["model"], authors["stem"])
    assert recipe.batch_size == recipe.reference_batch_size == int(authors["batch_total"])
    assert recipe.learning_rate == float(authors["learning_rate"])
    assert recipe.epochs == int(authors["epochs_planned"])
    assert (recipe.optimizer, recipe.schedule) == (authors["optimizer"], authors["schedule"])
    assert (recipe.warmup_epochs, recipe.weight_decay) == (0, 0)


def test_settings_come_last_and_have_the_types_of_their_fields() -> None:
    settings = ["epochs=3", "learning-rate=1", "xla=true", "stem=none", "decay_epochs=[1, 2.5]", "schedule=steps"]
    recipe = load_recipe("meliusnet22", dataset="digits", settings=settings)
    assert (recipe.dataset, recipe.augmentation, recipe.epochs) == ("digits", "digits", 3)
    assert (recipe.learning_rate, recipe.xla, recipe.stem, recipe.decay_epochs) == (1.0, True, None, (1.0, 2.5))
    assert isinstance(recipe.learning_rate, float)


def test_data_set_of_a_setting_brings_its_augmentation() -> None:
    assert load_recipe("MeliusNet22", settings=["dataset=cifar10:3.0.2"]).augmentation == "crop_flip"
    assert load_recipe("MeliusNet22", settings=["dataset=cifar10", "augmentation=none"]).augmentation == "none"


def test_recipe_of_one_s_own(tmp_path) -> None:
    text = run("recipes", "show", "MeliusNet42", "--set", "epochs=5").stdout
    assert Recipe.from_json(text) == load_recipe("MeliusNet42", settings=["epochs=5"])
    fields = {**json.loads(text), "batch_size": 256}
    (tmp_path / "my.json").write_text(json.dumps(fields))
    assert load_recipe(str(tmp_path / "my.json")) == Recipe("MeliusNet42", epochs=5, batch_size=256)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["epochs"], "'epochs' is not a setting: write it as key=value"),
        (["epocs=3"], "no field 'epocs'; did you mean 'epochs'?"),
        (["epochs=3.5"], "epochs must be a whole number, got 3.5"),
        (["epochs=0"], "epochs must be above 0"),
        (["learning_rate=fast"], "learning_rate must be a number, got 'fast'"),
        (["learning_rate=Infinity"], "learning_rate must be a finite number, got inf"),
        (["learning_rate=true"], "learning_rate must be a number, got True"),
        (["decay_epochs=[1, true]"], "decay_epochs[1] must be a number, got True"),
        (["epochs=0", "xla=1"], "epochs must be above 0, got 0; xla must be true or false, got 1"),
        (["optimizer=bop"], "optimizer must be one of radam, adam, sgd, got 'bop'"),
        (["xla=1"], "xla must be true or false"),
        (["stem=9x9"], "stem must be one of grouped, conv7x7, thumbnail or none, got '9x9'"),
        (["first_stage=binary"], "first_stage must be one of"),
        (["label_smoothing=1"], "label_smoothing must be at least 0 and below 1"),
        (["teacher_weight=0"], "teacher_weight must be above 0"),
        (["warmup_epochs=120"], "warmup_epochs must be fewer than the 120 epochs"),
        (["schedule=steps"], "decay_epochs must name the epochs"),
        (["epsilon=-1"], "epsilon must be above 0"),
        (["weight_decay=-1"], "weight_decay must be at least 0, got -1"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_mistakes_get_one_line(settings, message) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        load_recipe("MeliusNet22", settings=settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "this is not JSON"), ("[]", "object with at least a 'model'"), ("{}", "object with at least a 'model'")],
)
def test_file_that_is_no_recipe(text, message, tmp_path) -> None:
    path = tmp_path / "my.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        load_recipe(str(path))
    assert str(path) in str(error.value)


def test_command_line() -> None:
    listed = json.loads(run_process("recipes", "list", "--json").stdout)
    assert {"name": "MeliusNet42", "summary": "Table 1", "top1": 0.692, "top5": 0.883} in listed
    assert len(run("recipes", "list").stdout.splitlines()) == len(PRESETS) + 1
    unknown = run("recipes", "show", "MeliusNet99")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("Error: Unknown recipe 'MeliusNet99'; choose one of MeliusNet22,")
    assert len(unknown.stderr.splitlines()) == 1
