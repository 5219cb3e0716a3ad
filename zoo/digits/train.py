"""Trains the digits network and writes what the package ships of it.

Run it outside the repository's root: ``python -m larq_melius.zoo.digits.train``.
"""

import hashlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import tensorflow as tf

import larq_melius
from larq_melius.files import write_atomically
from larq_melius.reference_implementations import AUTHORS
from larq_melius.stems import Stem
from larq_melius.weights import WeightsRecord, save_packed
from larq_melius.zoo.classifiers import Classifier
from larq_melius.zoo.data import ImageDataset, load_data
from larq_melius.zoo.digits.card import write_card
from larq_melius.zoo.evaluation import DatasetEvaluation, evaluate
from larq_melius.zoo.recipes import Recipe, load_recipe
from larq_melius.zoo.runs import files
from larq_melius.zoo.training.trainer import train

MODEL = "MeliusNetTiny"
TAG = "digits"
STEM: Stem = "thumbnail"
WEIGHTS_FILE = "meliusnet_tiny_digits.npz"

_SOURCE = (
    "Trained by larq_melius.zoo.digits.train on 'Optical Recognition of Handwritten Digits' of the UCI Machine "
    "Learning Repository (E. Alpaydin and C. Kaynak, 1998; CC BY 4.0), in the copy of its test set that comes with "
    "scikit-learn."
)
# Sums come out differently rounded with another number of threads.
_THREADS = 2


@dataclass(frozen=True)
class Outputs:
    """The files that a training writes."""

    weights: Path
    registry: Path
    card: Path

    @classmethod
    def in_folder(cls, folder: Path) -> "Outputs":
        """All three in one folder, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder / WEIGHTS_FILE, folder / "registry.json", folder / "MODEL_CARD.md")

    @classmethod
    def in_repository(cls) -> "Outputs":
        """The package's own files.

        Raises:
            FileNotFoundError: If this module does not lie in a clone of the repository.
        """
        # An editable install reaches this module through a link.
        root = Path(__file__).resolve().parents[2]
        registry = root / "larq_melius/weights/registry.json"
        if not registry.exists():
            raise FileNotFoundError("This is no clone of the repository: give the folder to write to with --output.")
        return cls(root / "larq_melius/data" / WEIGHTS_FILE, registry, root / "zoo/digits/MODEL_CARD.md")


def _evaluate(model: tf.keras.Model, data: ImageDataset, split: str) -> DatasetEvaluation:
    classifier = Classifier(data.input_shape, data.preprocessing, data.classes, model.predict_on_batch)
    return evaluate(classifier, data, split)


def _record(weights: bytes, data: ImageDataset, test: DatasetEvaluation) -> WeightsRecord:
    return WeightsRecord(
        model=MODEL,
        tag=TAG,
        stem=STEM,
        convention=AUTHORS.name,
        file=WEIGHTS_FILE,
        sha256=hashlib.sha256(weights).hexdigest(),
        input_shape=data.input_shape,
        classes=data.classes,
        preprocessing=data.preprocessing,
        bytes=len(weights),
        top1=test.top1,
        top5=test.top5,
        measured_by="this project",
        trained_on=(
            f"scikit-learn's load_digits: {data.sizes['train']} images to train on, {data.sizes['validation']} for "
            f"validation and {data.sizes['test']} for the test, split by class with a fixed seed."
        ),
        source=_SOURCE,
        license="Apache-2.0",
    )


def _registry_with(record: WeightsRecord, registry: Path) -> str:
    """The registry's text with ``record`` in the place of an earlier one of the same network, tag and stem."""
    entries = json.loads(registry.read_text("utf-8")) if registry.exists() else []
    key = (record.model, record.tag, record.stem)
    keys = [(entry["model"], entry["tag"], entry["stem"]) for entry in entries]
    position = keys.index(key) if key in keys else len(entries)
    entries[position : position + 1] = [record.to_dict()]
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def run(recipe: Recipe, outputs: Outputs) -> WeightsRecord:
    """Trains, evaluates the packed weights, and writes all files once everything has worked.

    Args:
        recipe: The recipe of MeliusNetTiny, or one with fewer epochs.
        outputs: Where the files go.

    Returns:
        The new entry of the registry.

    Raises:
        ImportError: If scikit-learn is not installed.
        OSError: If a file cannot be written.
    """
    data = load_data("digits")
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        train(recipe, data, folder)
        minutes = (time.monotonic() - start) / 60
        trained = larq_melius.MeliusNetTiny(weights=Path(folder) / files.LAST)
        path = save_packed(trained, Path(folder) / WEIGHTS_FILE)
        weights = path.read_bytes()
        packed = larq_melius.MeliusNetTiny(weights=path)
    scores = {split: _evaluate(packed, data, split) for split in data.sizes}
    record = _record(weights, data, scores["test"])
    card = write_card(record, packed, recipe, scores, file_size=len(weights), minutes=minutes, threads=_THREADS)
    registry = _registry_with(record, outputs.registry)
    write_atomically(outputs.weights, weights)
    write_atomically(outputs.registry, registry.encode())
    write_atomically(outputs.card, card.encode())
    return record


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the weights, their registry entry and the model card.  [default: the repository's own files]",
)
@click.option("--epochs", type=click.IntRange(min=2), help="Epochs of a quick trial; needs --output.")
def main(output: Path | None, epochs: int | None) -> None:
    """Trains MeliusNetTiny on scikit-learn's handwritten digits."""
    if epochs is not None and output is None:
        raise click.UsageError("--epochs needs --output: the repository's own weights come from the whole recipe.")
    recipe = load_recipe(MODEL, settings=[] if epochs is None else [f"epochs={epochs}"])
    tf.config.threading.set_intra_op_parallelism_threads(_THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(_THREADS)
    try:
        outputs = Outputs.in_repository() if output is None else Outputs.in_folder(output)
        record = run(recipe, outputs)
    except (ImportError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Top-1 on the test: {record.top1:.2%}. Wrote {outputs.weights}, {outputs.registry} and {outputs.card}.")


if __name__ == "__main__":
    main()
