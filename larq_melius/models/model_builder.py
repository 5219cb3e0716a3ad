"""What every network shares with ``tf.keras.applications``: the input, the head, the weights, and their errors."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from larq_melius.models.blocks import he_normal
from larq_melius.models.configs import NetworkConfig
from larq_melius.reference_implementations import ReferenceImplementation, get_reference_implementation
from larq_melius.stems import STEMS
from larq_melius.weights.loading import CLASSIFIER, convention_of, load_weights
from larq_melius.weights.lookup import check_weights
from larq_melius.weights.records import WeightsRecord

Shape = tuple[int | None, ...]

#: The smallest input, in pixels, of which the last stage still has a pixel.
MIN_SIZE = {"grouped": 32, "conv7x7": 32, "thumbnail": 8}
POOLINGS = (None, "avg", "max")


@dataclass(frozen=True)
class ModelBuilder:
    """Builds the models of one network.

    Attributes:
        config: The network.
        features: Maps normalized images, ``(batch, height, width, channels)``, to the last feature map, given the stem
            and the reference implementation.
    """

    config: NetworkConfig
    features: Callable[[tf.Tensor, str, ReferenceImplementation], tf.Tensor]

    def build(
        self,
        include_top: bool,
        weights: str | os.PathLike[str] | None,
        input_tensor: Any,
        input_shape: Shape | None,
        pooling: str | None,
        classes: int,
        classifier_activation: Any,
        stem: str,
        convention: str | ReferenceImplementation | None,
        name: str,
    ) -> tf.keras.Model:
        """Builds a model and loads its weights.

        The arguments are those of the networks' functions, in their order: see ``MeliusNet``.

        Raises:
            OSError: If the weights cannot be had.
            ValueError: If an argument is wrong, or the weights do not fit.
        """
        if stem not in STEMS:
            raise ValueError(f"Unknown stem {stem!r}; choose one of {list(STEMS)}.")
        if pooling not in POOLINGS:
            raise ValueError(f"Unknown pooling {pooling!r}; choose one of {list(POOLINGS)}.")
        if tf.keras.backend.image_data_format() != "channels_last":
            raise ValueError(
                "These networks are channels_last only: call tf.keras.backend.set_image_data_format('channels_last')."
            )
        record = check_weights(weights, self.config.name, stem, include_top=include_top)
        if include_top:
            _check_classifier(classes, classifier_activation, weights, record)
        implementation = get_reference_implementation(convention or convention_of(weights, record))
        default_shape = record.input_shape if record else self.config.input_shape

        def resolve(given: Shape | None) -> Shape:
            return _resolve_shape(given, default_shape, record, stem=stem, include_top=include_top)

        image = _image(input_tensor, input_shape, resolve)
        x = self.features(image, stem, implementation)
        if include_top or pooling == "avg":
            x = tf.keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        elif pooling == "max":
            x = tf.keras.layers.GlobalMaxPooling2D(name="max_pool")(x)
        if include_top:
            x = _classifier(classes, classifier_activation)(x)
        inputs = image if input_tensor is None else tf.keras.utils.get_source_inputs(image)
        model = tf.keras.Model(inputs, x, name=name)
        if weights is not None:
            load_weights(model, weights, record, include_top=include_top)
        return model


def _check_classifier(
    classes: int, activation: Any, weights: str | os.PathLike[str] | None, record: WeightsRecord | None
) -> None:
    if record is not None and classes != len(record.classes):
        raise ValueError(
            f"With weights={record.tag!r} and include_top=True, classes must be {len(record.classes)}, got {classes}."
        )
    allowed = [tf.keras.activations.get(name) for name in (None, "softmax")]
    if weights is not None and tf.keras.activations.get(activation) not in allowed:
        raise ValueError(f"With trained weights, classifier_activation must be None or 'softmax', got {activation!r}.")
    if classes < 1:
        raise ValueError(f"classes must be at least 1, got {classes}.")


def _image(input_tensor: Any, input_shape: Shape | None, resolve: Callable[[Shape | None], Shape]) -> tf.Tensor:
    if input_tensor is None:
        return tf.keras.layers.Input(resolve(input_shape), name="image")
    if not tf.keras.backend.is_keras_tensor(input_tensor):
        raise ValueError(f"input_tensor must be a Keras tensor, as tf.keras.Input gives, not {input_tensor!r}.")
    actual = tuple(input_tensor.shape[1:])
    if input_shape is not None and tuple(input_shape) != actual:
        raise ValueError(f"input_shape is {tuple(input_shape)}, but input_tensor has the shape {actual}.")
    # As in Keras, a tensor may leave its size open even where input_shape may not: the networks take any size.
    if None not in actual:
        resolve(actual)
    return input_tensor


def _resolve_shape(
    given: Shape | None,
    default: tuple[int, int, int],
    record: WeightsRecord | None,
    *,
    stem: str,
    include_top: bool,
) -> Shape:
    """The shape of the image, with the checks and defaults of ``tf.keras.applications``."""
    if given is None:
        return default if include_top else (None, None, default[-1])
    given = tuple(given)
    if len(given) != 3:
        raise ValueError(f"input_shape must be a tuple of three integers, got {given}.")
    if given[-1] is None:
        raise ValueError(f"input_shape must name the number of channels, got {given}.")
    if record is not None and include_top and given != default:
        raise ValueError(
            f"With weights={record.tag!r} and include_top=True, input_shape must be {default}, got {given}."
        )
    if record is not None and given[-1] != default[-1]:
        raise ValueError(
            f"With weights={record.tag!r}, the input must have {default[-1]} channels, got input_shape={given}."
        )
    smallest = MIN_SIZE[stem]
    if any(size is not None and size < smallest for size in given[:2]):
        raise ValueError(f"Input size must be at least {smallest}x{smallest}, got input_shape={given}.")
    if include_top and None in given:
        raise ValueError(f"With include_top=True, input_shape must be static, got {given}.")
    return given


def _classifier(classes: int, activation: Any) -> tf.keras.layers.Layer:
    return tf.keras.layers.Dense(
        classes,
        activation=activation,
        kernel_initializer=he_normal(),
        # Mixed precision keeps the variables in float32, and the softmax needs that too.
        dtype=tf.keras.mixed_precision.global_policy().variable_dtype,
        name=CLASSIFIER,
    )
