"""The statuses of C-STORE (PS3.4 B.2.3) and failure reasons of STOW-RS (PS3.18 I.2) by meaning."""

from __future__ import annotations

# PS3.7 C.5.1, and the code of Azure's DICOM service for the same
_DUPLICATES = frozenset({0x0111, 0xB00E})
_OUT_OF_RESOURCES = 0xA700  # the first of 0xA700 to 0xA7FF
_RESOURCE_LIMITATION = 0x0213  # PS3.7 C.5

_MEANINGS = {
    0x0110: "general failure",
    0x0112: "SOP class not supported",
    0x0117: "invalid instance",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0x0213: "out of resources",
    0x0214: "not authorised",
    0xC122: "transfer syntax not supported",
}
# by the first digits
_KINDS = {
    0xA700: "out of resources",
    0xA900: "the data set does not match its SOP class",
}
_CANNOT_UNDERSTAND = 0xC000


def described(status: int) -> str:
    """Return a status in hexadecimal, followed by its meaning if the standard gives it one.

    >>> described(0xA7FF), described(0xC001), described(0x1234)
    ('0xA7FF (out of resources)', '0xC001 (cannot be understood)', '0x1234')
    """
    meaning = _MEANINGS.get(status) or _KINDS.get(status & 0xFF00)
    if meaning is None and status & 0xF000 == _CANNOT_UNDERSTAND:
        meaning = "cannot be understood"
    return f"0x{status:04X} ({meaning})" if meaning else f"0x{status:04X}"


def is_duplicate(status: int) -> bool:
    """Return whether the receiver already has the instance."""
    return status in _DUPLICATES


def is_out_of_resources(status: int) -> bool:
    """Return whether the receiver lacks room or memory, so that a later attempt may succeed."""
    return status & 0xFF00 == _OUT_OF_RESOURCES or status == _RESOURCE_LIMITATION
