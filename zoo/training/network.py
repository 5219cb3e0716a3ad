"""Builds the network that a recipe trains, in its precision."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import tensorflow as tf

from larq_melius.models import MeliusNet, ResNetE
from larq_melius.models.model_builder import MIN_SIZE
from larq_melius.models.registry import find_variant
from larq_melius.zoo.data import ImageDataset, load_data
from larq_melius.zoo.recipes.recipe import Recipe
from larq_melius.zoo.training.substitutions import pad_with_zeros, quantize_as, split_groups, substitute

_BUILDERS = {"MeliusNet": MeliusNet, "ResNetE": ResNetE}

#: Sides of images that differ in size, in pixels. The thumbnail stem is for those under 50: CIFAR's have 32.
_USUAL_SIZE = {"thumbnail": 32, "grouped": 224, "conv7x7": 224}


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Sets Keras' mixed precision policy, and restores the previous one afterwards."""
    earlier = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(earlier)


def network_name(recipe: Recipe) -> str:
    """The network's name as the zoo spells it.

    Raises:
        ValueError: If there is no such network.
    """
    return recipe.model if recipe.architecture is not None else find_variant(recipe.model).name


def network_stem(recipe: Recipe, data: ImageDataset) -> str:
    """The recipe's stem, or by default the network's own, or the thumbnail stem for images under 50 pixels.

    Raises:
        ValueError: If there is no such network.
    """
    if recipe.stem is not None:
        return recipe.stem
    # As the authors' code does.
    if min(data.input_shape[:2]) < 50:
        return "thumbnail"
    return _usual_stem(recipe)


def load_images(recipe: Recipe, data_dir: str | os.PathLike[str] | None = None) -> ImageDataset:
    """Loads the recipe's data set, with images of the size that suits the network unless the recipe names one.

    Raises:
        ImportError: If a package of the extra ``train`` is missing.
        OSError: If the data set cannot be read or downloaded.
        ValueError: If there is no such network or data set, or it does not consist of images with one class each.
    """
    return load_data(
        recipe.dataset,
        data_dir=data_dir,
        image_size=recipe.image_size,
        usual_size=_USUAL_SIZE[recipe.stem or _usual_stem(recipe)],
    )


def _usual_stem(recipe: Recipe) -> str:
    return "grouped" if recipe.architecture is not None else find_variant(recipe.model).stem


def build_network(recipe: Recipe, data: ImageDataset, *, logits: bool = True) -> tf.keras.Model:
    """Builds the network for the images and classes of a data set, with its initial weights and quantization.

    Args:
        recipe: Names the network.
        data: Provides the shape of the images and the number of classes.
        logits: Whether the network outputs logits; if not, probabilities.

    Returns:
        A network from ``(batch, *data.input_shape)`` to ``(batch, classes)``.

    Raises:
        OSError: If the weights cannot be loaded.
        ValueError: If there is no such network, it cannot take such images, or the weights do not fit.
    """
    return substitute(_binary_network(recipe, data, logits=logits), *quantize_as(recipe.quantization))


def _binary_network(recipe: Recipe, data: ImageDataset, *, logits: bool) -> tf.keras.Model:
    """The network before its quantization is changed."""
    stem = network_stem(recipe, data)
    if min(data.input_shape[:2]) < MIN_SIZE[stem]:
        raise ValueError(
            f"Images of {data.input_shape[0]}x{data.input_shape[1]} are too small for the {stem} stem: set "
            f"stem=thumbnail or image_size to at least {MIN_SIZE[stem]}."
        )
    options: dict[str, Any] = {"input_shape": data.input_shape, "stem": stem}
    model = _function(recipe)(
        **options,
        weights=None,
        classes=len(data.classes),
        classifier_activation=None if logits else "softmax",
        **(recipe.architecture or {}),
    )
    if recipe.initial_weights is not None:
        _start_from(model, recipe, options)
    return model


def _function(recipe: Recipe) -> Any:
    if recipe.architecture is None:
        return find_variant(recipe.model).function
    if recipe.model not in _BUILDERS:
        raise ValueError(
            f"architecture holds the arguments of a builder: model must be {' or '.join(_BUILDERS)}, not "
            f"{recipe.model!r}."
        )
    return _BUILDERS[recipe.model]


def _start_from(model: tf.keras.Model, recipe: Recipe, options: dict[str, Any]) -> None:
    """Loads the initial weights, except for the classifier if they were trained for other classes."""
    function = _function(recipe)
    try:
        source = function(
            **options,
            weights=recipe.initial_weights,
            classes=model.output_shape[-1],
            classifier_activation=None,
            **(recipe.architecture or {}),
        )
    except ValueError:
        source = function(**options, weights=recipe.initial_weights, include_top=False, **(recipe.architecture or {}))
    for layer in source.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())


def training_network(recipe: Recipe, data: ImageDataset) -> tf.keras.Model:
    """The network of ``build_network`` as it is trained on the devices of this machine, ending in logits."""
    substitutions = [*quantize_as(recipe.quantization), pad_with_zeros]
    if not tf.config.list_physical_devices("GPU"):
        substitutions.append(split_groups)
    model = substitute(_binary_network(recipe, data, logits=True), *substitutions)
    if recipe.synchronize_batchnorm:
        _synchronize_batchnorm(model)
    return model


def deployed_network(recipe: Recipe, data: ImageDataset) -> tf.keras.Model:
    """The network as it is exported: in float32, ending in softmax, with random weights."""
    with precision("float32"):
        return build_network(replace(recipe, initial_weights=None), data, logits=False)


def _synchronize_batchnorm(model: tf.keras.Model) -> None:
    """Synchronizes batch-norm statistics across replicas."""
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.synchronized = True
            # The fused kernel cannot synchronize.
            layer.fused = False


def average_batchnorm_statistics(model: tf.keras.Model) -> None:
    """Averages the moving statistics of batch norms over all replicas, each of which updates its own.

    Checkpoints and exports hold the average, so that is what must be validated; training does not read it.
    """
    for variable in model.non_trainable_variables:
        variable.assign(variable.read_value())
