"""Read single values of a DICOM data set, whatever bytes they consist of."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from pydicom.errors import BytesLengthException
from pydicom.valuerep import PersonName

if TYPE_CHECKING:
    from pydicom import Dataset

# pydicom converts a value when it is first read, and raises one of these for invalid bytes
BAD_VALUE = (
    *(ValueError, TypeError, LookupError, AttributeError, NotImplementedError, ArithmeticError),
    *(OSError, EOFError, struct.error, BytesLengthException),
)

_MAX_TEXT = 256


def text(ds: Dataset, keyword: str) -> str | None:
    """Return a value as printable text, or None if it is absent, blank, too long or unreadable."""
    try:
        value = ds.get(keyword)
        parts = [value] if isinstance(value, str | PersonName) else list(value or ())
        joined = "\\".join(str(part) for part in parts)
    except BAD_VALUE:
        return None
    printable = "".join(letter for letter in joined if letter.isprintable()).strip()
    if not 0 < len(printable) <= _MAX_TEXT:
        return None
    return printable


def number(ds: Dataset, keyword: str, default: int) -> int:
    """Return a value as an integer, or `default` if it is absent, multi-valued or unreadable."""
    try:
        return int(ds.get(keyword, default))
    except BAD_VALUE:
        return default


def items(ds: Dataset, keyword: str) -> list[Any]:
    """Return the items of a sequence, or an empty list if it is absent or unreadable."""
    try:
        return [item for item in ds.get(keyword) or () if hasattr(item, "get")]
    except BAD_VALUE:
        return []
