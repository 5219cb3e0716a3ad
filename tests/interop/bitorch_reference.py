"""Runs a BITorch model with random weights and records everything that another implementation needs to repeat it.

Works only in an environment with BITorch 0.3.0 (see requirements.txt), and imports nothing of this project:

    python bitorch_reference.py MeliusNet22 reference.npz --stem conv7x7 --size 224

The file holds, all in float64 but for the counters: ``input`` (batch, height, width, channels), ``logits`` (batch,
classes), and under ``state/<name>`` each tensor of the model's state dict in PyTorch's own layout.
"""

import argparse
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch

# Imported by BITorch for its model hub and its debugging layers, of which nothing here is called.
for unused in ("matplotlib", "matplotlib.pyplot", "pandas", "torchvision", "torchvision.datasets.utils"):
    sys.modules.setdefault(unused, mock.MagicMock())

from bitorch.layers.config import config  # noqa: E402 - needs the stand-ins above
from bitorch.models import Model, densenet, meliusnet, resnet_e  # noqa: E402
from bitorch.models.common_layers import get_initial_layers  # noqa: E402

CLASSES = 1000
STEMS = ("conv7x7", "grouped", "thumbnail")


def build(name: str, stem: str, padding_value: float) -> Model:
    """A BITorch model with the stem, whose binary convolutions pad the signs with ``padding_value``."""
    network = next(getattr(module, name) for module in (meliusnet, densenet, resnet_e) if hasattr(module, name))
    # BITorch picks the stem by the size of the image, but the model then takes images of any size.
    shape = (1, 3, 224, 224) if stem == "conv7x7" else (1, 3, 32, 32)

    def initial_layers(resolution: object, channels: int, filters: int) -> list[torch.nn.Module]:
        return get_initial_layers("grouped_stem" if stem == "grouped" else resolution, channels, filters)

    with (
        mock.patch.object(config, "padding_value", padding_value),
        # The grouped stem is there, but no argument of the public classes leads to it.
        mock.patch.object(densenet, "get_initial_layers", initial_layers),
        mock.patch.object(resnet_e, "get_initial_layers", initial_layers),
    ):
        return network(shape, CLASSES).double().eval()


def randomize(model: Model, image: torch.Tensor, random: torch.Generator) -> None:
    """Gives every parameter and every statistic of the model a random value.

    The statistics start from those that the image leaves behind, so that no feature is lost in its offset and every
    sign depends on the image.
    """

    def uniform(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=random, dtype=like.dtype)

    def normal(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=random, dtype=like.dtype)

    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for parameter in model.parameters():
        parameter.copy_(normal(parameter))
    for norm in norms:
        norm.weight.copy_(uniform(norm.weight, 0.5, 1.5) * normal(norm.weight).sign())
        norm.bias.copy_(0.5 * normal(norm.bias))
        norm.momentum = 1.0
    model.train()(image)
    for norm in norms:
        norm.running_mean += 0.5 * normal(norm.running_mean) * norm.running_var.sqrt()
        # Variances down to the size of epsilon, so that a wrong epsilon shows; the scale makes up for them.
        factor = 10 ** uniform(norm.running_var, -6, 0.5)
        norm.running_var *= factor
        norm.weight *= factor.sqrt()
    model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="class name in BITorch, such as MeliusNet22 or ResnetE18")
    parser.add_argument("output", type=Path, help="the .npz file to write")
    parser.add_argument("--stem", choices=STEMS, default="conv7x7")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=2, help="number of images")
    parser.add_argument("--padding-value", type=float, default=-1.0, help="what binarized maps are padded with")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    random = torch.Generator().manual_seed(arguments.seed)
    shape = (arguments.batch, 3, arguments.size, arguments.size)
    image = torch.randn(shape, generator=random, dtype=torch.float64)
    model = build(arguments.model, arguments.stem, arguments.padding_value)
    with torch.no_grad():
        randomize(model, image, random)
        logits = model(image)
    state = {f"state/{name}": tensor.numpy() for name, tensor in model.state_dict().items()}
    np.savez(arguments.output, input=image.permute(0, 2, 3, 1).numpy(), logits=logits.numpy(), **state)


if __name__ == "__main__":
    main()
