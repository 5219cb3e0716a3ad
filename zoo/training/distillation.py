"""Knowledge distillation: training on the outputs of a teacher network."""

from typing import Any

import tensorflow as tf

from larq_melius.preprocessing import Preprocessing
from larq_melius.zoo.classifiers import load_network
from larq_melius.zoo.data import ImageDataset
from larq_melius.zoo.recipes.recipe import Recipe


class Teacher:
    """A trained network that the student learns from (Hinton et al., arXiv 1503.02531).

    Args:
        model: Any Keras classifier of the same classes, from ``(batch, height, width, channels)`` to probabilities or
            logits, ``(batch, classes)``.
        pixels: Whether it takes pixels from 0 to 255; if not, the student's normalized images.
        preprocessing: Normalization of the student's images.
    """

    def __init__(self, model: tf.keras.Model, *, pixels: bool, preprocessing: Preprocessing) -> None:
        self.model = model
        self._pixels = pixels
        self._preprocessing = preprocessing
        self._logits = not _ends_in_softmax(model)
        model.trainable = False

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """The teacher's logits, ``(batch, classes)``, up to a constant per image.

        Args:
            images: The student's normalized images, ``(batch, height, width, channels)``; resized if necessary.
        """
        if self._pixels:
            images = images * self._preprocessing.std + self._preprocessing.mean
        size = self.model.input_shape[1:3]
        if None not in size and tuple(images.shape[1:3]) != tuple(size):
            images = tf.image.resize(images, size, antialias=True)
        scores = tf.cast(self.model(images, training=False), tf.float32)
        return scores if self._logits else tf.math.log(tf.maximum(scores, 1e-20))


def load_teacher(recipe: Recipe, data: ImageDataset, *, trust: bool = False) -> Teacher:
    """Loads a recipe's teacher: a saved Keras model, or a network of the zoo with its own weights.

    Args:
        recipe: The recipe.
        data: The data set, which must have as many classes as the teacher.
        trust: Whether to load a saved model that can run its own code.

    Raises:
        OSError: If the file or the weights cannot be loaded.
        ValueError: If it is neither, or has another number of classes than the data.
    """
    try:
        model = load_network(str(recipe.teacher), trust=trust).model
    except ValueError as error:
        raise ValueError(f"There is no teacher {recipe.teacher}: {error}") from error
    classes = model.output_shape[-1]
    if classes != len(data.classes):
        raise ValueError(
            f"The teacher {recipe.teacher} has {classes} classes, but the data set has {len(data.classes)}."
        )
    return Teacher(model, pixels=recipe.teacher_pixels, preprocessing=data.preprocessing)


def distillation_loss(teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
    """Cross-entropy between the probabilities of teacher and student, both softened by a temperature.

    Args:
        teacher: Logits, ``(batch, classes)``.
        student: Logits, ``(batch, classes)``.
        temperature: Divisor of the logits.

    Returns:
        The loss of each image, ``(batch,)``, times the temperature squared, which keeps the scale of the gradients.
    """
    targets = tf.nn.softmax(teacher / temperature)
    return temperature**2 * tf.nn.softmax_cross_entropy_with_logits(targets, student / temperature)


def _ends_in_softmax(model: tf.keras.Model) -> bool:
    activation: Any = getattr(model.layers[-1], "activation", None)
    return activation is tf.keras.activations.softmax or isinstance(model.layers[-1], tf.keras.layers.Softmax)
