"""Larq Compute Engine's interpreter, which runs exported files on the machine at hand."""

from typing import Any

from larq_melius.content_hash import check_content


def make_interpreter(flatbuffer: bytes, *, num_threads: int = 1, use_xnnpack: bool = False) -> Any:
    """Makes an interpreter for a flatbuffer with LCE's operators.

    Its ``predict`` takes a batch and returns a batch. On x86 the binary convolutions run in reference kernels: right,
    but slow, so their time says nothing about a phone.

    Args:
        flatbuffer: A TFLite flatbuffer.
        num_threads: Threads to use.
        use_xnnpack: Whether XNNPACK runs the 32-bit operators.

    Raises:
        ImportError: If Larq Compute Engine has no wheel for this machine.
        ValueError: If the flatbuffer cannot be run, or does not match the hash of its contents that it carries.
    """
    check_content(flatbuffer)
    try:
        from larq_compute_engine.tflite.python.interpreter import Interpreter
    except ImportError as error:
        raise ImportError(
            "This needs larq-compute-engine, which has wheels for Linux on x86-64 and for macOS: "
            f"pip install larq-compute-engine ({error})."
        ) from error
    try:
        return Interpreter(flatbuffer, num_threads=num_threads, use_xnnpack=use_xnnpack)
    except RuntimeError as error:
        raise ValueError(f"Larq Compute Engine cannot run this flatbuffer: {error}") from error
