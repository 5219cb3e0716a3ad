"""Where weight files are kept, and how the environment says so."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_dir() -> Path:
    """The folder of downloaded weights and the user's registry.

    ``LARQ_MELIUS_HOME`` if that is set, or else what the platform has for caches (``~/.cache/larq-melius`` on Linux).
    """
    configured = os.environ.get("LARQ_MELIUS_HOME")
    return Path(configured).expanduser() if configured else user_cache_path("larq-melius", appauthor=False)


def mirror_url() -> str | None:
    """The base URL or folder to look for files in first, by their names: ``LARQ_MELIUS_MIRROR``."""
    return os.environ.get("LARQ_MELIUS_MIRROR") or None


def is_offline() -> bool:
    """Whether the network must not be touched: ``LARQ_MELIUS_OFFLINE`` is set to anything but 0."""
    return os.environ.get("LARQ_MELIUS_OFFLINE", "0") not in ("", "0")
