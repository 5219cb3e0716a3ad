"""MeliusNet and its baselines as Keras applications, from ImageNet recipes to phone-ready TFLite files.

Importing the package selects legacy Keras and is quick: TensorFlow is imported when something that needs it is used.
``__init__.pyi`` lists what there is.
"""

import lazy_loader

from larq_melius.legacy_keras import (
    register_layers_with_keras,
    select_legacy_keras,
    silence_wrong_constraint_warnings,
)
from larq_melius.version import __version__  # noqa: F401 - part of the API

select_legacy_keras()
register_layers_with_keras()
silence_wrong_constraint_warnings()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
