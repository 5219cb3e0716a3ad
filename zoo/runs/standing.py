"""Where a run stands beside the authors' training of the same network."""

from dataclasses import asdict, dataclass
from typing import Any

from larq_melius.zoo.recipes import Recipe
from larq_melius.zoo.runs.authors import DATASET, AuthorsEpoch, authors_curve, authors_recipe
from larq_melius.zoo.runs.folder import Run

# In the authors' curves an epoch strays from its neighbors' mean with a standard deviation of 0.4 points in the first
# ten epochs, and 0.1 to 0.2 later: two trainings of equal worth rarely differ by more than a point at the same epoch.
TOLERANCE = 1.0

# What decides how the work is done, and not what is learned but for chance.
_INCIDENTAL = ("xla", "flips", "shard_by", "seed")


@dataclass(frozen=True)
class Standing:
    """A run's newest epoch and the same epoch of the authors.

    Attributes:
        epoch: Number of the epoch.
        top1: The run's top-1 accuracy on the validation images, 0 to 1.
        authors_top1: The authors'.
        points: The run's less the authors', in percentage points.
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
    """Why there is no curve of the authors to hold the run against, in a sentence; ``None`` if there is one."""
    recipe = run.recipe
    if recipe.dataset != DATASET:
        return f"The authors' curves are of {DATASET}, this run is on {recipe.dataset}."
    if recipe.quantization != "binary":
        return f"The authors' networks are binary, this run has quantization={recipe.quantization}."
    if not authors_run(run):
        return f"The authors published no curve of {run.model} with the {run.stem} stem."
    return None


def authors_run(run: Run) -> tuple[AuthorsEpoch, ...]:
    """The authors' training of the run's network, whatever the run's own data set; none if they published none."""
    if run.recipe.architecture is not None or run.stem is None:
        return ()
    return authors_curve(run.model, run.stem)


def standing(run: Run) -> Standing | None:
    """The run beside the authors' at its newest epoch; ``None`` if they cannot be compared there."""
    newest = run.log[-1]
    curve = authors_run(run)
    if reason_not_comparable(run) is not None or newest.epoch > len(curve):
        return None
    theirs = curve[newest.epoch - 1].val_top1
    points = 100 * (newest.val_top1 - theirs)
    return Standing(newest.epoch, newest.val_top1, theirs, points, points >= -TOLERANCE, _other_settings(run, curve[0]))


def settings(run: Run) -> dict[str, Any]:
    """The recipe's fields, with the network and stem that it came to."""
    return {**asdict(run.recipe), "model": run.model, "stem": run.stem}


def _other_settings(run: Run, authors: AuthorsEpoch) -> dict[str, tuple[Any, Any]]:
    recipe: Recipe = authors_recipe(authors.model, authors.stem)
    theirs = {**asdict(recipe), "stem": authors.stem}
    ours = settings(run)
    return {
        name: (theirs[name], ours[name]) for name in theirs if name not in _INCIDENTAL and theirs[name] != ours[name]
    }
