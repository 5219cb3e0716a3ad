"""Exports a network of the Larq Zoo with random weights, by Larq Compute Engine.

Works only in an environment with larq-zoo 2.4.0 and larq-compute-engine (see requirements-larq-zoo.txt), and imports
nothing of this project:

    python larq_zoo_export.py QuickNet network.tflite
"""

import os
import sys
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import larq_compute_engine as lce
import numpy as np
import tensorflow as tf

# Imported by the Larq Zoo for its training, of which nothing here is called.
sys.modules.setdefault("tensorflow_datasets", mock.MagicMock())

from larq_zoo import literature, sota  # noqa: E402 - needs the stand-in above


def main(name: str, path: Path) -> None:
    model = getattr(literature, name, None) or getattr(sota, name)
    network = model(weights=None)
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            # The statistics of few images, so that signs depend on the image; gammas of either sign.
            layer.momentum = 0.0
            if layer.gamma is not None:
                layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape) * rng.choice([-1, 1], layer.gamma.shape))
            if layer.beta is not None:
                layer.beta.assign(rng.normal(0, 0.5, layer.beta.shape))
    network(rng.normal(size=(4, 224, 224, 3)).astype("float32"), training=True)
    path.write_bytes(lce.convert_keras_model(network))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
