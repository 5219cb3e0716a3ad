"""The networks: generic builders, and those of the paper by name.

TensorFlow is imported when a builder is used; names, configurations and costs do without it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
