"""The authors' own trainings, epoch by epoch, and how a run compares with them.

Their public experiment logs (paper, supplementary A) cover ImageNet at 224 pixels. Times are from their hardware.
"""

import csv
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any

from larq_melius.zoo.recipes import PRESETS, Recipe
from larq_melius.zoo.runs.folder import Run

#: What the authors trained on, by its name in recipes.
DATASET = "imagenet2012"

# In the authors' curves, an epoch differs from the mean of its neighbors with a standard deviation of 0.4 points in the
# first ten epochs and of 0.1 to 0.2 later: equally good trainings rarely differ by more than a point at the same epoch.
TOLERANCE = 1.0

# Settings that change results only by chance.
_INCIDENTAL = ("xla", "flips", "shard_by", "seed")


@dataclass(frozen=True)
class AuthorsEpoch:
    """One epoch of a training by the authors.

    Attributes:
        model: Name of the network.
        stem: Its stem.
        epoch: Number of the epoch, from 1.
        learning_rate: Rate in the epoch, to six decimals.
        train_top1: Top-1 accuracy on the augmented training images, 0 to 1.
        train_top5: The same for top-5.
        val_top1: Top-1 accuracy on the validation images after the epoch.
        val_top5: The same for top-5.
        seconds: Time the epoch took.
    """

    model: str
    stem: str
    epoch: int
    learning_rate: float
    train_top1: float
    train_top5: float
    val_top1: float
    val_top5: float
    seconds: float

    @property
    def rank(self) -> tuple[float, ...]:
        """Sort key, larger for better epochs."""
        return (self.val_top1,)


def authors_curve(model: str, stem: str) -> tuple[AuthorsEpoch, ...]:
    """The epochs of the authors' training of a network; none if they published none.

    Args:
        model: Name of the network, as the zoo spells it.
        stem: ``"grouped"`` or ``"conv7x7"``.

    Example:
        >>> authors_curve("MeliusNet42", "grouped")[0].val_top1
        0.331002
    """
    return _curves().get((model, stem), ())


def authors_recipe(model: str, stem: str) -> Recipe:
    """The recipe behind ``authors_curve``.

    Raises:
        KeyError: If the authors published no curve of this network.
    """
    if not authors_curve(model, stem):
        raise KeyError(f"The authors published no curve of {model} with the {stem} stem.")
    return PRESETS[model if stem == "grouped" else f"{model}-{stem}"].recipe


@dataclass(frozen=True)
class Standing:
    """A run's newest epoch compared with the same epoch of the authors' training.

    Attributes:
        epoch: Number of the epoch.
        top1: The run's top-1 accuracy on the validation images, 0 to 1.
        authors_top1: The authors'.
        points: The run's minus the authors', in percentage points.
        on_track: Whether the run is at most ``TOLERANCE`` points below.
        other_settings: Fields of the recipe that differ from the authors' recipe: theirs and the run's.
    """

    epoch: int
    top1: float
    authors_top1: float
    points: float
    on_track: bool
    other_settings: dict[str, tuple[Any, Any]]


def reason_not_comparable(run: Run) -> str | None:
    """Why the run cannot be compared with the authors, in one sentence; ``None`` if it can."""
    recipe = run.recipe
    if recipe.dataset != DATASET:
        return f"The authors trained on {DATASET}, and this run on {recipe.dataset}."
    if recipe.quantization != "binary":
        return f"The authors' networks are binary, and this run has quantization={recipe.quantization}."
    if not authors_run(run):
        return f"The authors published no curve of {run.model} with the {run.stem} stem."
    return None


def authors_run(run: Run) -> tuple[AuthorsEpoch, ...]:
    """The authors' training of the run's network, whatever the run's own data set; none if they published none."""
    if run.recipe.architecture is not None or run.stem is None:
        return ()
    return authors_curve(run.model, run.stem)


def standing(run: Run) -> Standing | None:
    """Compares the run's newest epoch with the authors'; ``None`` if they have no such epoch."""
    newest = run.log[-1]
    curve = authors_run(run)
    if reason_not_comparable(run) is not None or newest.epoch > len(curve):
        return None
    theirs = curve[newest.epoch - 1].val_top1
    points = 100 * (newest.val_top1 - theirs)
    return Standing(newest.epoch, newest.val_top1, theirs, points, points >= -TOLERANCE, _other_settings(run, curve[0]))


def settings(run: Run) -> dict[str, Any]:
    """The recipe's fields, with the name and stem of the network that was trained."""
    return {**asdict(run.recipe), "model": run.model, "stem": run.stem}


def _other_settings(run: Run, authors: AuthorsEpoch) -> dict[str, tuple[Any, Any]]:
    recipe: Recipe = authors_recipe(authors.model, authors.stem)
    theirs = {**asdict(recipe), "stem": authors.stem}
    ours = settings(run)
    return {
        name: (theirs[name], ours[name]) for name in theirs if name not in _INCIDENTAL and theirs[name] != ours[name]
    }


@cache
def _curves() -> dict[tuple[str, str], tuple[AuthorsEpoch, ...]]:
    curves: dict[tuple[str, str], tuple[AuthorsEpoch, ...]] = {}
    text = files("larq_melius.zoo.runs").joinpath("authors_curves.csv").read_text("utf-8")
    for row in csv.DictReader(text.splitlines()):
        epoch = AuthorsEpoch(**{field.name: field.type(row[field.name]) for field in fields(AuthorsEpoch)})  # type: ignore[operator]
        key = (epoch.model, epoch.stem)
        curves[key] = (*curves.get(key, ()), epoch)
    return curves
