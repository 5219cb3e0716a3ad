"""Looks up what ``weights=`` names, without TensorFlow."""

import os
from pathlib import Path

from larq_melius.weights.records import WeightsRecord, find_record, list_records


def check_weights(
    weights: str | os.PathLike[str] | None, model: str | None, stem: str, *, include_top: bool = True
) -> WeightsRecord | None:
    """Looks up what ``weights=`` names, before anything is built.

    Args:
        weights: ``None``, a tag such as ``"imagenet"``, or the path of a file.
        model: Name of the network, or ``None`` if it is no network of the zoo.
        stem: The network's stem.
        include_top: Whether the weights of the classifier are needed.

    Returns:
        The record of a tag; ``None`` for a file or no weights at all.

    Raises:
        ValueError: If it is neither a known tag nor a file.
    """
    if weights is None:
        return None
    record = find_record(model, str(weights), stem, include_top=include_top)
    if record is None and not Path(weights).is_file():
        raise ValueError(_unavailable(str(weights), model, stem))
    return record


def _unavailable(weights: str, model: str | None, stem: str) -> str:
    if os.sep in weights or "." in weights:
        return f"There is no weight file {weights}."
    records = [record for record in list_records() if record.include_top]
    stems = [record.stem for record in records if (record.model, record.tag) == (model, weights)]
    if stems:
        return (
            f"{model} has {weights!r} weights with the {' and the '.join(stems)} stem only, not with the {stem} one: "
            f"pass stem={stems[0]!r} (--stem {stems[0]})."
        )
    if (model, weights, stem) in {(record.model, record.tag, record.stem) for record in list_records()}:
        return (
            f"The {weights!r} weights of {model} are without the classifier: pass include_top=False (--no-top), or "
            "weights=None."
        )
    missing = f"There are no {weights!r} weights for {model or 'a network of your own'}."
    instead = "Pass weights=None (--weights none) to start from random weights, or the path of a file."
    return f"{missing} {instead}" + (_available(model, weights) if model else "")


def _available(model: str, tag: str) -> str:
    """What there is in the place of weights that there are not: others of the network, or networks with the tag."""
    records = [record for record in list_records() if record.include_top]
    if tags := sorted({record.tag for record in records if record.model == model}):
        return f" {model} has {', '.join(map(repr, tags))} weights."
    stems = sorted({(record.model, record.stem) for record in records if record.tag == tag})
    networks = [name if stem == "grouped" else f"{name} (stem={stem!r})" for name, stem in stems]
    return f" Networks with {tag!r} weights: {', '.join(networks)}." if networks else ""
