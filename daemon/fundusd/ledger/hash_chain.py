"""The audit chain: canonical bytes of a row and its hash; pure.

Each row's hash covers the previous one, so a row that is changed, removed or inserted breaks every
link after it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DOMAIN_TAG = b"fundusd-audit-v1"
GENESIS = bytes(32)

_NOTHING = b"n" + bytes(4)


def canonical(fields: Iterable[str | bytes | int | None]) -> bytes:
    """Return the bytes of fields, each with its type and length, so that no two rows share them.

    >>> canonical(["ab", None]) != canonical(["a", "b"])
    True
    """
    parts: list[bytes] = []
    for value in fields:
        if value is None:
            parts.append(_NOTHING)
        elif isinstance(value, str):
            raw = value.encode("utf-8", "surrogatepass")  # any text, and no two alike
            parts += (b"t", len(raw).to_bytes(4), raw)
        elif isinstance(value, bytes):
            parts += (b"b", len(value).to_bytes(4), value)
        else:
            raw = b"%d" % value
            parts += (b"i", len(raw).to_bytes(4), raw)
    return b"".join(parts)


def link(previous: bytes, fields: Iterable[str | bytes | int | None]) -> bytes:
    """Return the 32-byte hash of a row that follows the row hashed to `previous`."""
    return hashlib.sha256(DOMAIN_TAG + previous + canonical(fields)).digest()


def digest(fields: Iterable[str | bytes | int | None]) -> str:
    """Return the hex sha256 of some fields' canonical bytes."""
    return hashlib.sha256(canonical(fields)).hexdigest()
