"""Networks of which only the weights, only the activations or neither are binary: the first of two training stages."""

import larq as lq
import tensorflow as tf

from larq_melius.zoo.training.rebuilding import rebuild


def with_quantization(model: tf.keras.Model, quantization: str) -> tf.keras.Model:
    """The same network with less of it binary.

    Where a sign is left out, activations are clipped to its range, -1 to 1, which leaves the straight-through gradient
    a true one; 32-bit weights are the latent ones. Layers and variables stay as they are, so weights fit both ways.

    Args:
        model: A network with binary convolutions.
        quantization: ``"binary"``, ``"float_weights"``, ``"float_activations"`` or ``"float"``.

    Returns:
        ``model`` itself for ``"binary"``, or else a new network with its weights.
    """
    if quantization == "binary":
        return model

    def change(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer | None:
        if not isinstance(layer, lq.layers.QuantConv2D):
            return None
        config = layer.get_config()
        if quantization != "float_activations":
            config["kernel_quantizer"] = None
        if quantization != "float_weights":
            config["input_quantizer"] = lq.activations.hard_tanh
        return layer.__class__.from_config(config)

    return rebuild(model, change)
