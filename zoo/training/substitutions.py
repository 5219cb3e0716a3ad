"""Replaces layers of a network: with ones of another precision, or with ones that compute the same thing faster."""

from collections.abc import Callable

import larq as lq
import tensorflow as tf

#: Returns the layer to use in place of the given one, with the same variables, or ``None`` to keep it.
Substitution = Callable[[tf.keras.layers.Layer], tf.keras.layers.Layer | None]


def substitute(model: tf.keras.Model, *substitutions: Substitution) -> tf.keras.Model:
    """Clones a network once, replacing its layers.

    Args:
        model: The network.
        *substitutions: Applied to each layer in this order; each one sees what the one before it returned.

    Returns:
        A new network with the same weights, or ``model`` itself without any substitutions.
    """
    if not substitutions:
        return model

    def clone(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        new = layer
        for replace in substitutions:
            new = replace(new) or new
        return layer.__class__.from_config(layer.get_config()) if new is layer else new

    clones = tf.keras.models.clone_model(model, clone_function=clone)
    clones.set_weights(model.get_weights())
    return clones


def quantize_as(quantization: str) -> list[Substitution]:
    """The substitutions that make less of a network binary, for the first of two training stages.

    A removed sign leaves activations clipped to its range, -1 to 1, for which the straight-through gradient is the true
    one; 32-bit weights are the latent ones. Variables stay the same, so weights fit both networks.

    Args:
        quantization: ``"binary"`` (nothing to replace), ``"float_weights"``, ``"float_activations"`` or ``"float"``.
    """
    if quantization == "binary":
        return []

    def replace(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer | None:
        if not isinstance(layer, lq.layers.QuantConv2D):
            return None
        config = layer.get_config()
        if quantization != "float_activations":
            config["kernel_quantizer"] = None
        if quantization != "float_weights":
            config["input_quantizer"] = lq.activations.hard_tanh
        return layer.__class__.from_config(config)

    return [replace]


class ZeroPaddedQuantConv2D(lq.layers.QuantConv2D):
    """A binary convolution padded with +1, computed from a map padded with zeros.

    With the signs ``s`` of the input, the signs ``w`` of the kernel and ``pad_v``, padding with the value ``v``:

        ``conv(pad_1(s), w) = conv(pad_0(s - 1), w) + sum(w)``,

    where the sum is over height, width and input channels, since ``pad_1(s) - 1 = pad_0(s - 1)``. TensorFlow's
    convolution pads with zeros itself, which saves a padded copy of the map and one of its gradient. All terms are
    integers that float32 represents exactly (up to 2^24), so outputs are equal to the last bit; gradients are sums of
    the same terms in another order, equal up to rounding. ``pads_with_one`` says where that holds.

    Input shape: ``(batch, height, width, channels)``; output shape: ``(batch, height, width, filters)``.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        with lq.context.quantized_scope(True):
            kernel = tf.convert_to_tensor(self.kernel)
        outputs = tf.nn.conv2d(self.input_quantizer(inputs) - 1.0, kernel, strides=1, padding="SAME")
        return outputs + tf.reduce_sum(kernel, axis=[0, 1, 2])


def pads_with_one(layer: tf.keras.layers.Layer) -> bool:
    """Whether ``ZeroPaddedQuantConv2D`` computes exactly what a layer does."""
    return (
        type(layer) is lq.layers.QuantConv2D
        and type(layer.input_quantizer) is lq.quantizers.SteSign
        and type(layer.kernel_quantizer) is lq.quantizers.SteSign
        and (layer.padding, layer.pad_values) == ("same", 1.0)
        and layer.strides == layer.dilation_rate == (1, 1)
        and layer.groups == 1
        and layer.data_format == "channels_last"
        and layer.activation is tf.keras.activations.linear
        and not layer.use_bias
        # Half precision does not represent all of the integers.
        and layer.dtype_policy.name == "float32"
    )


def pad_with_zeros(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer | None:
    """Replaces binary convolutions padded with +1 where that is exact."""
    return ZeroPaddedQuantConv2D.from_config(layer.get_config()) if pads_with_one(layer) else None


class SplitConv2D(tf.keras.layers.Conv2D):
    """A grouped convolution computed group by group, with the variables and results of ``Conv2D``.

    TensorFlow has no CPU kernel for the gradients of grouped convolutions, so Keras has XLA compile them, to loops that
    take twenty times as long as the few convolutions they stand for: three quarters of a step of MeliusNet22.

    Input shape: ``(batch, height, width, channels)``; output shape: ``(batch, new height, new width, filters)``.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        parts = zip(tf.split(inputs, self.groups, axis=-1), tf.split(self.kernel, self.groups, axis=-1), strict=True)
        outputs = tf.concat([self.convolution_op(x, kernel) for x, kernel in parts], axis=-1)
        outputs = outputs if self.bias is None else tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


def split_groups(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer | None:
    """Replaces plain grouped convolutions of channels-last maps by ones that are computed group by group."""
    splits = type(layer) is tf.keras.layers.Conv2D and layer.groups > 1 and layer.data_format == "channels_last"
    return SplitConv2D.from_config(layer.get_config()) if splits else None
