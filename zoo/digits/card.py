"""The model card of the digits network, from measured numbers."""

import larq as lq
import tensorflow as tf

from larq_melius import count_operations
from larq_melius.weights import WeightsRecord
from larq_melius.zoo.data import distortion
from larq_melius.zoo.evaluation import DatasetEvaluation
from larq_melius.zoo.recipes import Recipe

_HYPERPARAMETERS = ("epochs", "batch_size", "learning_rate", "warmup_epochs", "label_smoothing", "seed")


def write_card(
    record: WeightsRecord,
    model: tf.keras.Model,
    recipe: Recipe,
    scores: dict[str, DatasetEvaluation],
    *,
    file_size: int,
    minutes: float,
    threads: int,
) -> str:
    """Writes the card.

    Args:
        record: The weights' entry of the registry.
        model: The network, with its weights.
        recipe: What it was trained with.
        scores: Scores by part: ``"train"``, ``"validation"`` and ``"test"``.
        file_size: Size of the weight file in bytes.
        minutes: Time the training took.
        threads: Threads TensorFlow had.

    Returns:
        The card in Markdown.
    """
    operations = count_operations(model)
    binary = sum(isinstance(layer, lq.layers.QuantConv2D) for layer in model.layers)
    test = scores["test"]
    return f"""# {record.model}, weights `{record.tag}`

<!-- Written by larq_melius.zoo.digits.train from what it measured: do not edit. -->

A small MeliusNet that reads handwritten digits of 8x8 pixels. It ships with the package, so that everything can be
tried without a download or a data set: `larq_melius.{record.model}(weights="{record.tag}")`.

## Network

Section 3 of the MeliusNet paper with the {record.stem} stem; the configuration is that of `{record.model}` in
`larq_melius/models/variants.py`.

| | |
|---|---|
| image | {"x".join(map(str, record.input_shape))} |
| binary 3x3 convolutions | {binary} |
| weights of 1 bit | {operations.binary_weights:,} |
| weights of 32 bits | {operations.float_weights:,} |
| channels of batch norm | {operations.batchnorm_channels:,} |
| operations, counted as in the paper, and with the classifier | {operations.ops / 1e6:.2f} million |
| weight file `{record.file}` | {file_size:,} bytes |

## Data

{record.trained_on}

| part | images | errors | top-1 |
|---|---|---|---|
{_score_rows(scores)}

Architecture and recipe were chosen on the validation part alone. The test part is for the finished network: it
took no part in any choice. The scores are those of the weight file, loaded back.

Test images and errors by class:

| class | {" | ".join(record.classes)} |
|---|{"---|" * len(record.classes)}
| images | {" | ".join(str(score.images) for score in test.classes)} |
| errors | {" | ".join(str(score.images - score.right) for score in test.classes)} |

## Training

The recipe is `{recipe.model}`: `larq-melius train {recipe.model}` trains such a network, and `make digits` makes all
that is shipped of it. This time it took {minutes:.1f} minutes on {threads} CPU threads. Adam, a cosine to zero,
cross-entropy, and random distortions of at most so much:

| hyper-parameter | value |
|---|---|
{_recipe_rows(recipe)}

The same seed gives the same weights on the same kind of machine and version of TensorFlow; elsewhere rounding differs.

## Limits

- Only digits like those of the data set: centered, filling the image, **light strokes on black**. Invert dark strokes
  on paper first. Whatever else it is shown, it names a digit.
- All parts share the data set's 13 writers, since it does not tell who wrote what. Expect less of a new hand.
- The probabilities are less extreme than those of a network trained without label smoothing.

## License and credit

Weights: {record.license}. {record.source}
"""


def _score_rows(scores: dict[str, DatasetEvaluation]) -> str:
    return "\n".join(
        f"| {part} | {score.images} | {sum(one.images - one.right for one in score.classes)} | {score.top1:.2%} |"
        for part, score in scores.items()
    )


def _recipe_rows(recipe: Recipe) -> str:
    values = {name: getattr(recipe, name) for name in _HYPERPARAMETERS}
    values |= {
        "rotation": f"{distortion.DEGREES:g} degrees",
        "zoom of a side": f"{distortion.ZOOM:.0%}",
        "shear": f"{distortion.SHEAR:.0%}",
        "shift": f"{distortion.SHIFT:g} pixels",
    }
    return "\n".join(f"| {name} | {value} |" for name, value in values.items())
