"""Where the files are that tests compare with."""

from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
