"""The model card that goes with trained weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import tensorflow as tf

from larq_melius.analysis.operations import count_binary_convolutions, count_operations
from larq_melius.weights.records import WeightsRecord
from larq_melius.zoo.evaluation import DetailedEvaluation, Evaluation

#: Number of classes up to which the card has a table of them.
_FEW_CLASSES = 20


@dataclass(frozen=True)
class Provenance:
    """Where weights and their accuracy come from, in words.

    Attributes:
        trained_on: Data set and its split.
        source: How, or by whom, the weights were made; whom to credit.
        license: SPDX identifier.
        measured_by: Who measured the accuracy.
        recipe: The training in Markdown: hyperparameters, hardware, duration.
    """

    trained_on: str
    source: str
    license: str
    measured_by: str
    recipe: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "recipe" and not getattr(self, field.name).strip():
                raise ValueError(f"Say something about the weights' {field.name}: it is empty.")


@dataclass(frozen=True)
class ModelCard:
    """What a model card says.

    Attributes:
        record: The registry's entry of the weights with the classifier.
        model: The network.
        evaluations: Its accuracy on each data set or part of one, by what they are called. With up to 20 classes, the
            last one is also shown by class if it is a ``DetailedEvaluation``.
        provenance: Where the weights and their accuracy come from.
        files: The weight files.
        author: The program that writes the card.
        introduction: Markdown that comes first.
        evaluation_notes: Markdown on how the accuracy was measured.
        loading: Markdown on how to load the weights.
        limits: Markdown on what the network is not good for.
    """

    record: WeightsRecord
    model: tf.keras.Model
    evaluations: Mapping[str, Evaluation]
    provenance: Provenance
    files: Sequence[Path]
    author: str
    introduction: str = ""
    evaluation_notes: str = ""
    loading: str = ""
    limits: str = ""

    def to_markdown(self) -> str:
        """The card as Markdown."""
        record = self.record
        sections = (
            ("Network", self._network()),
            ("Accuracy", self._accuracy()),
            ("Training", self._training()),
            ("Images", self._images()),
            ("Files", self._files()),
            ("Loading", self.loading.strip()),
            ("Limits", self.limits.strip()),
            ("License and credit", f"{_sentence(self.provenance.license)} {_sentence(self.provenance.source)}"),
        )
        parts = [
            f"# {record.model}, weights `{record.tag}`",
            f"<!-- Written by {self.author} from what it was told and measured: do not edit. -->",
            self.introduction.strip(),
            *(f"## {heading}\n\n{text}" for heading, text in sections if text),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _network(self) -> str:
        record, counted = self.record, count_operations(self.model)
        return f"""The configuration is that of `{record.model}` in `larq_melius/models/configs.py`, with the
{record.stem} stem and the padding convention `{record.convention}`.

| | |
|---|---|
| image | {"x".join(map(str, record.input_shape))} |
| classes | {len(record.classes):,} |
| binary convolutions | {count_binary_convolutions(self.model)} |
| weights of 1 bit | {counted.binary_weights:,} |
| weights of 32 bits | {counted.float_weights:,} |
| channels of batch norm | {counted.batchnorm_channels:,} |
| operations as the paper counts them (without the classifier) | {counted.ops_without_classifier / 1e6:.2f} million |
| operations with the classifier | {counted.ops / 1e6:.2f} million |"""

    def _accuracy(self) -> str:
        rows = "\n".join(
            f"| {name} | {evaluation.images:,} | {evaluation.top1:.2%} | {_percent(evaluation.top5)} |"
            for name, evaluation in self.evaluations.items()
        )
        measured = f"Measured by {self.provenance.measured_by} on {_sentence(', '.join(self.evaluations))}"
        text = f"{measured}\n\n| data | images | top-1 | top-5 |\n|---|---|---|---|\n{rows}"
        name, last = list(self.evaluations.items())[-1]
        if isinstance(last, DetailedEvaluation) and len(last.classes) <= _FEW_CLASSES:
            text += f"""

By class, on {name}:

| class | {" | ".join(score.name for score in last.classes)} |
|---|{"---|" * len(last.classes)}
| images | {" | ".join(str(score.images) for score in last.classes)} |
| errors | {" | ".join(str(score.images - score.right) for score in last.classes)} |"""
        return f"{text}\n\n{self.evaluation_notes.strip()}".strip()

    def _training(self) -> str:
        recipe = self.provenance.recipe.strip() or "The recipe is not recorded."
        return f"Trained on {_sentence(self.provenance.trained_on)}\n\n{recipe}"

    def _images(self) -> str:
        preprocessing = self.record.preprocessing
        return f"""The center of an image is cropped, resized, and normalized per channel to (pixel - mean) / std.

| | |
|---|---|
| crop, relative to the short side | {preprocessing.crop_fraction:.4g} |
| interpolation | {preprocessing.interpolation} |
| mean, on the scale 0 to 255 | {_numbers(preprocessing.mean)} |
| std, on the scale 0 to 255 | {_numbers(preprocessing.std)} |"""

    def _files(self) -> str:
        rows = "\n".join(f"| `{file.name}` | {file.stat().st_size:,} |" for file in self.files)
        packed = (
            "An `.npz` file has one bit for each binary weight: enough to compute with, but training cannot continue "
            "from it."
        )
        return f"| file | bytes |\n|---|---|\n{rows}\n\n{packed}"


def _sentence(text: str) -> str:
    return f"{text.rstrip('. ')}."


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
