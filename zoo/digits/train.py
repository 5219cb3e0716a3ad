"""Trains the digits network and writes what the package ships of it.

Run it outside the repository's root: ``python -m larq_melius.zoo.digits.train``.
"""

import hashlib
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import tensorflow as tf

import larq_melius
from larq_melius.conventions import AUTHORS
from larq_melius.files import write_atomically
from larq_melius.preprocessing import Preprocessing
from larq_melius.weights import WeightsRecord, list_records, save_packed
from larq_melius.zoo.digits.augmentation import distort
from larq_melius.zoo.digits.card import Score, write_card
from larq_melius.zoo.digits.data import CLASSES, DigitsSplit, Part, digits_preprocessing, load_digits_split
from larq_melius.zoo.digits.recipe import Recipe

MODEL = "MeliusNetTiny"
TAG = "digits"
STEM = "thumbnail"
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


def train(split: DigitsSplit, preprocessing: Preprocessing, recipe: Recipe) -> tf.keras.Model:
    """Trains the network on the training part, and shows its progress.

    Raises:
        ValueError: If a batch is larger than the training part.
    """
    tf.keras.utils.set_random_seed(recipe.seed)
    model = larq_melius.MeliusNetTiny(weights=None)
    steps = len(split.train.labels) // recipe.batch_size
    if not steps:
        raise ValueError(f"batch_size must be at most {len(split.train.labels)}, got {recipe.batch_size}.")
    model.compile(
        optimizer=tf.keras.optimizers.Adam(_learning_rate(recipe, recipe.epochs * steps)),
        loss=tf.keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
    )
    batches = _batches(split.train, preprocessing, recipe)
    model.fit(batches, epochs=recipe.epochs, steps_per_epoch=steps)
    return model


def evaluate(model: tf.keras.Model, preprocessing: Preprocessing, part: Part) -> Score:
    """Classifies one part of the data set."""
    probabilities = model.predict(preprocessing.normalize(part.images), batch_size=256, verbose=0)
    return Score.of(part.labels, probabilities.argmax(axis=1), len(CLASSES))


def _learning_rate(recipe: Recipe, steps: int) -> tf.keras.optimizers.schedules.LearningRateSchedule:
    warm_up = max(1, round(steps * recipe.warm_up))
    return tf.keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, steps - warm_up),
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )


def _batches(part: Part, preprocessing: Preprocessing, recipe: Recipe) -> tf.data.Dataset:
    """Endless batches of distorted, normalized images and one-hot labels, each step with random numbers of its own."""
    batches = (
        tf.data.Dataset.from_tensor_slices(tuple(part))
        .shuffle(len(part.labels), seed=recipe.seed)
        .repeat()
        .batch(recipe.batch_size, drop_remainder=True)
    )

    def prepare(step: Any, batch: tuple[Any, Any]) -> tuple[Any, Any]:
        images, labels = batch
        distorted = distort(images, tf.stack([tf.constant(recipe.seed, tf.int64), step]), recipe)
        return preprocessing.normalize(distorted), tf.one_hot(labels, len(CLASSES))

    return batches.enumerate().map(prepare).prefetch(2)


def _record(weights: bytes, preprocessing: Preprocessing, split: DigitsSplit, top1: float) -> WeightsRecord:
    sizes = {name: len(part.labels) for name, part in vars(split).items()}
    return WeightsRecord(
        model=MODEL,
        tag=TAG,
        stem=STEM,
        convention=AUTHORS.name,
        file=WEIGHTS_FILE,
        sha256=hashlib.sha256(weights).hexdigest(),
        input_shape=(8, 8, 1),
        classes=CLASSES,
        preprocessing=preprocessing,
        top1=top1,
        trained_on=(
            f"scikit-learn's load_digits: {sizes['train']} images to train on, {sizes['validation']} for validation "
            f"and {sizes['test']} for the test, split by class with a fixed seed."
        ),
        source=_SOURCE,
        licence="Apache-2.0",
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

    Returns:
        The new entry of the registry.

    Raises:
        ImportError: If scikit-learn is not installed.
        OSError: If a file cannot be written.
    """
    split = load_digits_split()
    preprocessing = digits_preprocessing(split.train)
    start = time.monotonic()
    model = train(split, preprocessing, recipe)
    minutes = (time.monotonic() - start) / 60
    with tempfile.TemporaryDirectory() as folder:
        path = save_packed(model, Path(folder) / WEIGHTS_FILE)
        weights = path.read_bytes()
        packed = larq_melius.MeliusNetTiny(weights=path)
    scores = {name: evaluate(packed, preprocessing, part) for name, part in vars(split).items()}
    record = _record(weights, preprocessing, split, scores["test"].top1)
    card = write_card(record, packed, recipe, scores, file_size=len(weights), minutes=minutes, threads=_THREADS)
    registry = _registry_with(record, outputs.registry)
    write_atomically(outputs.weights, weights)
    write_atomically(outputs.registry, registry.encode())
    write_atomically(outputs.card, card.encode())
    return record


def check_shipped(record: WeightsRecord) -> None:
    """Evaluates ``weights="digits"`` as users get it.

    Raises:
        FileNotFoundError: If the installed package does not have the file yet.
        ValueError: If it does not score what ``record`` says.
    """
    if record not in list_records():
        raise ValueError("The installed package has another registry than the repository: install it again.")
    score = evaluate(larq_melius.MeliusNetTiny(weights=TAG), record.preprocessing, load_digits_split().test)
    if score.top1 != record.top1:
        raise ValueError(f"weights={TAG!r} scores {score.top1:.2%} on the test, and not {record.top1:.2%}.")


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the weights, their registry entry and the model card.  [default: the repository's own files]",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of a quick trial; needs --output.")
def main(output: Path | None, epochs: int | None) -> None:
    """Trains MeliusNetTiny on scikit-learn's handwritten digits."""
    if epochs is not None and output is None:
        raise click.UsageError("--epochs needs --output: the repository's own weights come from the whole recipe.")
    recipe = Recipe() if epochs is None else replace(Recipe(), epochs=epochs)
    tf.config.threading.set_intra_op_parallelism_threads(_THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(_THREADS)
    try:
        outputs = Outputs.in_repository() if output is None else Outputs.in_folder(output)
        record = run(recipe, outputs)
        if output is None:
            check_shipped(record)
    except (ImportError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Top-1 on the test: {record.top1:.2%}. Wrote {outputs.weights}, {outputs.registry} and {outputs.card}.")


if __name__ == "__main__":
    main()
