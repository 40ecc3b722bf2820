"""The audit chain: canonical bytes of a row and its hash; pure.

Each row's hash covers the previous one: a changed, dropped or inserted row breaks every link after it.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DOMAIN_TAG = b"fundusd-audit-v1"
GENESIS = bytes(32)

_NULL, _TEXT, _BYTES, _INT = b"n", b"t", b"b", b"i"


def canonical(fields: Iterable[str | bytes | int | None]) -> bytes:
    """Encode fields so that no two different rows share their bytes: a type letter and a length before each.

    >>> canonical(["ab", None]) != canonical(["a", "b"])
    True
    """
    return b"".join(_field(value) for value in fields)


def _field(value: str | bytes | int | None) -> bytes:
    kind, raw = _encoded(value)
    return kind + struct.pack(">I", len(raw)) + raw


def _encoded(value: str | bytes | int | None) -> tuple[bytes, bytes]:
    if value is None:
        return _NULL, b""
    if isinstance(value, str):
        return _TEXT, value.encode("utf-8", "surrogatepass")  # any text, and no two alike
    if isinstance(value, bytes):
        return _BYTES, value
    return _INT, str(value).encode()


def link(previous: bytes, fields: Iterable[str | bytes | int | None]) -> bytes:
    """Return the 32-byte hash of a row that follows the row hashed to `previous`."""
    return hashlib.sha256(DOMAIN_TAG + previous + canonical(fields)).digest()


def digest(fields: Iterable[str | bytes | int | None]) -> str:
    """Return the hex sha256 of some fields' canonical bytes."""
    return hashlib.sha256(canonical(fields)).hexdigest()
