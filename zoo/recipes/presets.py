"""The recipes: how the authors trained each network, and the networks of their ablation studies."""

from dataclasses import dataclass
from typing import Any

from larq_melius.models.registry import find_variant
from larq_melius.zoo.recipes.recipe import Recipe


@dataclass(frozen=True)
class Preset:
    """A named recipe, and the accuracy it reaches in the paper.

    Attributes:
        recipe: The recipe.
        summary: What it is, in one line.
        top1: Top-1 accuracy on ImageNet in the paper, 0 to 1.
        top5: The same for top-5.
    """

    recipe: Recipe
    summary: str
    top1: float | None = None
    top5: float | None = None


# GluonCV's settings for 32-bit networks, as in section 4.2.
_GLUONCV: dict[str, Any] = {
    "stem": "conv7x7",
    "augmentation": "imagenet_color",
    "epochs": 90,
    "batch_size": 256,
    "reference_batch_size": 256,
    "rate_scaling": "linear",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "warmup_epochs": 5.0,
    "weight_decay": 1e-4,
}

#: The recipes by name. Those of the paper's networks follow section 4.1 and the settings in the authors' logs.
PRESETS: dict[str, Preset] = {
    "MeliusNet22": Preset(Recipe("MeliusNet22"), "Table 1", 0.636, 0.847),
    "MeliusNet23": Preset(Recipe("MeliusNet23"), "not in the paper; trained like the others"),
    "MeliusNet29": Preset(Recipe("MeliusNet29"), "Table 1", 0.658, 0.862),
    "MeliusNet42": Preset(Recipe("MeliusNet42"), "Table 1", 0.692, 0.883),
    # The authors continued to epoch 170 at a rate of 3e-6, from 71.03% at the end of the cosine to 71.06%.
    "MeliusNet59": Preset(
        Recipe("MeliusNet59", epochs=150, batch_size=96, reference_batch_size=96, learning_rate=0.003),
        "Table 1",
        0.710,
        0.897,
    ),
    "MeliusNetA": Preset(Recipe("MeliusNetA"), "Tables 1 and 3", 0.634, 0.842),
    "MeliusNetB": Preset(Recipe("MeliusNetB"), "Tables 1 and 3", 0.657, 0.859),
    "MeliusNetC": Preset(
        Recipe("MeliusNetC", batch_size=128, reference_batch_size=128), "Tables 1 and 4", 0.641, 0.850
    ),
    "BinaryDenseNet28": Preset(Recipe("BinaryDenseNet28"), "Table 2, grouped stem", 0.626),
    "BinaryDenseNet37": Preset(
        Recipe("BinaryDenseNet37", batch_size=32, reference_batch_size=32), "Table 2, grouped stem", 0.642
    ),
    "BinaryDenseNet45": Preset(Recipe("BinaryDenseNet45"), "not in the paper; trained like the others"),
    "ResNetE18": Preset(Recipe("ResNetE18"), "Table 2, grouped stem", 0.606),
    "BiRealNet34": Preset(Recipe("BiRealNet34"), "Table 2, grouped stem", 0.637),
    "MeliusNet22-conv7x7": Preset(Recipe("MeliusNet22", stem="conv7x7"), "Table 2, original stem", 0.628),
    "MeliusNet29-conv7x7": Preset(Recipe("MeliusNet29", stem="conv7x7"), "Table 2, original stem", 0.649),
    "BinaryDenseNet28-conv7x7": Preset(Recipe("BinaryDenseNet28", stem="conv7x7"), "Table 2, original stem", 0.617),
    "BinaryDenseNet37-conv7x7": Preset(
        Recipe("BinaryDenseNet37", stem="conv7x7", batch_size=32, reference_batch_size=32),
        "Table 2, original stem",
        0.633,
    ),
    "ResNetE18-conv7x7": Preset(
        Recipe("ResNetE18", stem="conv7x7", batch_size=256, reference_batch_size=256), "Table 2, original stem", 0.600
    ),
    "BiRealNet34-conv7x7": Preset(
        Recipe("BiRealNet34", stem="conv7x7", batch_size=128, reference_batch_size=128),
        "Table 2, original stem",
        0.633,
    ),
    "ResNetE18-adam": Preset(
        Recipe("ResNetE18", optimizer="adam", warmup_epochs=5), "Adam with warm-up: section 4.1, supplementary C"
    ),
    # The paper gives no rate for SGD: this is the usual one for 32-bit networks.
    "ResNetE18-sgd": Preset(
        Recipe(
            "ResNetE18",
            optimizer="sgd",
            warmup_epochs=5,
            learning_rate=0.1,
            reference_batch_size=256,
            rate_scaling="linear",
        ),
        "SGD with warm-up: section 4.1, supplementary C",
    ),
    "NaiveNet17": Preset(
        Recipe("NaiveNet17", epochs=40, learning_rate=0.001, schedule="steps", decay_epochs=(35, 37)),
        "the naive approach, supplementary B",
    ),
    "MeliusNet22-40epochs": Preset(
        Recipe("MeliusNet22", stem="conv7x7", epochs=40, learning_rate=0.001, schedule="steps", decay_epochs=(35, 37)),
        "what NaiveNet17 is compared with, supplementary B",
    ),
    "MeliusNet-32bit": Preset(
        Recipe(
            "MeliusNet",
            architecture={"num_blocks": [4, 4, 4, 3], "transition_filters": [160, 192, 224], "binary": False},
            **_GLUONCV,
        ),
        "the 32-bit MeliusNet of section 4.2",
    ),
    "DenseNet-32bit": Preset(
        Recipe(
            "MeliusNet",
            architecture={
                "num_blocks": [6, 6, 6, 5],
                "transition_filters": [160, 192, 256],
                "improvement": None,
                "binary": False,
            },
            **_GLUONCV,
        ),
        "the 32-bit DenseNet of section 4.2",
    ),
    "MeliusNetTiny": Preset(
        Recipe(
            "MeliusNetTiny",
            dataset="digits",
            augmentation="digits",
            epochs=60,
            batch_size=32,
            reference_batch_size=32,
            optimizer="adam",
            warmup_epochs=1.5,
            label_smoothing=0.1,
        ),
        "handwritten digits, in minutes on a CPU",
    ),
}


def find_preset(name: str) -> Preset:
    """Finds a recipe by its name, in any case.

    Raises:
        ValueError: If there is none.
    """
    known = preset_name(name)
    if known is None:
        raise ValueError(f"Unknown recipe {name!r}; choose one of {', '.join(PRESETS)}, or give a JSON file.")
    return PRESETS[known]


def preset_name(name: str) -> str | None:
    """The name of a recipe as the zoo spells it; ``None`` if there is no such recipe."""
    return next((known for known in PRESETS if known.lower() == name.lower()), None)


def paper_accuracy(model: str, stem: str) -> Preset | None:
    """The recipe with the paper's accuracy of a network of the zoo with that stem; ``None`` if the paper has none."""
    for name in (model, f"{model}-{stem}"):
        preset = PRESETS.get(name)
        if preset is not None and preset.top1 is not None and (preset.recipe.stem or find_variant(model).stem) == stem:
            return preset
    return None
