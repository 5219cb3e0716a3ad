"""Keeps TensorFlow's chatter out of the terminal."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator


def import_tensorflow_quietly() -> None:
    """Imports TensorFlow, Keras and Larq without their messages, and silences those still to come.

    Who sets ``TF_CPP_MIN_LOG_LEVEL`` gets what it asks for.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        from larq_melius import models

        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    with _stderr_closed():
        from larq_melius import models  # noqa: F401


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    """Drops what is written to the file descriptor of stderr: TensorFlow's first messages obey no setting."""
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
