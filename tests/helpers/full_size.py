"""Full-size networks: a build takes seconds, so what tests ask about each is found out once a session."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

import larq_melius
from larq_melius import Operations

#: The ``once`` fixture.
Once = Callable[[str, Callable[[Path], object]], Path]


@dataclass(frozen=True)
class Facts:
    """What a built network tells of itself.

    Attributes:
        operations: What ``count_operations`` counts.
        params: What Keras' ``count_params`` does.
        trainable_params: Numbers in the trainable variables.
        feature_channels: Channels of the global average pooling.
        transitions: Filters and groups of each transition's convolution, by its name.
        kernels: Shapes of the convolutions' kernels: height, width, input channels of a group, filters.
    """

    operations: Operations
    params: int
    trainable_params: int
    feature_channels: int
    transitions: dict[str, tuple[int, int]]
    kernels: list[tuple[int, int, int, int]]


def full_size(once: Once, name: str, **options: Any) -> Facts:
    """Builds ``get_model(name, weights=None, **options)``, unless a test of this session has, and looks at it."""

    def build(folder: Path) -> None:
        model = larq_melius.get_model(name, weights=None, **options)
        facts = Facts(
            larq_melius.count_operations(model),
            model.count_params(),
            trainable_params(model),
            model.get_layer("avg_pool").output_shape[-1],
            {layer.name: (layer.filters, layer.groups) for layer in model.layers if _is_transition(layer)},
            [tuple(weights.shape) for weights in model.weights if len(weights.shape) == 4],
        )
        (folder / "facts.json").write_text(json.dumps(asdict(facts)))

    key = "-".join([name, *(f"{option}={value}" for option, value in sorted(options.items()))])
    facts = json.loads((once(key, build) / "facts.json").read_text())
    transitions = {layer: tuple(numbers) for layer, numbers in facts["transitions"].items()}
    kernels = [tuple(shape) for shape in facts["kernels"]]
    facts |= {"operations": Operations(**facts["operations"]), "transitions": transitions, "kernels": kernels}
    return Facts(**facts)


def trainable_params(model: tf.keras.Model) -> int:
    """Numbers in the trainable variables."""
    return int(sum(tf.size(variable).numpy() for variable in model.trainable_variables))


def _is_transition(layer: tf.keras.layers.Layer) -> bool:
    return layer.name.startswith("transition") and layer.name.endswith("_conv")
