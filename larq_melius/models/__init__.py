"""The networks: generic builders, and those of the paper by name."""

from larq_melius.models.binary_densenet import BinaryDenseNet28, BinaryDenseNet37, BinaryDenseNet45
from larq_melius.models.configs import MeliusNetConfig, ResNetEConfig
from larq_melius.models.meliusnet import (
    MeliusNet,
    MeliusNet22,
    MeliusNet23,
    MeliusNet29,
    MeliusNet42,
    MeliusNet59,
    MeliusNetA,
    MeliusNetB,
    MeliusNetC,
    MeliusNetTiny,
    NaiveNet17,
)
from larq_melius.models.registry import get_model, list_models
from larq_melius.models.resnet_e import BiRealNet34, ResNetE, ResNetE18

__all__ = [
    "BiRealNet34",
    "BinaryDenseNet28",
    "BinaryDenseNet37",
    "BinaryDenseNet45",
    "MeliusNet",
    "MeliusNet22",
    "MeliusNet23",
    "MeliusNet29",
    "MeliusNet42",
    "MeliusNet59",
    "MeliusNetA",
    "MeliusNetB",
    "MeliusNetC",
    "MeliusNetConfig",
    "MeliusNetTiny",
    "NaiveNet17",
    "ResNetE",
    "ResNetE18",
    "ResNetEConfig",
    "get_model",
    "list_models",
]
