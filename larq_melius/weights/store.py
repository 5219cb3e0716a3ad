"""Gets registered weight files: from the package, from the cache, from a mirror, from the web.

pooch downloads: to a temporary file, which takes its name in the cache only once its hash is right. Several processes
may fetch one file at the same time; each moves a whole file into place.
"""

import hashlib
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pooch
import requests

from larq_melius.files import atomic_file
from larq_melius.weights.cache import cache_dir, is_offline, mirror_url
from larq_melius.weights.records import WeightsRecord

#: Attempts after the first one, for servers that are busy for a moment.
RETRIES = 2
#: Of a server's answers 400 to 499, those that another attempt may change: it waited too long, or was asked too often.
PASSING = (408, 429)
#: Seconds without an answer after which a server counts as gone.
TIMEOUT = 30
#: Bytes a second, on average and after a minute, below which a download is given up.
SLOWEST = 5_000
PATIENCE = 60
#: Bytes of a file whose record does not tell its size; the largest network of this zoo takes 0.2 GB.
LARGEST = 1 << 30


class WeightsUnavailableError(OSError):
    """A registered weight file that cannot be had."""


class _FinalError(OSError):
    """What another attempt at the same address would not change; pooch tries again after other errors."""


def cached_path(record: WeightsRecord) -> Path:
    """Where the file of a record is kept once it was fetched or added."""
    return cache_dir() / "weights" / record.file


def shipped_path(record: WeightsRecord) -> Path | None:
    """The file of a record within the package, or ``None`` if the package does not hold it."""
    path = Path(str(files("larq_melius").joinpath("data", record.file)))
    return path if path.is_file() else None


def locate(record: WeightsRecord) -> Path:
    """The file of a record on this machine, if need be downloaded, its hash checked.

    Raises:
        WeightsUnavailableError: If the file is not here and cannot be had: no server answers, the network must not be
            touched, or what comes is not the file.
    """
    shipped = shipped_path(record)
    if shipped is not None:
        if not is_intact(record, shipped):
            raise WeightsUnavailableError(f"{shipped} is damaged: install larq-melius again.")
        return shipped
    return fetch(record)


def is_intact(record: WeightsRecord, path: Path) -> bool:
    """Whether a file is the one that the record describes."""
    return file_hash(path) == record.sha256


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def fetch(record: WeightsRecord) -> Path:
    """Gets a file into the cache, over the one there if that is damaged.

    The mirror of ``LARQ_MELIUS_MIRROR`` comes first, then the record's own addresses.

    Raises:
        WeightsUnavailableError: If the file cannot be had; what was in the cache under its name is removed if it is
            not the file.
    """
    target = cached_path(record)
    if target.is_file():
        if is_intact(record, target):
            return target
        target.unlink()
    failures = []
    for source in _sources(record):
        try:
            return _get(record, source, target)
        except (ValueError, OSError, requests.RequestException) as error:
            failures.append(f"{source}: {_reason(error)}")
    raise WeightsUnavailableError(_explain(record, target, failures))


def _sources(record: WeightsRecord) -> list[str]:
    """Addresses and local paths to try, in order."""
    base = mirror_url()
    sources = [] if base is None else [f"{base.rstrip('/')}/{quote(record.file) if _is_url(base) else record.file}"]
    sources += record.urls
    return [source for source in sources if not (_is_url(source) and is_offline())]


def _get(record: WeightsRecord, source: str, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    if _is_url(source):
        pooch.get_logger().setLevel("WARNING")
        limits = {"response": lambda response, **_: _check_response(response, record)}
        downloader = pooch.HTTPDownloader(
            progressbar=sys.stderr.isatty(), timeout=TIMEOUT, chunk_size=1 << 16, hooks=limits
        )
        cache = pooch.create(
            target.parent,
            base_url="",
            registry={record.file: f"sha256:{record.sha256}"},
            urls={record.file: source},
            retry_if_failed=RETRIES,
        )
        return Path(cache.fetch(record.file, downloader=downloader))
    return _copy(record, Path(source).expanduser(), target)


def _copy(record: WeightsRecord, source: Path, target: Path) -> Path:
    if not is_intact(record, source):
        raise ValueError("this is not the file, by its hash")
    with source.open("rb") as original, atomic_file(target) as copy:
        shutil.copyfileobj(original, copy)
    return target


class _LimitedBody:
    """The body of a response, which ends with an error once it is larger than the file or takes too long.

    A server may send more than it announced, a compressed body may grow without end, and one that sends a byte now and
    then never runs into a timeout.
    """

    def __init__(self, body: Any, most: int) -> None:
        self._body = body
        self._most = most
        self._until = time.monotonic() + PATIENCE + most / SLOWEST

    def stream(self, amount: int, decode_content: bool | None = None) -> Iterator[bytes]:
        """Yields what arrives, at most ``amount`` bytes at a time."""
        received = 0
        while data := self._body.read1(amount, decode_content=decode_content):
            received += len(data)
            if received > self._most:
                raise _FinalError(f"the server sends more than the file's {self._most:,} bytes")
            if time.monotonic() > self._until:
                raise _FinalError("the server sends too slowly")
            yield data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


def _check_response(response: requests.Response, record: WeightsRecord) -> None:
    """Refuses an answer that will stay the same, and limits the body of others."""
    status = response.status_code
    if 400 <= status < 500 and status not in PASSING:
        raise _FinalError(f"the server answers {status}")
    response.raw = _LimitedBody(response.raw, LARGEST if record.bytes is None else record.bytes)


def _is_url(source: str) -> bool:
    return "://" in source


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "the server does not answer"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "no connection, or it broke off"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "what came is not the file, by its hash" if "hash" in str(error) else str(error)


def _explain(record: WeightsRecord, target: Path, failures: list[str]) -> str:
    what = f"The {record.tag!r} weights of {record.model} ({record.file})"
    if failures:
        return f"{what} cannot be had. {'; '.join(failures)}."
    if is_offline() and record.urls:
        return (
            f"{what} are not in the cache, and LARQ_MELIUS_OFFLINE forbids to download them: put the file from "
            f"{record.urls[0]} at {target}."
        )
    return f"{what} are not at {target}, or damaged there: add the file again with 'larq-melius weights add'."
