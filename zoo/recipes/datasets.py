"""The data sets, and what changes in a recipe when it is used on another data set than its own."""

from typing import Any

from larq_melius.zoo.recipes.recipe import Recipe

#: The data sets that the documentation names, with what they are. tensorflow-datasets has many more.
DATASETS = {
    "imagenet2012": "ImageNet, which you download yourself",
    "cifar10": "32x32 color images in 10 classes",
    "cifar100": "32x32 color images in 100 classes",
    "mnist": "28x28 handwritten digits",
    "folder": "your own images: DATA_DIR/train/CLASS/* and DATA_DIR/validation/CLASS/*",
    "digits": "scikit-learn's 8x8 handwritten digits, without a download",
    "synthetic": "random images, to measure training speed",
}

# These images are too small for random resized crops, and small data sets need fewer epochs.
_SETTINGS: dict[str, dict[str, Any]] = {
    "cifar10": {"augmentation": "crop_flip"},
    "cifar100": {"augmentation": "crop_flip"},
    "mnist": {"augmentation": "shift", "epochs": 20},
    "digits": {"augmentation": "digits", "epochs": 10, "batch_size": 32},
    "synthetic": {"augmentation": "none", "epochs": 1},
}


def adapt(recipe: Recipe, dataset: str) -> Recipe:
    """Adapts a recipe to another data set: an augmentation that suits its images, and fewer epochs if it is small.

    Warm-up and decay are scaled with the epochs. A smaller batch lowers the rate by the recipe's ``rate_scaling``.

    Args:
        recipe: The recipe.
        dataset: Name of the data set; if it is the recipe's own, ``recipe`` is returned unchanged.
    """
    if dataset == recipe.dataset:
        return recipe
    settings = _SETTINGS.get(dataset.partition(":")[0], {})
    shrink = settings.get("epochs", recipe.epochs) / recipe.epochs
    schedule = {
        "warmup_epochs": recipe.warmup_epochs * shrink,
        "decay_epochs": tuple(epoch * shrink for epoch in recipe.decay_epochs),
    }
    return recipe.override({"dataset": dataset, **settings, **schedule})
