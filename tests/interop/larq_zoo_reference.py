"""Runs a network of the Larq Zoo with random weights and records everything that another implementation needs.

Works only in an environment with larq-zoo 2.4.0 (see requirements-larq-zoo.txt), and imports nothing of this project:

    python larq_zoo_reference.py MeliusNet22 folder --size 224

``folder`` gets ``weights.h5`` and ``notop.h5``, as the networks' own ``save_weights`` writes them in float32, with and
without the top. ``reference.npz`` holds ``input`` (batch, height, width, channels) in float32; ``logits``
(batch, classes) and ``features`` (batch, height, width, channels), computed in float64 by networks into which the Larq
Zoo has loaded the two files again; and ``logits32`` (batch, classes), computed in float32. With ``--signs`` it holds
``signs32`` (batch, bytes), too: which of the inputs of all binary convolutions, layer after layer, were not negative in
float32, eight to a byte.
"""

import argparse
import os
import sys
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import larq as lq
import numpy as np
import tensorflow as tf

# Imported by the Larq Zoo for its training, of which nothing here is called.
sys.modules.setdefault("tensorflow_datasets", mock.MagicMock())

from larq_zoo import literature  # noqa: E402 - needs the stand-in above

#: Images that a network runs at a time.
CHUNK = 8


def build(name: str, images: np.ndarray, *, classes: int, include_top: bool, weights: Path | None) -> tf.keras.Model:
    return getattr(literature, name)(
        input_shape=images.shape[1:],
        weights=None if weights is None else str(weights),
        include_top=include_top,
        num_classes=classes,
    )


def randomize(model: tf.keras.Model, images: np.ndarray, random: np.random.Generator) -> None:
    """Gives every weight and every statistic of the model a random value.

    The statistics start from those that the images leave behind, so that no feature is lost in its offset and every
    sign depends on the image.
    """
    norms = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
    for layer in model.layers:
        if layer not in norms:
            layer.set_weights([random.normal(0, 1, weight.shape) for weight in layer.get_weights()])
    for norm in norms:
        channels = norm.gamma.shape[0]
        norm.gamma.assign(random.uniform(0.5, 1.5, channels) * random.choice([-1, 1], channels))
        norm.beta.assign(random.normal(0, 0.5, channels))
        norm.momentum = 0.0
    model(images, training=True)
    for norm in norms:
        mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
        norm.moving_mean.assign(mean + random.normal(0, 0.5, mean.shape) * np.sqrt(variance))
        # Variances down to the size of epsilon, so that a wrong epsilon shows; the scale makes up for them.
        factor = 10 ** random.uniform(-6, 0.5, variance.shape)
        norm.moving_variance.assign(variance * factor)
        norm.gamma.assign(norm.gamma.numpy() * np.sqrt(factor))


def run(model: tf.keras.Model, images: np.ndarray) -> np.ndarray:
    """The logits of the model, or its features if it has no classifier."""
    classifiers = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.Dense)]
    output = classifiers[0].output if classifiers else model.output
    network = tf.keras.Model(model.input, output)
    chunks = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    return np.concatenate([network(chunk, training=False).numpy() for chunk in chunks])


def run_with_signs(model: tf.keras.Model, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The logits, and which inputs of binary convolutions were not negative on the way, as bits, (batch, bytes)."""
    (classifier,) = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.Dense)]
    inputs = [layer.input for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)]
    network = tf.keras.Model(model.input, [classifier.output, *inputs])
    logits, bits = [], []
    for image in images:
        outputs = [output.numpy() for output in network(image[None], training=False)]
        logits.append(outputs[0])
        bits.append(np.packbits(np.concatenate([one.ravel() >= 0 for one in outputs[1:]])))
    return np.concatenate(logits), np.stack(bits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="function of larq_zoo.literature, such as MeliusNet22 or BinaryResNetE18")
    parser.add_argument("folder", type=Path, help="the folder to write to")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=2, help="number of images")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--signs", action="store_true", help="record the signs of all binary activations")
    arguments = parser.parse_args()
    name, classes = arguments.model, arguments.classes
    files = {True: arguments.folder / "weights.h5", False: arguments.folder / "notop.h5"}

    random = np.random.default_rng(arguments.seed)
    images = random.normal(size=(arguments.batch, arguments.size, arguments.size, 3)).astype("float32")
    model = build(name, images, classes=classes, include_top=True, weights=None)
    randomize(model, images[:CHUNK], random)
    model.save_weights(files[True])
    backbone = build(name, images, classes=classes, include_top=False, weights=None)
    backbone.set_weights(model.get_weights()[:-2])
    backbone.save_weights(files[False])
    arrays = {"input": images}
    if arguments.signs:
        arrays["logits32"], arrays["signs32"] = run_with_signs(model, images)
    else:
        arrays["logits32"] = run(model, images)

    tf.keras.backend.clear_session()
    tf.keras.backend.set_floatx("float64")
    for include_top, key in [(True, "logits"), (False, "features")]:
        model = build(name, images, classes=classes, include_top=include_top, weights=files[include_top])
        arrays[key] = run(model, images.astype("float64"))
    np.savez_compressed(arguments.folder / "reference.npz", **arrays)


if __name__ == "__main__":
    main()
