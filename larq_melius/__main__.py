"""``python -m larq_melius``: the command line."""

from larq_melius.cli import main

main()
