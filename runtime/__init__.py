"""Running exported networks on the machine at hand."""

from larq_melius.runtime.lce_interpreter import make_interpreter

__all__ = ["make_interpreter"]
