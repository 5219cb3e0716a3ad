"""Selects legacy Keras (``tf_keras``, Keras 2), which Larq's layers are built on."""

import importlib
import logging
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import wrapt


def select_legacy_keras() -> None:
    """Makes ``tf.keras`` resolve to legacy Keras for this process.

    TensorFlow loads ``tf.keras`` on first use, so an earlier ``import tensorflow`` is harmless; an earlier *use* of
    ``tf.keras`` is not.

    Raises:
        ImportError: If ``tf.keras`` was already loaded as Keras 3, which a process cannot undo.
    """
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return
    if not tensorflow.keras.Model.__module__.startswith("tf_keras"):
        raise ImportError(
            "larq_melius needs legacy Keras, but tf.keras is already loaded as Keras 3: set the environment "
            "variable TF_USE_LEGACY_KERAS=1 before starting Python, or import larq_melius before tf.keras is used."
        )
    # An earlier import of TensorFlow also fixed where `from tensorflow.keras.x import y`, which Larq uses, looks.
    legacy = find_spec("tf_keras.api._v2")
    if legacy is not None and legacy.submodule_search_locations:
        tensorflow.__path__[:0] = legacy.submodule_search_locations


def register_layers_with_keras() -> None:
    """Lets ``tf.keras.models.load_model`` find the layers of this package and Larq's, without ``custom_objects``.

    They are imported as soon as legacy Keras is, whether that happened already or is still to come.
    """

    def import_layers(_: object) -> None:
        importlib.import_module("larq")
        importlib.import_module("larq_melius.layers")

    wrapt.when_imported("tf_keras")(import_layers)


def silence_wrong_constraint_warnings() -> None:
    """Drops Larq's warning that the weights of a layer may starve where they cannot.

    Larq warns of every binary kernel without a ``kernel_constraint``. Weights starve where the gradient stops beyond a
    range, which that of ``SteSign(clip_value=None)`` does not: the authors' convention has neither. Other layers keep
    their warning.
    """

    def construct(wrapped: Callable[..., None], layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        def keep(message: logging.LogRecord) -> bool:
            endless = getattr(layer.kernel_quantizer, "clip_value", 0) is None
            return not (endless and "`kernel_constraint`" in message.getMessage())

        logger = logging.getLogger("larq.layers_base")
        logger.addFilter(keep)
        try:
            wrapped(*args, **kwargs)
        finally:
            logger.removeFilter(keep)

    def wrap(module: Any) -> None:
        wrapt.wrap_function_wrapper(module, "QuantizerBase.__init__", construct)

    wrapt.when_imported("larq.layers_base")(wrap)
