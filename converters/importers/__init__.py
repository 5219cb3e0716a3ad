"""Importers of other projects' checkpoints: BMXNet-v2, BITorch and the Larq Zoo."""

from larq_melius.converters.importers.formats import FORMATS, import_weights, recognize_format

__all__ = ["FORMATS", "import_weights", "recognize_format"]
