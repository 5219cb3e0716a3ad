"""Selects legacy Keras (``tf_keras``, Keras 2), which Larq's layers are built on."""

import os
import sys


def select_legacy_keras() -> None:
    """Makes ``tf.keras`` resolve to legacy Keras for this process.

    TensorFlow loads ``tf.keras`` on first use and reads the choice from the environment at that moment,
    so an earlier ``import tensorflow`` is harmless; an earlier *use* of ``tf.keras`` is not.

    Raises:
        ImportError: If ``tf.keras`` was already loaded as Keras 3, which a process cannot undo.
    """
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and not tensorflow.keras.__name__.startswith("tf_keras"):
        raise ImportError(
            "larq_melius needs legacy Keras, but tf.keras is already loaded as Keras 3: set the environment "
            "variable TF_USE_LEGACY_KERAS=1 before starting Python, or import larq_melius before tf.keras is used."
        )
