"""Writing files so that a failure leaves no half of one."""

import contextlib
import errno
import glob
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows has no such locks: what a killed process leaves behind stays there
    fcntl = None  # type: ignore[assignment]

#: Names of open files and devices: there is no file to replace behind them.
_OPEN_FILES = ("/dev/std", "/dev/fd/", "/proc/")
#: Seconds for which an empty temporary file may belong to a process that has not locked it yet.
_JUST_MADE = 60


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Writes ``data`` to ``path`` as ``atomic_file`` does, and returns the path.

    Raises:
        OSError: If that fails (no such folder, no permission, a full disk); an earlier file is then still whole.
    """
    with atomic_file(path) as file:
        file.write(data)
    return Path(path)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Opens a temporary file beside ``path`` that is renamed to ``path`` at the end of the ``with`` block.

    If the block fails, an earlier file is still whole. A symbolic link stays one, and what it points to is replaced.
    Devices, pipes and ``/dev/stdout`` are written to. Temporary files of killed processes are removed.

    Raises:
        OSError: If that fails (no such folder, no permission, a full disk), as ``Cannot write PATH: reason``.
    """
    check_writable(path)
    with _naming(path):
        if _is_written_through(path):
            with open(path, "ab") as file:
                yield file
            return
        target = Path(os.path.realpath(path))
        _remove_orphans(target)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            _lock(descriptor)
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                # mkstemp makes private files; this one is as readable as any other the user writes.
                umask = os.umask(0)
                os.umask(umask)
                os.chmod(temporary, 0o666 & ~umask)
                os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def check_writable(path: str | os.PathLike[str]) -> None:
    """Checks before long work that its result can be written to ``path``.

    Raises:
        OSError: If ``path`` is a folder, its folder does not exist, or there is no permission.
    """
    with _naming(path):
        if _is_written_through(path):
            return
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise _error(errno.EISDIR)
        if not stat.S_ISDIR(os.stat(target.parent).st_mode):
            raise _error(errno.ENOTDIR)
        if not os.access(target.parent, os.W_OK) or (target.exists() and not os.access(target, os.W_OK)):
            raise _error(errno.EACCES)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Errors without a number are not the file system's, but of whoever provides the data.
        if error.errno is None or str(error.strerror).startswith("Cannot write"):
            raise
        raise OSError(error.errno, f"Cannot write {Path(path)}: {error.strerror}") from error


def _is_written_through(path: str | os.PathLike[str]) -> bool:
    """Whether a path is something that holds no data to keep whole: a device, a pipe, an open file by its number."""
    if str(path).startswith(_OPEN_FILES):
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _remove_orphans(target: Path) -> None:
    """Removes the temporary files of processes that were killed while they wrote the same file.

    A process holds a lock on its temporary file from before the first byte until it has renamed it, so one with
    something in it and without a lock is nobody's.
    """
    for orphan in target.parent.glob(f".{glob.escape(target.name)}.????????"):
        with contextlib.suppress(OSError):
            descriptor = os.open(orphan, os.O_RDWR | os.O_NOFOLLOW)
            try:
                status = os.fstat(descriptor)
                old = status.st_size > 0 or time.time() - status.st_mtime > _JUST_MADE
                if stat.S_ISREG(status.st_mode) and _lock(descriptor) and old:
                    orphan.unlink()
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Locks a file until it is closed; ``False`` if another process has it locked, or locks do not work there."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
