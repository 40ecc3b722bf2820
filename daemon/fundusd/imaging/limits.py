"""How much one capture may cost."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What decoding one capture may take at most."""

    seconds: float = 20  # wall clock
    memory_bytes: int = 3072 * _MIB  # address space beyond what an idle decoder has
    max_bytes: int = 256 * _MIB  # of the file, and of a deflated DICOM when inflated
    max_pixels: int = 60_000_000
