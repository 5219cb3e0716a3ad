"""What the tests of converters share."""

from collections.abc import Callable
from pathlib import Path

import pytest

import larq_melius as lm
from larq_melius.converters.export.convert import convert


@pytest.fixture(scope="session")
def digits_flatbuffer(once: Callable[..., Path]) -> bytes:
    """The trained digits network as Larq Compute Engine writes it, without metadata."""
    folder = once(
        "digits_flatbuffer", lambda path: (path / "it").write_bytes(convert(lm.MeliusNetTiny(weights="digits")))
    )
    return (folder / "it").read_bytes()
