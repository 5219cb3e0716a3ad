"""The compiled steps of training and validation, on any number of replicas, and the sign flips they count."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import larq as lq
import numpy as np
import tensorflow as tf

from larq_melius.zoo.recipes.recipe import Recipe
from larq_melius.zoo.runs.log import LayerFlips
from larq_melius.zoo.training.distillation import Teacher, distillation_loss


class FlipCounter(tf.Module):
    """Counts how often the sign of each binary weight changed since the start of the epoch.

    Supplementary C and Figure 7 of the paper plot percentiles over the weights, for which the single ratio per layer of
    Larq's ``FlipRatio`` metric is not enough.

    Args:
        model: The network.
        layers: ``"none"``, the first and the last binary convolution (``"ends"``), or ``"all"``.
    """

    def __init__(self, model: tf.keras.Model, layers: str) -> None:
        super().__init__(name="flips")
        binary = [
            layer
            for layer in model.layers
            if isinstance(layer, lq.layers.QuantConv2D) and layer.kernel_quantizer is not None
        ]
        chosen = {"none": [], "ends": [*binary[:1], *binary[1:][-1:]], "all": binary}[layers]
        self._layers = [layer.name for layer in chosen]
        self._kernels = [_latent(layer) for layer in chosen]
        # All replicas have the same weights, and so the same counts.
        options = {
            "trainable": False,
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
        self._counts = [tf.Variable(tf.zeros(kernel.shape, tf.int32), **options) for kernel in self._kernels]

    def signs(self) -> list[tf.Tensor]:
        """Returns which weights are positive or zero; called by every replica before a step."""
        return [kernel >= 0 for kernel in self._kernels]

    def count(self, before: list[tf.Tensor]) -> None:
        """Counts the signs that differ from ``before``; called by every replica after the step."""
        for counts, kernel, old in zip(self._counts, self._kernels, before, strict=True):
            counts.assign_add(tf.cast(tf.not_equal(kernel >= 0, old), tf.int32))

    def reset(self) -> None:
        """Sets all counts to zero, for a new epoch."""
        for counts in self._counts:
            counts.assign(tf.zeros_like(counts))

    def summary(self, epoch: int) -> list[LayerFlips]:
        """Returns the statistics of each layer since the last reset."""
        rows = []
        for layer, counts in zip(self._layers, self._counts, strict=True):
            values = np.asarray(tf.convert_to_tensor(counts)).ravel()
            p50, p75, p90, p95, p99 = map(float, np.percentile(values, [50, 75, 90, 95, 99]))
            mean, largest = float(values.mean()), int(values.max())
            rows.append(LayerFlips(epoch, layer, values.size, mean, p50, p75, p90, p95, p99, largest))
        return rows


class Totals(NamedTuple):
    """Sums over images: loss, correct top-1 and top-5 predictions, and the number of images."""

    loss: float
    top1: float
    top5: float
    images: float

    @property
    def means(self) -> tuple[float, float, float]:
        """Mean loss, top-1 accuracy and top-5 accuracy."""
        return self.loss / self.images, self.top1 / self.images, self.top5 / self.images


class Steps:
    """Trains and validates a network. Must be created within the scope of the strategy.

    Args:
        model: The network, from ``(batch, height, width, channels)`` to logits, ``(batch, classes)``.
        optimizer: The optimizer of its trainable variables.
        recipe: Provides the batch size, the loss, and whether XLA compiles the step.
        flips: Counts sign flips.
        teacher: Teacher for distillation, if any.
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
        # In float64, so that counts are exact however long an epoch is.
        self.totals = tf.Variable(tf.zeros(4, tf.float64), trainable=False, name="totals")
        self._train = tf.function(self._train_steps, reduce_retracing=True)
        self._validate = tf.function(self._validate_step)
        self._count = tf.function(self._count_replicas)

    def train(self, batches: Iterator[Any], count: int) -> None:
        """Trains on the next ``count`` batches.

        Args:
            batches: Images, ``(batch, height, width, channels)``, and labels, ``(batch,)``, of each replica.
            count: Number of steps.
        """
        self._train(batches, tf.constant(count))

    def read(self) -> Totals:
        """Returns the totals over all training steps since the last ``reset``."""
        return Totals(*self.totals.numpy().tolist())

    def reset(self) -> None:
        """Sets the totals to zero."""
        self.totals.assign(tf.zeros_like(self.totals))

    def any_worker(self, flag: bool) -> bool:
        """Whether ``flag`` is set in any worker process; all of them must call this together."""
        return bool(self._count(tf.constant(flag)) > 0)

    def validate(self, batches: Any) -> Totals:
        """Evaluates all batches of images, labels, and a mask that is 0 for padding, ``(batch,)``."""
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
        """Compiles a function with XLA if the recipe says so, separately for each replica's variables.

        The optimizer is not part of it, since XLA cannot compile the exchange between replicas.
        """
        return tf.function(function, jit_compile=True) if self._recipe.xla else function

    def _compute_gradients(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = tf.cast(self._model(images, training=True), tf.float32)
            losses = self._losses(images, labels, logits)
            # Gradients are summed over replicas, so each divides by the global batch size.
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
    # The number of classes ranked above the label; ties rank the lower index first, as in top_indices.
    lower = tf.range(tf.shape(logits)[1], dtype=labels.dtype)[tf.newaxis] < labels[:, tf.newaxis]
    before = tf.reduce_sum(tf.cast((logits > right) | ((logits == right) & lower), tf.int32), axis=1)
    answers = tf.stack([losses, tf.cast(before < 1, tf.float32), tf.cast(before < 5, tf.float32), tf.ones_like(losses)])
    return tf.cast(tf.reduce_sum(answers * mask, axis=1), tf.float64)


def _latent(layer: lq.layers.QuantConv2D) -> tf.Variable:
    """The latent float32 variable of a layer's kernel: ``layer.kernel`` is binarized within a call."""
    return layer.trainable_weights[0]
