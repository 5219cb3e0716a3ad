"""Running exported networks on the machine at hand.

Needs NumPy and ai-edge-litert, but neither TensorFlow nor Larq: importing it takes a moment, on a small computer too.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
