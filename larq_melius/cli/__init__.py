"""The command line, ``larq-melius``."""
