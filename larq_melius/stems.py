"""The stems: the first layers of a network, by the names that models, recipes and the command line share."""

from typing import Literal, get_args

Stem = Literal["grouped", "conv7x7", "thumbnail"]
STEMS: tuple[Stem, ...] = get_args(Stem)
