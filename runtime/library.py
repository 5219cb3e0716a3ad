"""Finds and loads the delegate, the library that runs Larq Compute Engine's operators in stock TensorFlow Lite."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

LIBRARY_NAME = "liblarq_melius_delegate" + (".dylib" if sys.platform == "darwin" else ".so")
#: Environment variable with the path of a library to use in the place of the package's own.
LIBRARY_VARIABLE = "LARQ_MELIUS_DELEGATE"


def find_library() -> Path | None:
    """The delegate's library, ``None`` if this installation has none.

    That is the file in the environment variable ``LARQ_MELIUS_DELEGATE``, or else the one that the package brings.

    Raises:
        FileNotFoundError: If ``LARQ_MELIUS_DELEGATE`` names no file.
    """
    given = os.environ.get(LIBRARY_VARIABLE)
    path = Path(given) if given else packaged_library()
    if path.is_file():
        return path
    if given:
        raise FileNotFoundError(f"{LIBRARY_VARIABLE} is {given}, where there is no file.")
    return None


def packaged_library() -> Path:
    """Where the package keeps its delegate, if it was built."""
    return Path(__file__).with_name(LIBRARY_NAME)


def delegate(**options: Any) -> Any:
    """Loads the delegate for an interpreter of ``ai_edge_litert`` or ``tf.lite``.

    ::

        from ai_edge_litert.interpreter import Interpreter
        from larq_melius import runtime

        interpreter = Interpreter("network.tflite", experimental_delegates=[runtime.delegate()])

    Args:
        **options: ``isa`` chooses the instruction set, by default the fastest that the processor has; ``num_threads``
            the number of threads, by default the interpreter's; ``docs/runtime.md`` has the others.

    Returns:
        What ``experimental_delegates`` takes. It may serve several interpreters, one after the other.

    Raises:
        ImportError: If ai-edge-litert is not installed.
        FileNotFoundError: If this installation has no delegate.
        OSError: If the library cannot be loaded on this machine.
        ValueError: If there is no such option or instruction set.
    """
    litert = import_litert()
    library = find_library()
    if library is None:
        raise FileNotFoundError(
            "This installation of larq-melius has no delegate: install it again where there is a C++17 compiler, or "
            f"set {LIBRARY_VARIABLE} to the path of {LIBRARY_NAME}."
        )
    ctypes.CDLL(str(library))  # Where this fails, LiteRT would print a traceback as well.
    texts = {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in options.items()}
    return litert.load_delegate(str(library), texts)


def import_litert() -> Any:
    """LiteRT's module of interpreters.

    Raises:
        ImportError: If ai-edge-litert is not installed.
    """
    try:
        import ai_edge_litert.interpreter as litert
    except ImportError as error:
        raise ImportError(f"This needs LiteRT: pip install ai-edge-litert ({error}).") from error
    return litert
