"""The model card of a release."""

from dataclasses import dataclass, fields
from pathlib import Path

import tensorflow as tf

from larq_melius.analysis.operations import count_binary_convolutions, count_operations
from larq_melius.weights.records import WeightsRecord
from larq_melius.zoo.publishing.evaluation_report import Evaluation


@dataclass(frozen=True)
class Provenance:
    """Where weights and their accuracy come from, in words.

    Attributes:
        trained_on: Data set and its split.
        source: How, or by whom, the weights were made; whom to credit.
        license: SPDX identifier.
        measured_by: Who measured the accuracy.
        recipe: The training in Markdown: hyper-parameters, hardware, duration.
    """

    trained_on: str
    source: str
    license: str
    measured_by: str
    recipe: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "recipe" and not getattr(self, field.name).strip():
                raise ValueError(f"Say something of the weights' {field.name}: it is empty.")


def write_card(
    record: WeightsRecord,
    model: tf.keras.Model,
    evaluation: Evaluation,
    provenance: Provenance,
    files: list[Path],
    latent: Path | None,
) -> str:
    """Writes the card.

    Args:
        record: The entry of the weights with the classifier.
        model: The network.
        evaluation: Its accuracy.
        provenance: Where the weights and their accuracy come from.
        files: The weight files.
        latent: The one of them that holds the latent weights.

    Returns:
        The card in Markdown.
    """
    operations = count_operations(model)
    return f"""# {record.model}, weights `{record.tag}`

<!-- Written by larq-melius weights publish from what it was told and measured. -->

## Network

The configuration is that of `{record.model}` in `larq_melius/models/variants.py`, with the {record.stem} stem and the
padding convention `{record.convention}`.

| | |
|---|---|
| image | {"x".join(map(str, record.input_shape))} |
| classes | {len(record.classes):,} |
| binary convolutions | {count_binary_convolutions(model)} |
| weights of 1 bit | {operations.binary_weights:,} |
| weights of 32 bits | {operations.float_weights:,} |
| channels of batch norm | {operations.batchnorm_channels:,} |
| operations as the paper counts them (without the classifier) | {operations.ops_without_classifier / 1e6:.2f} million |
| operations with the classifier | {operations.ops / 1e6:.2f} million |

## Accuracy

Measured by {provenance.measured_by} on {evaluation.data}.

| images | top-1 | top-5 |
|---|---|---|
| {evaluation.images:,} | {evaluation.top1:.2%} | {"-" if evaluation.top5 is None else f"{evaluation.top5:.2%}"} |

## Training

Trained on {provenance.trained_on.rstrip(". ")}.

{provenance.recipe.strip() or "The recipe is not recorded."}

## Images

The central part of an image is kept, resized, and normalized per channel to (pixel - mean) / std.

| | |
|---|---|
| central part, of the short side | {record.preprocessing.crop_fraction:.4g} |
| interpolation | {record.preprocessing.interpolation} |
| mean, on the scale 0 to 255 | {_numbers(record.preprocessing.mean)} |
| std, on the scale 0 to 255 | {_numbers(record.preprocessing.std)} |

## Files

| file | bytes |
|---|---|
{_file_rows(files)}

`sha256sum -c SHA256SUMS` checks them. An `.npz` file has one bit for each binary weight: enough to compute with, but
training cannot go on from it{f", as it can from `{latent.name}`" if latent else ""}.

## Loading

```python
import larq_melius as lm

{_call(record)}
```

With the entries of `registry.json` in the registry, it is `lm.{record.model}(weights="{record.tag}")`, plus the stem
and the classes where they are not the network's usual ones. To try that before the package knows the entries, put
`registry.json` in an empty folder, name that folder in `LARQ_MELIUS_HOME`, and this one in `LARQ_MELIUS_MIRROR`.

## License and credit

{provenance.license}. {provenance.source.rstrip(". ")}.
"""


def _call(record: WeightsRecord) -> str:
    arguments = [
        f'weights="{record.file}"',
        f'stem="{record.stem}"',
        f'convention="{record.convention}"',
        f"classes={len(record.classes)}",
        f"input_shape={record.input_shape}",
    ]
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return f"model = lm.{record.model}(\n{lines})"


def _file_rows(files: list[Path]) -> str:
    return "\n".join(f"| `{file.name}` | {file.stat().st_size:,} |" for file in files)


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
