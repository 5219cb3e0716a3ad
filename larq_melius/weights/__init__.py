"""Weights: what there is, where it comes from, and how it gets into a model.

The registry and the downloads do without TensorFlow, which is imported when weights are loaded into a model.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
