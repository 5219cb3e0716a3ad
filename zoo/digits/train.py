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
from larq_melius.zoo.classifiers import load_network
from larq_melius.zoo.data import ImageDataset, distortion, load_data
from larq_melius.zoo.evaluation import DetailedEvaluation, Evaluation, evaluate
from larq_melius.zoo.publishing.model_card import ModelCard, Provenance
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
# Rounding depends on the number of threads.
_THREADS = 2

_HYPERPARAMETERS = ("epochs", "batch_size", "learning_rate", "warmup_epochs", "label_smoothing", "seed")
_INTRODUCTION = """
A small MeliusNet that reads handwritten digits of 8x8 pixels. It ships with the package, so that everything can be
tried without a download or a data set.
"""
_EVALUATION_NOTES = """
Architecture and recipe were chosen on the validation part alone. The test part was only used for the finished network.
The scores are those of the weight file, loaded back.
"""
_LIMITS = """
- Only digits like those of the data set: centered, filling the image, **light strokes on black**. Invert dark strokes
  on paper first. Whatever else it is shown, it names a digit.
- All parts share the data set's 13 writers, since the data does not say who wrote what. Expect lower accuracy on the
  handwriting of others.
- The probabilities are less extreme than those of a network trained without label smoothing.
"""


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


def _record(weights: bytes, data: ImageDataset, test: Evaluation) -> WeightsRecord:
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


def _card(
    record: WeightsRecord,
    model: tf.keras.Model,
    recipe: Recipe,
    scores: dict[str, DetailedEvaluation],
    weights: Path,
    minutes: float,
) -> str:
    """The model card in Markdown.

    Args:
        record: The weights' entry of the registry.
        model: The network, with its weights.
        recipe: What it was trained with.
        scores: Accuracy by part: ``"train"``, ``"validation"`` and ``"test"``.
        weights: The weight file.
        minutes: Time the training took.
    """
    values = {name: getattr(recipe, name) for name in _HYPERPARAMETERS} | {
        "rotation": f"{distortion.DEGREES:g} degrees",
        "zoom of a side": f"{distortion.ZOOM:.0%}",
        "shear": f"{distortion.SHEAR:.0%}",
        "shift": f"{distortion.SHIFT:g} pixels",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in values.items())
    training = f"""The recipe is `{recipe.model}`: `larq-melius train {recipe.model}` trains such a network,
and `make digits` makes all files that are shipped. It took {minutes:.1f} minutes on {_THREADS} CPU threads:
Adam, a cosine to zero, cross-entropy, and random distortions of at most:

| hyperparameter | value |
|---|---|
{rows}

The same seed gives the same weights on the same kind of machine and version of TensorFlow;
elsewhere, rounding differs."""
    provenance = Provenance(record.trained_on, record.source, record.license, record.measured_by, training)
    return ModelCard(
        record=record,
        model=model,
        evaluations=scores,
        provenance=provenance,
        files=[weights],
        author="larq_melius.zoo.digits.train",
        introduction=_INTRODUCTION,
        evaluation_notes=_EVALUATION_NOTES,
        loading=f'`larq_melius.{record.model}(weights="{record.tag}")`',
        limits=_LIMITS,
    ).to_markdown()


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
        packed = load_network(MODEL, path, default_labels=data.classes, default_preprocessing=data.preprocessing)
        classifier = packed.classifier()
        scores = {split: evaluate(classifier, data, split) for split in data.sizes}
        record = _record(weights, data, scores["test"])
        card = _card(record, packed.model, recipe, scores, path, minutes)
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
