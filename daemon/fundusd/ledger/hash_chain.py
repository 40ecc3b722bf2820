"""Compute the links of the audit chain, which are hashes of the canonical bytes of rows.

Each row's hash covers the previous row's hash, so changing, removing or inserting a row breaks the
chain at that row. The functions are pure.
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
    """Encode fields with their types and lengths, so that different rows never have equal bytes.

    >>> canonical(["ab", None]) != canonical(["a", "b"])
    True
    """
    parts: list[bytes] = []
    for value in fields:
        if value is None:
            parts.append(_NOTHING)
        elif isinstance(value, str):
            raw = value.encode("utf-8", "surrogatepass")  # encodes any text, and no two alike
            parts += (b"t", len(raw).to_bytes(4), raw)
        elif isinstance(value, bytes):
            parts += (b"b", len(value).to_bytes(4), value)
        else:
            raw = b"%d" % value
            parts += (b"i", len(raw).to_bytes(4), raw)
    return b"".join(parts)


def link(previous: bytes, fields: Iterable[str | bytes | int | None]) -> bytes:
    """Return the 32-byte hash of a row.

    `previous` is the hash of the previous row.
    """
    return hashlib.sha256(DOMAIN_TAG + previous + canonical(fields)).digest()


def digest(fields: Iterable[str | bytes | int | None]) -> str:
    """Return the SHA-256 digest of the canonical bytes of fields, in hexadecimal."""
    return hashlib.sha256(canonical(fields)).hexdigest()
