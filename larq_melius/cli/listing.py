"""``larq-melius list``."""

from dataclasses import asdict
from typing import Any

import click

from larq_melius.cli.completion import complete_networks
from larq_melius.cli.errors import one_line_errors
from larq_melius.cli.output import json_option, print_columns, print_json


@click.command("list")
@click.argument("pattern", default="*", shell_complete=complete_networks)
@json_option
def list_(pattern: str, as_json: bool) -> None:
    """List the networks, or those whose name matches a PATTERN such as 'melius*'.

    OPERATIONS are the paper's: binary multiply-accumulates over 64 plus 32-bit ones, without the classifier. WEIGHTS
    are the trained ones that can be had, with their top-1 accuracy; where they are for another stem than the network's
    own, it is named.
    """
    with one_line_errors(tensorflow=False):
        from larq_melius.models import list_models

        names = list_models(pattern)
        if not names:
            raise ValueError(f"No network matches {pattern!r}: 'larq-melius list' prints all names.")
        networks = [_entry(name) for name in names]
    if as_json:
        print_json(networks)
        return
    rows = [
        (
            network["name"],
            network["stem"],
            f"{network['params'] / 1e6:.2f} M",
            f"{network['size_mib']:.2f}",
            f"{network['ops']:.2e}".replace("e+0", "e"),
            "-" if network["paper_top1"] is None else f"{network['paper_top1']:.1%}",
            ", ".join(_text(weights, network["stem"]) for weights in network["trained"]) or "none",
        )
        for network in networks
    ]
    headers = ("NETWORK", "STEM", "PARAMETERS", "SIZE (MIB)", "OPERATIONS", "TOP-1 IN PAPER", "WEIGHTS")
    print_columns(rows, headers, ("left", "left", *["right"] * 4, "left"))


def _entry(name: str) -> dict[str, Any]:
    from larq_melius.models.costs import COSTS
    from larq_melius.models.registry import VARIANTS
    from larq_melius.weights.records import list_records
    from larq_melius.weights.store import shipped_path
    from larq_melius.zoo.recipes import paper_accuracy

    variant = VARIANTS[name]
    records = [record for record in list_records() if record.model == name and record.include_top]
    accuracy = paper_accuracy(name, variant.stem)
    return {
        "name": name,
        "about": variant.summary,
        "stem": variant.stem,
        "input_shape": list(variant.input_shape),
        **asdict(COSTS[name]),
        "ops": COSTS[name].ops,
        "size_mib": COSTS[name].size_mib,
        "paper_top1": accuracy.top1 if accuracy else None,
        "paper_top5": accuracy.top5 if accuracy else None,
        "weights": list(dict.fromkeys(record.tag for record in records)),
        "trained": [
            {
                "tag": record.tag,
                "stem": record.stem,
                "top1": record.top1,
                "top5": record.top5,
                "measured_by": record.measured_by,
                "public": bool(record.urls) or shipped_path(record) is not None,
            }
            for record in records
        ],
    }


def _text(weights: dict[str, Any], stem: str) -> str:
    details = [
        *([] if weights["stem"] == stem else [f"{weights['stem']} stem"]),
        *([] if weights["public"] else ["on this machine"]),
        *([] if weights["top1"] is None else [f"{weights['top1']:.1%}"]),
    ]
    return f"{weights['tag']} ({', '.join(details)})" if details else str(weights["tag"])
