"""Takes a folder for a run, unless another run has it."""

import json
from dataclasses import asdict
from pathlib import Path

from larq_melius.files import write_atomically
from larq_melius.zoo.recipes.recipe import Recipe
from larq_melius.zoo.runs import files

# It changes neither the network nor the order of the images, so a run may go on with another.
_FREE = ("xla",)


def claim_folder(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """Makes the folder of a run and writes its recipe, or checks that they are there.

    Args:
        folder: The run's folder.
        recipe: The run's recipe.
        resume: Whether to go on with the run that the folder has.

    Raises:
        FileExistsError: If there is a run in the folder and ``resume`` is off.
        OSError: If the folder cannot be written.
        ValueError: If the folder's run has another recipe.
    """
    path = folder / files.RECIPE
    if path.exists():
        if not resume:
            raise FileExistsError(f"{folder} has a run in it: pass --resume to go on with it, or name another folder.")
        _check_same(folder, Recipe.from_json(path.read_text("utf-8")), recipe)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, recipe.to_json().encode())


def _check_same(folder: Path, earlier: Recipe, recipe: Recipe) -> None:
    old, new = (json.loads(json.dumps(asdict(each))) for each in (earlier, recipe))
    differing = [f"{name} ({old[name]}, not {new[name]})" for name in old if old[name] != new[name]]
    if differing := [text for text in differing if not text.startswith(_FREE)]:
        raise ValueError(f"The run in {folder} was started with another recipe: {', '.join(differing)}.")
