"""From other projects' weights to networks of the zoo, and from Keras models to TFLite files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
