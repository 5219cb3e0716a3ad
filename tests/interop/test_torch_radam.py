"""Compares RAdam with PyTorch's, run anew: the numbers that the fast tests go by, and a longer training."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from larq_melius.zoo.optimizers import RAdam

PYTHON = os.environ.get("INTEROP_PYTHON")
SCRIPT = Path(__file__).with_name("radam_reference.py")
FIXTURE = Path(__file__).parents[1] / "data" / "radam.json"

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="INTEROP_PYTHON does not name the Python of an environment with PyTorch (make interop)"
)


def run_torch(output: Path, *options: str) -> dict[str, Any]:
    # -I keeps what the tests' own Python has on its path out of the other environment.
    subprocess.run([str(PYTHON), "-I", str(SCRIPT), str(output), *options], check=True)
    return json.loads(output.read_text("utf-8"))


def test_the_fixture_is_what_pytorch_gives(tmp_path: Path) -> None:
    stored, fresh = json.loads(FIXTURE.read_text("utf-8")), run_torch(tmp_path / "radam.json")
    assert stored["start"] == fresh["start"]
    assert stored["gradients"] == fresh["gradients"]
    assert stored["cases"].keys() == fresh["cases"].keys()
    for name, case in fresh["cases"].items():
        # Another processor may round a power or a root otherwise.
        np.testing.assert_allclose(stored["cases"][name].pop("weights"), case.pop("weights"), rtol=1e-14, err_msg=name)
        assert stored["cases"][name] == case


@pytest.mark.usefixtures("float64")
def test_a_longer_training_is_pytorchs(tmp_path: Path) -> None:
    reference = run_torch(tmp_path / "radam.json", "--steps", "3000", "--seed", "2")
    gradients = tf.constant(reference["gradients"], tf.float64)
    for name, case in reference["cases"].items():
        optimizer = RAdam(**{key: case[key] for key in ("beta_1", "beta_2", "epsilon", "weight_decay")})
        weights = tf.Variable(reference["start"], dtype=tf.float64)
        optimizer.build([weights])

        @tf.function
        def train(
            optimizer: RAdam = optimizer, weights: tf.Variable = weights, rates: Any = case["rates"]
        ) -> tf.Tensor:
            rates = tf.constant(rates, tf.float64)
            rows = tf.TensorArray(tf.float64, len(gradients))
            for step in tf.range(len(gradients)):
                optimizer.learning_rate.assign(rates[step])
                optimizer.apply_gradients([(gradients[step], weights)])
                rows = rows.write(step, weights)
            return rows.stack()

        # Sums that nearly cancel have fewer digits than their terms.
        np.testing.assert_allclose(train(), case["weights"], rtol=1e-9, atol=1e-12, err_msg=name)
