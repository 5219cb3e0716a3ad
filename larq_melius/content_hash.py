"""The hash that an exported file carries of its own contents, by which a damaged copy is noticed.

It stands in the file as ``"sha256": "<64 hexadecimal digits>"`` and covers all bytes, with zeros in the place of its
digits. Zeros there mean that the file has not been sealed.
"""

import hashlib
import re

_FIELD = re.compile(rb'"sha256": "(.{64})"', re.DOTALL)
#: What stands in a file until it is sealed.
UNSEALED = "0" * 64


def seal(data: bytes) -> bytes:
    """Fills in the hash of a file that has a place for it; others stay as they are."""
    data = unseal(data)
    return _with_digits(data, hashlib.sha256(data).hexdigest())


def unseal(data: bytes) -> bytes:
    """The file without its hash, as it is before anything in it is changed."""
    return _with_digits(data, UNSEALED)


def check_content(data: bytes) -> None:
    """Checks a file against the hash that it carries, if it carries one.

    Raises:
        ValueError: If the file is not what was sealed.
    """
    found = _FIELD.search(data)
    if found is None or found[1] == UNSEALED.encode():
        return
    if hashlib.sha256(unseal(data)).hexdigest().encode() != found[1]:
        raise ValueError("the file is damaged or was changed: its contents do not match the SHA-256 that it carries")


def _with_digits(data: bytes, digits: str) -> bytes:
    found = _FIELD.search(data)
    return data if found is None else data[: found.start(1)] + digits.encode() + data[found.end(1) :]
