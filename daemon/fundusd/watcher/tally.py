"""Count what a sweep of an inbox has seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fundusd.domain.files import IgnoreReason


@dataclass(slots=True)
class Tally:
    """Counts of the files, directories and sightings that a sweep has processed so far."""

    files: int = 0
    candidates: int = 0  # regular files that are not ignored by name
    directories: int = 0
    waiting: int = 0
    unreadable: int = 0
    present: int = 0  # sightings whose files are there
    vanished: int = 0  # sightings whose files are gone
    sample: bytes | None = None  # the path of any regular file
    ignored: Counter[IgnoreReason] = field(default_factory=Counter)
