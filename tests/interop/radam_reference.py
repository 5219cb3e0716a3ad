"""Records what ``torch.optim.RAdam`` does to a few weights in float64, step by step.

Works only in an environment with PyTorch (see requirements-bitorch.txt), and imports nothing of this project:

    python radam_reference.py ../data/radam.json

The file holds ``start``, the first weights; ``gradients``, a row a step; and ``cases``, each with its hyper-parameters,
a learning rate a step, and ``weights``, a row a step: the weights after it.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Weights that start at zero show their movement in all digits, the others what weight decay does.
START = [0.0, 1.0, 0.0, -0.5, 0.0, 2.0]
# Gradients around both epsilons, ordinary, huge, and none at all.
SCALES = [1.0, 1.0, 1e-6, 1e-2, 1e3, 0.0]


def cases(steps: int) -> dict[str, dict[str, Any]]:
    """Hyper-parameters by name. The step is first rectified after 5 updates, but for the two last cases."""
    authors = {"beta_1": 0.95, "beta_2": 0.999, "epsilon": 1e-5, "weight_decay": 0.0, "rates": [0.002] * steps}
    torch_defaults = authors | {"beta_1": 0.9, "epsilon": 1e-8, "rates": [0.001] * steps}
    warmup = [0.01 * min(step / 4, 1) * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)]
    return {
        "authors": authors,
        "torch_defaults": torch_defaults,
        "weight_decay": authors | {"weight_decay": 0.125},
        "torch_weight_decay": torch_defaults | {"weight_decay": 0.015625},
        "changing_rate": authors | {"rates": warmup},
        "changing_rate_weight_decay": authors | {"rates": warmup, "weight_decay": 0.125},
        "large_epsilon": authors | {"epsilon": 0.1},
        "late": authors | {"beta_2": 0.7},
        "never": authors | {"beta_1": 0.0, "beta_2": 0.6},
    }


def train(gradients: list[list[float]], case: dict[str, Any]) -> list[list[float]]:
    """The weights after each step."""
    weights = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = torch.optim.RAdam(
        [weights],
        betas=(case["beta_1"], case["beta_2"]),
        eps=case["epsilon"],
        weight_decay=case["weight_decay"],
        decoupled_weight_decay=True,
    )
    rows = []
    for gradient, rate in zip(gradients, case["rates"], strict=True):
        optimizer.param_groups[0]["lr"] = rate
        weights.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        rows.append(weights.tolist())
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the .json file to write")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    values = np.random.default_rng(arguments.seed).normal(size=(arguments.steps, len(START))) * SCALES
    gradients = [[float(f"{value:.3g}") for value in row] for row in values]
    recorded = {name: case | {"weights": train(gradients, case)} for name, case in cases(arguments.steps).items()}
    # A line for each row of numbers.
    text = json.dumps({"start": START, "gradients": gradients, "cases": recorded})
    arguments.output.write_text(text.replace("], [", "],\n[").replace('}, "', '},\n"') + "\n", "utf-8")


if __name__ == "__main__":
    main()
