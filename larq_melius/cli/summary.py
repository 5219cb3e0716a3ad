"""``larq-melius summary``."""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.network import network_options
from larq_melius.cli.output import json_option, print_columns, print_json


@click.command()
@click.argument("model")
@network_options("labels")
@click.option("--layers", is_flag=True, help="Print every layer, too.")
@json_option
def summary(model: str, layers: bool, as_json: bool, **options: Any) -> None:
    """Count the operations, weights and size of MODEL: a network's name, or a saved Keras or .tflite file.

    A network is counted with random weights unless --weights says otherwise.
    """
    with one_line_errors():
        if Path(model).suffix == ".tflite":
            facts = _tflite_facts(Path(model))
            keras_model = None
        else:
            from larq_melius.models.safe_loading import is_saved_model
            from larq_melius.zoo.classifiers import RANDOM_WEIGHTS, load_network

            if options["weights"] is None and not is_saved_model(model):
                options["weights"] = RANDOM_WEIGHTS
            keras_model = load_network(model, **options).model
            facts = _keras_facts(keras_model)
    if as_json:
        print_json(facts)
        return
    if layers and keras_model is not None:
        keras_model.summary(print_fn=click.echo)
    print_columns([(key.replace("_", " "), _text(value)) for key, value in facts.items()])


def _keras_facts(model: Any) -> dict[str, Any]:
    from larq_melius.analysis.operations import count_binary_convolutions, count_operations

    counted = count_operations(model)
    return {
        "name": model.name,
        "input_shape": list(model.input_shape[1:]),
        "output_shape": list(model.output_shape[1:]),
        "binary_convolutions": count_binary_convolutions(model),
        "binary_macs": counted.binary_macs,
        "float_macs": counted.float_macs,
        "float_macs_without_classifier": counted.float_macs_without_classifier,
        "ops": counted.ops,
        "ops_without_classifier": counted.ops_without_classifier,
        "params": counted.params,
        "binary_weights": counted.binary_weights,
        "float_weights": counted.float_weights,
        "batchnorm_channels": counted.batchnorm_channels,
        "size_mib": counted.size_mib,
    }


def _tflite_facts(path: Path) -> dict[str, Any]:
    from larq_melius.converters import count_operators, read_metadata

    data = path.read_bytes()
    try:
        operators = count_operators(data)
        metadata = read_metadata(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}.") from error
    facts: dict[str, Any] = {"name": path.name, "bytes": len(data), "operators": _by_count(operators)}
    if metadata is not None:
        facts["name"] = metadata.name
        facts["input_shape"] = list(metadata.input_shape)
        facts["mean"] = list(metadata.preprocessing.mean)
        facts["std"] = list(metadata.preprocessing.std)
        facts["labels"] = len(metadata.labels)
    return facts


def _by_count(operators: Counter[str]) -> dict[str, int]:
    return dict(operators.most_common())


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    if isinstance(value, list):
        return " x ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    if isinstance(value, float):
        return f"{value:,.3f}" if value < 1e6 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
