"""What every network shares with ``tf.keras.applications``: the input, the head, the weights, and their errors."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from larq_melius.models.blocks import he_normal
from larq_melius.reference_implementations import ReferenceImplementation, get_reference_implementation
from larq_melius.stems import STEMS
from larq_melius.weights.loading import CLASSIFIER, check_weights, convention_of, load_weights
from larq_melius.weights.records import WeightsRecord

Shape = tuple[int | None, ...]

#: The smallest input, in pixels, of which the last stage still has a pixel.
MIN_SIZE = {"grouped": 32, "conv7x7": 32, "thumbnail": 8}
POOLINGS = (None, "avg", "max")


@dataclass(frozen=True)
class ModelBuilder:
    """The arguments of ``tf.keras.applications`` as the user gave them, and the network's own facts.

    Attributes:
        model_name: Name under which the zoo lists the network, or ``None`` for a configuration of the user's.
        name: Name of the Keras model.
        stem: One of ``STEMS``.
        convention: Name of the padding convention, or ``None`` for that of the weights, or else the authors'.
        default_shape: Shape of the network's usual image.

    The others are as in ``tf.keras.applications``.
    """

    include_top: bool
    weights: str | os.PathLike[str] | None
    input_tensor: Any
    input_shape: Shape | None
    pooling: str | None
    classes: int
    classifier_activation: Any
    stem: str
    convention: str | ReferenceImplementation | None
    name: str
    model_name: str | None
    default_shape: tuple[int, int, int]

    def build(self, features: Callable[[tf.Tensor, ReferenceImplementation], tf.Tensor]) -> tf.keras.Model:
        """Builds the model and loads its weights.

        Args:
            features: Maps the image to the last feature map under a convention.

        Raises:
            ValueError: If an argument is wrong.
        """
        if self.stem not in STEMS:
            raise ValueError(f"Unknown stem {self.stem!r}; choose one of {list(STEMS)}.")
        if self.pooling not in POOLINGS:
            raise ValueError(f"Unknown pooling {self.pooling!r}; choose one of {list(POOLINGS)}.")
        if tf.keras.backend.image_data_format() != "channels_last":
            raise ValueError(
                "These networks are channels_last only: call tf.keras.backend.set_image_data_format('channels_last')."
            )
        record = check_weights(self.weights, self.model_name, self.stem, include_top=self.include_top)
        self._check_classifier(record)
        convention = get_reference_implementation(self.convention or convention_of(self.weights, record))
        image = self._image(record)
        x = features(image, convention)
        if self.include_top or self.pooling == "avg":
            x = tf.keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        elif self.pooling == "max":
            x = tf.keras.layers.GlobalMaxPooling2D(name="max_pool")(x)
        if self.include_top:
            x = self._classifier()(x)
        inputs = image if self.input_tensor is None else tf.keras.utils.get_source_inputs(image)
        model = tf.keras.Model(inputs, x, name=self.name)
        if self.weights is not None:
            load_weights(model, self.weights, record, include_top=self.include_top)
        return model

    def _check_classifier(self, record: WeightsRecord | None) -> None:
        if not self.include_top:
            return
        if record is not None and self.classes != len(record.classes):
            raise ValueError(
                f"With weights={record.tag!r} and include_top=True, classes must be {len(record.classes)}, "
                f"got {self.classes}."
            )
        allowed = [tf.keras.activations.get(name) for name in (None, "softmax")]
        if self.weights is not None and tf.keras.activations.get(self.classifier_activation) not in allowed:
            raise ValueError(
                "With trained weights, classifier_activation must be None or 'softmax', "
                f"got {self.classifier_activation!r}."
            )
        if self.classes < 1:
            raise ValueError(f"classes must be at least 1, got {self.classes}.")

    def _image(self, record: WeightsRecord | None) -> tf.Tensor:
        if self.input_tensor is None:
            return tf.keras.layers.Input(self._resolve_shape(self.input_shape, record), name="image")
        if not tf.keras.backend.is_keras_tensor(self.input_tensor):
            raise ValueError(
                f"input_tensor must be a Keras tensor, as tf.keras.Input gives, not {self.input_tensor!r}."
            )
        actual = tuple(self.input_tensor.shape[1:])
        if self.input_shape is not None and tuple(self.input_shape) != actual:
            raise ValueError(f"input_shape is {tuple(self.input_shape)}, but input_tensor has the shape {actual}.")
        # As in Keras, a tensor may leave its size open even where input_shape may not: the networks take any size.
        if None not in actual:
            self._resolve_shape(actual, record)
        return self.input_tensor

    def _resolve_shape(self, given: Shape | None, record: WeightsRecord | None) -> Shape:
        """The shape of the image, with the checks and defaults of ``tf.keras.applications``."""
        default = record.input_shape if record else self.default_shape
        if given is None:
            return default if self.include_top else (None, None, default[-1])
        given = tuple(given)
        if len(given) != 3:
            raise ValueError(f"input_shape must be a tuple of three integers, got {given}.")
        if given[-1] is None:
            raise ValueError(f"input_shape must name the number of channels, got {given}.")
        if record is not None and self.include_top and given != default:
            raise ValueError(
                f"With weights={record.tag!r} and include_top=True, input_shape must be {default}, got {given}."
            )
        if record is not None and given[-1] != default[-1]:
            raise ValueError(
                f"With weights={record.tag!r}, the input must have {default[-1]} channels, got input_shape={given}."
            )
        smallest = MIN_SIZE[self.stem]
        if any(size is not None and size < smallest for size in given[:2]):
            raise ValueError(f"Input size must be at least {smallest}x{smallest}, got input_shape={given}.")
        if self.include_top and None in given:
            raise ValueError(f"With include_top=True, input_shape must be static, got {given}.")
        return given

    def _classifier(self) -> tf.keras.layers.Layer:
        return tf.keras.layers.Dense(
            self.classes,
            activation=self.classifier_activation,
            kernel_initializer=he_normal(),
            # Mixed precision keeps the variables in float32, and the softmax needs that too.
            dtype=tf.keras.mixed_precision.global_policy().variable_dtype,
            name=CLASSIFIER,
        )
