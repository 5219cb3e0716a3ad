"""Reads the folders of trainings."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from larq_melius.zoo.recipes import Recipe
from larq_melius.zoo.runs import files
from larq_melius.zoo.runs.log import EpochLog, LayerFlips, Row, read_rows


@dataclass(frozen=True)
class Run:
    """A training, finished or running.

    Attributes:
        path: Its folder.
        name: The folder's name.
        recipe: How it trains.
        log: Its finished epochs, in order.
        flips: Sign flips of the counted layers, ordered by epoch, then by layer; may be empty.
    """

    path: Path
    name: str
    recipe: Recipe
    log: tuple[EpochLog, ...]
    flips: tuple[LayerFlips, ...] = ()

    @property
    def model(self) -> str:
        """Name of the network, as the zoo spells it once an epoch is finished."""
        return self.log[0].model if self.log else self.recipe.model

    @property
    def stem(self) -> str | None:
        """Stem of the network; ``None`` while it is neither in the recipe nor in the log."""
        return self.log[0].stem if self.log else self.recipe.stem

    @property
    def best(self) -> EpochLog:
        """The epoch with the best validation accuracy, whose weights the run keeps."""
        return max(self.log, key=lambda row: row.rank)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose flips are counted, in the order of the network."""
        return tuple(dict.fromkeys(row.layer for row in self.flips))


def load_run(folder: str | os.PathLike[str], *, empty: bool = False) -> Run:
    """Reads the folder of a run, which may still be running.

    Args:
        folder: The folder.
        empty: Whether to accept a run without a finished epoch.

    Raises:
        FileNotFoundError: If there is no such folder.
        OSError: If a file cannot be read.
        ValueError: If it is not the folder of a run, a file in it is damaged, or no epoch is finished yet.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"There is no folder {path}: name one that 'larq-melius train' made.")
    if not (path / files.RECIPE).is_file():
        raise ValueError(
            f"{path} is not the folder of a run, as it has no {files.RECIPE}: name one that 'larq-melius train' made."
        )
    try:
        recipe = Recipe.from_json((path / files.RECIPE).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path / files.RECIPE} is damaged: {error}") from error
    log = _read(path / files.LOG, EpochLog)
    _check(path / files.LOG, log)
    if not log and not empty:
        raise ValueError(f"The run in {path} has finished no epoch yet: try again later.")
    return Run(path, path.resolve().name, recipe, log, _read(path / files.FLIPS, LayerFlips))


def find_runs(folder: str | os.PathLike[str]) -> list[Path]:
    """Finds the folders of runs in a folder, at any depth, including the folder itself.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"There is no folder {path}: name one that has runs in it.")
    return sorted(recipe.parent for recipe in path.rglob(files.RECIPE))


def short_names(runs: Sequence[Run]) -> list[str]:
    """Returns a unique name for each run: its folder's, with as many parent folders as necessary.

    Raises:
        ValueError: If a run is named twice.
    """
    parts = [run.path.resolve().parts for run in runs]
    for index, run in enumerate(runs):
        if parts[index] in parts[:index]:
            raise ValueError(f"The run in {run.path} is named twice: name each run once.")
    names = [_shortest(own, [other for other in parts if other != own]) for own in parts]
    return [str(Path(*name)) for name in names]


def _shortest(own: tuple[str, ...], others: list[tuple[str, ...]]) -> tuple[str, ...]:
    for count in range(1, len(own)):
        if all(other[-count:] != own[-count:] for other in others):
            return own[-count:]
    return own


def _read(path: Path, kind: type[Row]) -> tuple[Row, ...]:
    """Reads the rows of a log; none if the run has not written it yet."""
    if not path.exists():
        return ()
    try:
        return tuple(read_rows(path, kind))
    except ValueError as error:
        raise ValueError(f"{error} {_REMEDY}") from error


def _check(path: Path, log: Sequence[EpochLog]) -> None:
    """Raises ``ValueError`` for missing rows and values out of range, which parsing does not notice."""
    for number, row in enumerate(log, 1):
        if row.epoch != number:
            raise ValueError(f"{path} is damaged: row {number} is epoch {row.epoch}. {_REMEDY}")
        for name in ("train_top1", "train_top5", "val_top1", "val_top5"):
            if not 0 <= getattr(row, name) <= 1:
                raise ValueError(
                    f"{path} is damaged: {name} of epoch {number} is {getattr(row, name)}, not 0 to 1. {_REMEDY}"
                )


_REMEDY = "'larq-melius train' with --resume writes it again from the run's checkpoint."
