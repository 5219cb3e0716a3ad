"""Runs a BITorch model with random weights and records everything that another implementation needs to repeat it.

Works only in an environment with BITorch 0.3.0 (see requirements-bitorch.txt), and imports nothing of this project:

    python bitorch_reference.py MeliusNet22 checkpoint.pth reference.npz --stem conv7x7 --size 224

``checkpoint.pth`` is the model's state dict in float32, as ``torch.save`` writes it. ``reference.npz`` holds ``input``
(batch, height, width, channels) in float32, and ``logits`` (batch, classes) as computed from both in float64, and
``logits32`` as computed in float32. With ``--with-state`` it also holds each tensor of the state dict, under
``state/<name>``.
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

STEMS = ("conv7x7", "grouped", "thumbnail")
#: Images that BITorch runs at a time.
CHUNK = 8

# Networks for the fast tests: two stages of one block, with a shuffled and grouped transition, or of two blocks.
_GROUPED = densenet.DOWNSAMPLE_STRUCT.replace("fp_conv", "cs,fp_conv:2")
meliusnet.MeliusNet.meliusnet_spec["tiny"] = ([1, 1], [32 / 80], _GROUPED)
resnet_e.ResnetE.resnet_spec["tiny"] = ([1, 1], [64, 64, 8])
TINY = {
    "TinyMeliusNet": lambda shape, classes: meliusnet.MeliusNet("tiny", shape, classes, growth_rate=16),
    "TinyResnetE": lambda shape, classes: resnet_e.ResnetE("tiny", shape, classes),
}


def build(name: str, stem: str, padding_value: float, channels: int, classes: int) -> Model:
    """A BITorch model with the stem, whose binary convolutions pad the signs with ``padding_value``."""
    modules = (meliusnet, densenet, resnet_e)
    network = TINY.get(name) or next(getattr(module, name) for module in modules if hasattr(module, name))
    # BITorch picks the stem by the size of the image, but the model then takes images of any size.
    shape = (1, channels, 224, 224) if stem == "conv7x7" else (1, channels, 32, 32)

    def initial_layers(resolution: object, channels: int, filters: int) -> list[torch.nn.Module]:
        return get_initial_layers("grouped_stem" if stem == "grouped" else resolution, channels, filters)

    with (
        mock.patch.object(config, "padding_value", padding_value),
        # The grouped stem is there, but no argument of the public classes leads to it.
        mock.patch.object(densenet, "get_initial_layers", initial_layers),
        mock.patch.object(resnet_e, "get_initial_layers", initial_layers),
    ):
        return network(shape, classes).double().eval()


def randomize(model: Model, image: torch.Tensor, random: torch.Generator, *, coarse: bool) -> None:
    """Gives every parameter and every statistic of the model a random value.

    The statistics start from those that the image leaves behind, so that no feature is lost in its offset and every
    sign depends on the image. With ``coarse`` the kernels compress well, and some signs are those of zeros.
    """

    def uniform(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=random, dtype=like.dtype)

    def normal(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=random, dtype=like.dtype)

    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for parameter in model.parameters():
        values = normal(parameter)
        parameter.copy_(values.sign() * (values.abs() > 0.05) if coarse and parameter.ndim == 4 else values)
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
        if coarse:
            norm.weight[0] = norm.bias[0] = 0
    model.eval()


def run(model: Model, images: torch.Tensor) -> np.ndarray:
    return torch.cat([model(chunk) for chunk in images.split(CHUNK)]).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="class name in BITorch, such as MeliusNet22 or ResnetE18")
    parser.add_argument("checkpoint", type=Path, help="the .pth file to write")
    parser.add_argument("output", type=Path, help="the .npz file to write")
    parser.add_argument("--stem", choices=STEMS, default="conv7x7")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--channels", type=int, default=3, help="channels of the images")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=2, help="number of images")
    parser.add_argument("--padding-value", type=float, default=-1.0, help="what binarized maps are padded with")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--with-state", action="store_true", help="write the state dict to the .npz file, too")
    arguments = parser.parse_args()

    random = torch.Generator().manual_seed(arguments.seed)
    shape = (arguments.batch, arguments.channels, arguments.size, arguments.size)
    images = torch.randn(shape, generator=random, dtype=torch.float64).float()
    model = build(arguments.model, arguments.stem, arguments.padding_value, arguments.channels, arguments.classes)
    with torch.no_grad():
        randomize(model, images[:CHUNK].double(), random, coarse=arguments.model in TINY)
        arrays = {"input": images.permute(0, 2, 3, 1).numpy(), "logits32": run(model.float(), images)}
        state = model.state_dict()
        torch.save(state, arguments.checkpoint)
        if arguments.with_state:
            arrays |= {f"state/{name}": tensor.numpy().copy() for name, tensor in state.items()}
        # The weights are those of the checkpoint, rounded to float32.
        arrays["logits"] = run(model.double(), images.double())
    np.savez_compressed(arguments.output, **arrays)


if __name__ == "__main__":
    main()
