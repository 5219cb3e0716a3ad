"""What the shell completes: names of networks, recipes, studies, data sets and weights, without TensorFlow."""

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

_Items = Iterable[str | tuple[str, str]]
Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completion(items: Callable[[], _Items], *, or_file: bool = False) -> Completion:
    """What click's ``shell_complete`` takes.

    Args:
        items: Gives the words, alone or each with its description.
        or_file: Whether files are completed where no word fits.
    """

    def complete(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
        pairs = (item if isinstance(item, tuple) else (item, "") for item in items())
        found = [
            CompletionItem(word, help=about or None) for word, about in pairs if word.lower().startswith(start.lower())
        ]
        return found or ([CompletionItem(start, type="file")] if or_file else [])

    return complete


def _networks() -> _Items:
    from larq_melius.models.registry import VARIANTS

    return [(name, variant.summary) for name, variant in VARIANTS.items()]


def _recipes() -> _Items:
    from larq_melius.zoo.recipes import PRESETS

    return [(name, preset.summary) for name, preset in PRESETS.items()]


def _studies() -> _Items:
    from larq_melius.zoo.ablations import ABLATIONS

    return [(name, study.summary) for name, study in ABLATIONS.items()]


def _datasets() -> _Items:
    from larq_melius.zoo.recipes import DATASETS

    return DATASETS.items()


def _tags() -> _Items:
    from larq_melius.weights import list_records

    return sorted({record.tag for record in list_records()})


complete_networks = _completion(_networks)
complete_networks_or_files = _completion(_networks, or_file=True)
complete_recipes = _completion(_recipes, or_file=True)
complete_studies = _completion(_studies)
complete_datasets = _completion(_datasets)
complete_tags = _completion(_tags)
complete_tags_or_files = _completion(_tags, or_file=True)
