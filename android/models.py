"""Makes the networks that the app brings, each with an input and the answer that Keras gives to it.

    python android/models.py FOLDER

For each network ``NAME.tflite`` and ``NAME.json``: ``name``, ``sha256`` of the file, ``input_seed`` for the input,
``expected`` output, ``tolerance`` of each of its numbers, ``random_weights``; for the digits network, which was
trained, also ``mean`` and ``std`` of its preprocessing. All but that one end in logits: a softmax of random weights
saturates, and hides errors. The same command on the same kind of processor writes the same bytes.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from larq_melius.converters import export_tflite
from larq_melius.converters.export.convert import convert
from larq_melius.converters.export.verify import logits_model
from larq_melius.converters.tflite.flatbuffer import without_softmax
from larq_melius.files import write_atomically
from larq_melius.runtime import Interpreter
from larq_melius.zoo.classifiers import load_network
from larq_melius.zoo.random_networks import random_network

RANDOM_NETWORKS = ("MeliusNetC", "MeliusNet22", "MeliusNet42", "MobileNet-0.5", "MobileNet-1.0")
# In standard deviations of the output. Rounding makes up to 1e-4, a wrong padding or another epsilon 0.3 and more.
TOLERANCE = 0.01
ROUNDING = 1e-4


def seeded_input(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers from -1 to 1 that the app makes alike: 24 bits each of a linear congruential generator."""
    values = np.empty(np.prod(shape), "f4")
    state = seed
    for i in range(len(values)):
        state = (state * 1664525 + 1013904223) % 2**32
        values[i] = (state >> 8) / 2**23 - 1
    return values.reshape(shape)


def answer(model: tf.keras.Model, flatbuffer: bytes) -> dict[str, object]:
    """An input whose answer does not hang by a hair, and the answer of Keras.

    Rounding differs from processor to processor, and may carry a binary activation to the other side of zero. So the
    first seed is taken whose output stays the same where the input changes as by rounding.

    Raises:
        ValueError: If the flatbuffer does not compute what Keras does.
    """
    interpreter = Interpreter(flatbuffer)
    rng = np.random.default_rng(0)
    shape = tuple(model.input_shape[1:])
    for seed in range(1, 50):
        x = seeded_input(seed, shape)
        expected = np.asarray(model(x[None], training=False))[0]
        noisy = [x * (1 + rng.normal(size=shape) * scale) for scale in (0, *[1e-6] * 12)]
        outputs = interpreter.predict(np.asarray(noisy, "f4"))
        if np.abs(outputs - expected).max() < ROUNDING * expected.std():
            return {
                "input_seed": seed,
                "expected": [float(f"{value:.7g}") for value in expected],
                "tolerance": float(f"{TOLERANCE * expected.std():.3g}"),
            }
    raise ValueError(f"{model.name} does not compute what Keras does, for any of 50 inputs.")


def write(folder: Path, name: str, flatbuffer: bytes, facts: dict[str, object]) -> None:
    """Writes a network and its record into the folder, each whole or not at all."""
    write_atomically(folder / f"{name}.tflite", flatbuffer)
    record = {"name": name, "sha256": hashlib.sha256(flatbuffer).hexdigest(), **facts}
    write_atomically(folder / f"{name}.json", json.dumps(record, indent=1).encode() + b"\n")


def write_digits(folder: Path) -> None:
    """Exports the digits network, as the demo does."""
    network = load_network("MeliusNetTiny")
    preprocessing = network.known_preprocessing()
    path = folder / "digits.tflite"
    assert network.record is not None, "The digits network ships with the package."
    export_tflite(
        network.model,
        path,
        preprocessing=preprocessing,
        labels=network.labels,
        name=network.record.model,
        license=network.record.license,
    )
    flatbuffer = path.read_bytes()
    facts = {
        "random_weights": False,
        "mean": np.ravel(preprocessing.mean).tolist(),
        "std": np.ravel(preprocessing.std).tolist(),
        **answer(network.model, flatbuffer),
    }
    write(folder, "digits", flatbuffer, facts)


def main() -> None:
    """Makes all networks."""
    if len(sys.argv) != 2:
        sys.exit("usage: python android/models.py FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(["digits", *RANDOM_NETWORKS], unit="network", file=sys.stderr) as names:
        for name in names:
            names.set_postfix_str(name)
            tf.keras.utils.set_random_seed(0)
            if name == "digits":
                write_digits(folder)
                continue
            model = random_network(name)
            flatbuffer = without_softmax(convert(model))
            write(folder, name, flatbuffer, {"random_weights": True, **answer(logits_model(model), flatbuffer)})
            tf.keras.backend.clear_session()


if __name__ == "__main__":
    main()
