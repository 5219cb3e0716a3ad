"""As training_steps.py, for a network of the Larq Zoo in its own environment (see tests/interop); imports nothing else.

python larq_zoo_steps.py MeliusNet22 16
"""

import argparse
import os
import sys
import time
from unittest import mock

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf

# Imported by the Larq Zoo for its data sets, of which none is used.
sys.modules.setdefault("tensorflow_datasets", mock.MagicMock())

from larq_zoo import literature  # noqa: E402 - needs the stand-in above

parser = argparse.ArgumentParser()
parser.add_argument("network")
parser.add_argument("batch_size", type=int)
parser.add_argument("--size", type=int, default=224)
arguments = parser.parse_args()

model = getattr(literature, arguments.network)(
    input_shape=(arguments.size, arguments.size, 3), weights=None, num_classes=1000
)
metrics = [tf.keras.metrics.SparseCategoricalAccuracy(), tf.keras.metrics.SparseTopKCategoricalAccuracy(5)]
model.compile(tf.keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics)
random = np.random.default_rng(0)
images = tf.constant(random.normal(size=(arguments.batch_size, arguments.size, arguments.size, 3)), tf.float32)
labels = tf.constant(random.integers(0, 1000, arguments.batch_size))
model.train_on_batch(images, labels)
print("ready", flush=True)
for _ in iter(input, "end"):
    started = time.monotonic()
    model.train_on_batch(images, labels)
    print(time.monotonic() - started, flush=True)
