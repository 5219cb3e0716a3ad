"""Keeps TensorFlow's log messages out of the terminal."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

_LOGGERS = ("tensorflow", "absl", "larq")
# The level at which TensorFlow's C++ code reports fatal errors only.
_SILENT = "3"


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Imports TensorFlow, Keras and Larq, and silences their messages until the end of the block.

    With ``TF_CPP_MIN_LOG_LEVEL`` set to less than 3 in the environment, they are not silenced.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _SILENT) != _SILENT:
        yield
        return
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _stderr_closed():
            import larq  # noqa: F401 - imports TensorFlow and Keras
        # Importing TensorFlow sets the levels of its loggers.
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    """Discards writes to the file descriptor of stderr: TensorFlow's first messages cannot be turned off."""
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(nowhere)
        os.close(saved)
