"""Counts how often the signs of binary weights change (paper, supplementary C and Figure 7)."""

import larq as lq
import numpy as np
import tensorflow as tf

from larq_melius.zoo.runs.log import LayerFlips


class FlipCounter(tf.Module):
    """Counts sign changes from step to step, weight by weight, since the start of the epoch.

    Larq's ``FlipRatio`` metric gives one ratio a layer; the paper's percentiles over the weights need them all.

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
        # Every replica counts the same, as it has the same weights.
        options = {
            "trainable": False,
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
        self._counts = [tf.Variable(tf.zeros(kernel.shape, tf.int32), **options) for kernel in self._kernels]

    def signs(self) -> list[tf.Tensor]:
        """Which weights are positive or zero; called by every replica before a step."""
        return [kernel >= 0 for kernel in self._kernels]

    def count(self, before: list[tf.Tensor]) -> None:
        """Counts what has changed since ``before``; called by every replica after the step."""
        for counts, kernel, old in zip(self._counts, self._kernels, before, strict=True):
            counts.assign_add(tf.cast(tf.not_equal(kernel >= 0, old), tf.int32))

    def reset(self) -> None:
        """Starts a new epoch."""
        for counts in self._counts:
            counts.assign(tf.zeros_like(counts))

    def summary(self, epoch: int) -> list[LayerFlips]:
        """The statistics of each layer since the last reset."""
        rows = []
        for layer, counts in zip(self._layers, self._counts, strict=True):
            values = np.asarray(tf.convert_to_tensor(counts)).ravel()
            p50, p75, p90, p95, p99 = map(float, np.percentile(values, [50, 75, 90, 95, 99]))
            mean, largest = float(values.mean()), int(values.max())
            rows.append(LayerFlips(epoch, layer, values.size, mean, p50, p75, p90, p95, p99, largest))
        return rows


def _latent(layer: lq.layers.QuantConv2D) -> tf.Variable:
    """The 32-bit variable behind a layer's binary kernel, which the layer itself gives binarized inside its call."""
    return layer.trainable_weights[0]
