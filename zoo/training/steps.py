"""The compiled steps of training and validation, on however many replicas there are."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf

from larq_melius.zoo.recipes.recipe import Recipe
from larq_melius.zoo.training.distillation import Teacher, distillation_loss
from larq_melius.zoo.training.flips import FlipCounter


class Totals(NamedTuple):
    """Sums over images: of the loss, of right answers, of right answers among the five best, and of the images."""

    loss: float
    top1: float
    top5: float
    images: float

    @property
    def means(self) -> tuple[float, float, float]:
        """Loss, top-1 and top-5 of the mean image."""
        return self.loss / self.images, self.top1 / self.images, self.top5 / self.images


class Steps:
    """Trains and validates a network whose variables belong to the current strategy.

    Create it within the strategy's scope.

    Args:
        model: The network, ending in logits.
        optimizer: What updates it.
        recipe: Gives the batch, the loss and the compilation.
        flips: Counts sign flips.
        teacher: Whose answers to learn, too.
    """

    def __init__(
        self,
        model: tf.keras.Model,
        optimizer: tf.keras.optimizers.Optimizer,
        recipe: Recipe,
        flips: FlipCounter,
        teacher: Teacher | None = None,
    ) -> None:
        self._strategy = tf.distribute.get_strategy()
        self._model = model
        self._optimizer = optimizer
        self._recipe = recipe
        self._flips = flips
        self._teacher = teacher
        self._classes = model.output_shape[-1]
        # Float64 counts images exactly, and so do the sums of a run that was resumed.
        self.totals = tf.Variable(tf.zeros(4, tf.float64), trainable=False, name="totals")
        self._train = tf.function(self._train_steps, reduce_retracing=True)
        self._validate = tf.function(self._validate_step)
        self._count = tf.function(self._count_replicas)

    def train(self, batches: Iterator[Any], count: int) -> None:
        """Trains on the next batches."""
        self._train(batches, tf.constant(count))

    def read(self) -> Totals:
        """The totals of all training since the last ``reset``."""
        return Totals(*self.totals.numpy().tolist())

    def reset(self) -> None:
        """Sets the totals to zero."""
        self.totals.assign(tf.zeros_like(self.totals))

    def any_worker(self, flag: bool) -> bool:
        """Whether ``flag`` is set in any of the worker processes, all of which have to ask."""
        return bool(self._count(tf.constant(flag)) > 0)

    def validate(self, batches: Any) -> Totals:
        """Goes once through batches of images, labels and mask."""
        total = tf.zeros(4, tf.float64)
        for batch in batches:
            total += self._validate(batch)
        return Totals(*total.numpy().tolist())

    def _count_replicas(self, flag: tf.Tensor) -> tf.Tensor:
        flags = self._strategy.run(lambda: tf.cast(flag, tf.float32))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, flags, axis=None)

    def _train_steps(self, batches: Iterator[Any], count: tf.Tensor) -> None:
        for _ in tf.range(count):
            sums = self._strategy.run(self._train_step, args=next(batches))
            self.totals.assign_add(self._strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None))

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        signs = self._flips.signs()
        gradients, sums = self._compiled(self._compute_gradients)(images, labels)
        self._optimizer.apply_gradients(zip(gradients, self._model.trainable_variables, strict=True))
        self._flips.count(signs)
        return sums

    def _compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as XLA compiles it, if it is to: for each replica anew, since each has variables of its own.

        The optimizer's exchange between replicas cannot be part of that.
        """
        return tf.function(function, jit_compile=True) if self._recipe.xla else function

    def _compute_gradients(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = tf.cast(self._model(images, training=True), tf.float32)
            losses = self._losses(images, labels, logits)
            # The gradients of all replicas are added up, so each takes its share of the whole batch's mean.
            loss = tf.reduce_sum(losses) / self._recipe.batch_size
            if isinstance(self._optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
                loss = self._optimizer.get_scaled_loss(loss)
        gradients = tape.gradient(loss, self._model.trainable_variables)
        if isinstance(self._optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
            gradients = self._optimizer.get_unscaled_gradients(gradients)
        return gradients, _sums(losses, labels, logits, tf.ones_like(losses))

    def _losses(self, images: tf.Tensor, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        smoothing = self._recipe.label_smoothing
        targets = tf.one_hot(labels, self._classes) * (1 - smoothing) + smoothing / self._classes
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        if self._teacher is None:
            return losses
        share = self._recipe.teacher_weight
        taught = distillation_loss(self._teacher.logits(images), logits, self._recipe.temperature)
        return (1 - share) * losses + share * taught

    def _validate_step(self, batch: Any) -> tf.Tensor:
        sums = self._strategy.run(self._score, args=batch)
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    def _score(self, images: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        return self._compiled(self._compute_scores)(images, labels, mask)

    def _compute_scores(self, images: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(self._model(images, training=False), tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return _sums(losses, labels, logits, mask)


def _sums(losses: tf.Tensor, labels: tf.Tensor, logits: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    right = tf.gather(logits, labels, axis=1, batch_dims=1)[:, tf.newaxis]
    # Classes before the right one; at equal scores the one of the lower number comes first, as in top_indices.
    lower = tf.range(tf.shape(logits)[1], dtype=labels.dtype)[tf.newaxis] < labels[:, tf.newaxis]
    before = tf.reduce_sum(tf.cast((logits > right) | ((logits == right) & lower), tf.int32), axis=1)
    answers = tf.stack([losses, tf.cast(before < 1, tf.float32), tf.cast(before < 5, tf.float32), tf.ones_like(losses)])
    return tf.cast(tf.reduce_sum(answers * mask, axis=1), tf.float64)
