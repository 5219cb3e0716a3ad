"""``larq-melius summary``."""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from larq_melius.cli.completion import complete_networks_or_files
from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.network import network_options
from larq_melius.cli.output import json_option, print_columns, print_json

#: What users read for each fact. Facts that are not here are in the JSON only.
_HEADINGS = {
    "name": "network",
    "about": "about",
    "weights": "weights",
    "input_shape": "input",
    "output_shape": "output",
    "mean": "mean of the channels",
    "std": "standard deviation",
    "binary_convolutions": "binary convolutions",
    "binary_macs": "binary MACs",
    "float_macs": "32-bit MACs",
    "ops": "operations (binary MACs / 64 + 32-bit MACs)",
    "ops_without_classifier": "operations without the classifier, as in the paper",
    "params": "parameters",
    "binary_weights": "1-bit weights",
    "float_weights": "32-bit weights",
    "batchnorm_channels": "batch-norm channels",
    "size_mib": "size (MiB)",
    "paper_top1": "top-1 on ImageNet in the paper",
    "paper_top5": "top-5 on ImageNet in the paper",
    "weights_top1": "top-1 of these weights",
    "weights_top5": "top-5 of these weights",
    "bytes": "size (bytes)",
    "operators": "operators",
    "labels": "class names",
}
_PERCENT = ("paper_top1", "paper_top5", "weights_top1", "weights_top5")


@click.command()
@click.argument("model", shell_complete=complete_networks_or_files)
@network_options("labels")
@click.option("--blocks", is_flag=True, help="Print a table of the blocks, too.")
@click.option("--layers", is_flag=True, help="Print every layer, too.")
@json_option
def summary(model: str, blocks: bool, layers: bool, as_json: bool, **options: Any) -> None:
    """Count the operations, weights and size of MODEL: a network's name, or a saved Keras or .tflite file.

    A network is counted with random weights unless --weights says otherwise. MACs are multiply-accumulates.
    """
    is_tflite = Path(model).suffix == ".tflite"
    if is_tflite and (blocks or layers):
        raise click.UsageError("--blocks and --layers are for networks and Keras files.")
    keras_model = None
    with one_line_errors():
        if is_tflite:
            facts = _tflite_facts(Path(model))
        else:
            from larq_melius.models.safe_loading import is_saved_model
            from larq_melius.zoo.classifiers import RANDOM_WEIGHTS, load_network

            if options["weights"] is None and not is_saved_model(model):
                options["weights"] = RANDOM_WEIGHTS
            network = load_network(model, **options)
            keras_model = network.model
            facts = _keras_facts(network)
        counted = _count_blocks(keras_model) if blocks else []
    if as_json:
        print_json({**facts, **({"blocks": counted} if blocks else {})})
        return
    if layers and keras_model is not None:
        keras_model.summary(print_fn=click.echo)
    print_columns(
        [(heading, _text(key, facts[key])) for key, heading in _HEADINGS.items() if facts.get(key) is not None]
    )
    if blocks:
        click.echo()
        _print_blocks(counted)


def _keras_facts(network: Any) -> dict[str, Any]:
    from larq_melius.analysis.operations import count_binary_convolutions, count_operations
    from larq_melius.models.registry import find_variant

    model = network.model
    counted = count_operations(model)
    accuracy = _paper_accuracy(network)
    return {
        "name": model.name if network.variant is None else network.variant.name,
        "about": None if network.variant is None else find_variant(network.variant.name).summary,
        "weights": network.source,
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
        "paper_top1": accuracy.top1 if accuracy else None,
        "paper_top5": accuracy.top5 if accuracy else None,
        "weights_top1": network.record.top1 if network.record else None,
        "weights_top5": network.record.top5 if network.record else None,
    }


def _paper_accuracy(network: Any) -> Any:
    """The recipe with the paper's accuracy, if the network is one of the paper's at ImageNet's size."""
    from larq_melius.models.registry import find_variant
    from larq_melius.zoo.recipes import paper_accuracy

    if network.variant is None:
        return None
    config = find_variant(network.variant.name).config
    if network.model.input_shape[1:] != config.input_shape or network.model.output_shape[1:] != (config.classes,):
        return None
    return paper_accuracy(network.variant.name, network.variant.stem)


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


def _count_blocks(model: Any) -> list[dict[str, Any]]:
    from larq_melius.analysis.operations import count_blocks

    return [
        {
            "block": block.name,
            "output_shape": list(block.output_shape),
            "binary_macs": block.operations.binary_macs,
            "float_macs": block.operations.float_macs,
            "params": block.operations.params,
            "size_mib": block.operations.size_mib,
        }
        for block in count_blocks(model)
    ]


def _print_blocks(blocks: list[dict[str, Any]]) -> None:
    rows = [
        (
            block["block"],
            " x ".join(map(str, block["output_shape"])),
            *(f"{block[key]:,}" for key in ("binary_macs", "float_macs", "params")),
            f"{block['size_mib'] * 1024:,.1f}",
        )
        for block in blocks
    ]
    headers = ("BLOCK", "OUTPUT", "BINARY MACS", "32-BIT MACS", "PARAMETERS", "SIZE (KIB)")
    print_columns(rows, headers, ("left", "left", *["right"] * 4))


def _text(key: str, value: Any) -> str:
    if key == "weights" and value == "none":
        return "random"
    if key in _PERCENT:
        return f"{value:.1%}"
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    if isinstance(value, list):
        return " x ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    if key == "size_mib":
        return f"{value:.2f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)
