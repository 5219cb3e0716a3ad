"""Learning from the answers of a trained network, the teacher."""

from typing import Any

import tensorflow as tf

from larq_melius.preprocessing import Preprocessing
from larq_melius.zoo.classifiers import load_network
from larq_melius.zoo.data import ImageDataset
from larq_melius.zoo.recipes.recipe import Recipe


class Teacher:
    """A trained network whose answers are learned (Hinton et al., arXiv 1503.02531).

    Args:
        model: Any Keras classifier of the same classes; it may end in softmax or in logits.
        pixels: Whether it takes pixels of 0 to 255, and not the images as they were normalized for the student.
        preprocessing: How those were normalized.
    """

    def __init__(self, model: tf.keras.Model, *, pixels: bool, preprocessing: Preprocessing) -> None:
        self.model = model
        self._pixels = pixels
        self._preprocessing = preprocessing
        self._logits = not _ends_in_softmax(model)
        model.trainable = False

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """The teacher's logits for normalized images, ``(batch, classes)``, up to a constant of each image."""
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
        data: The images that the teacher is to classify.
        trust: Whether to load a saved model that may run code of its own.

    Raises:
        OSError: If the file or the weights cannot be had.
        ValueError: If it is neither, or tells other classes apart than the data has.
    """
    try:
        model = load_network(str(recipe.teacher), trust=trust).model
    except ValueError as error:
        raise ValueError(f"There is no teacher {recipe.teacher}: {error}") from error
    classes = model.output_shape[-1]
    if classes != len(data.classes):
        raise ValueError(f"The teacher {recipe.teacher} has {classes} classes, and the data {len(data.classes)}.")
    return Teacher(model, pixels=recipe.teacher_pixels, preprocessing=data.preprocessing)


def distillation_loss(teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
    """Cross-entropy of the student's probabilities under the teacher's, both softened by a temperature.

    Args:
        teacher: Logits, ``(batch, classes)``.
        student: Logits, ``(batch, classes)``.
        temperature: What logits are divided by.

    Returns:
        One loss an image, ``(batch,)``, times the temperature squared, which keeps the gradients' size.
    """
    targets = tf.nn.softmax(teacher / temperature)
    return temperature**2 * tf.nn.softmax_cross_entropy_with_logits(targets, student / temperature)


def _ends_in_softmax(model: tf.keras.Model) -> bool:
    activation: Any = getattr(model.layers[-1], "activation", None)
    return activation is tf.keras.activations.softmax or isinstance(model.layers[-1], tf.keras.layers.Softmax)
