"""Resource limits for decoding one capture."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The maximum resources that decoding one capture may use."""

    seconds: float = 20  # wall clock
    memory_bytes: int = 3072 * _MIB  # address space beyond that of an idle decoder process
    max_bytes: int = 256 * _MIB  # of the file, and of a deflated DICOM data set once inflated
    max_pixels: int = 60_000_000
