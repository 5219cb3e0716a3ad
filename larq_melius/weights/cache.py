"""Where weight files are kept and come from: by default as the environment says."""

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path


@dataclass(frozen=True)
class WeightCache:
    """Where weight files are kept and come from.

    Attributes:
        home: Folder of the downloaded weights and of the user's registry.
        mirror: Base URL or folder to look for files in first, by their names.
        offline: Whether the network must not be touched.
    """

    home: Path
    mirror: str | None = None
    offline: bool = False

    @classmethod
    def from_environment(cls) -> "WeightCache":
        """What ``LARQ_MELIUS_HOME``, ``LARQ_MELIUS_MIRROR`` and ``LARQ_MELIUS_OFFLINE`` say.

        Without ``LARQ_MELIUS_HOME``, it is the platform's folder for caches (``~/.cache/larq-melius`` on Linux).
        """
        home = os.environ.get("LARQ_MELIUS_HOME")
        return cls(
            home=Path(home).expanduser() if home else user_cache_path("larq-melius", appauthor=False),
            mirror=os.environ.get("LARQ_MELIUS_MIRROR") or None,
            offline=os.environ.get("LARQ_MELIUS_OFFLINE", "0") not in ("", "0"),
        )


_chosen: ContextVar[WeightCache | None] = ContextVar("weight_cache", default=None)


@contextlib.contextmanager
def use_cache(cache: WeightCache) -> Iterator[None]:
    """Within it, weights are looked for in ``cache`` and not where the environment says."""
    token = _chosen.set(cache)
    try:
        yield
    finally:
        _chosen.reset(token)


def current_cache() -> WeightCache:
    """That of ``use_cache``, or else the environment's."""
    return _chosen.get() or WeightCache.from_environment()


def cache_dir() -> Path:
    """The folder of downloaded weights and the user's registry."""
    return current_cache().home


def mirror_url() -> str | None:
    """The base URL or folder to look for files in first, by their names."""
    return current_cache().mirror


def is_offline() -> bool:
    """Whether the network must not be touched."""
    return current_cache().offline
