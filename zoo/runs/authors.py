"""The accuracy of the authors' own trainings, epoch by epoch, from their public experiment logs.

The paper points to these logs in its supplementary A. They cover ImageNet at 224 pixels, and the authors' hardware: the
times are theirs.
"""

import csv
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files

from larq_melius.zoo.recipes import PRESETS, Recipe

#: What the authors trained on, by its name in recipes.
DATASET = "imagenet2012"


@dataclass(frozen=True)
class AuthorsEpoch:
    """One epoch of a training by the authors.

    Attributes:
        model: Name of the network.
        stem: Its stem.
        epoch: Number of the epoch, from 1.
        learning_rate: Rate in the epoch, to six decimals.
        train_top1: Share of right answers on the augmented training images.
        train_top5: The same among the five best.
        val_top1: Share of right answers on the validation images after the epoch.
        val_top5: The same among the five best.
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
        """What is larger for the better of two epochs."""
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


@cache
def _curves() -> dict[tuple[str, str], tuple[AuthorsEpoch, ...]]:
    curves: dict[tuple[str, str], tuple[AuthorsEpoch, ...]] = {}
    text = files("larq_melius.zoo.runs").joinpath("authors_curves.csv").read_text("utf-8")
    for row in csv.DictReader(text.splitlines()):
        epoch = AuthorsEpoch(**{field.name: field.type(row[field.name]) for field in fields(AuthorsEpoch)})  # type: ignore[operator]
        key = (epoch.model, epoch.stem)
        curves[key] = (*curves.get(key, ()), epoch)
    return curves
