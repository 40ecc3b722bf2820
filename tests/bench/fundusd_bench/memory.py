"""Read how much memory a process uses, as the kernel counts it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_MB = 1000  # kilobytes


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in kilobytes, and its anonymous part, which no file backs."""

    resident: int
    anonymous: int

    @property
    def resident_mb(self) -> float:
        """Return the resident memory in MB."""
        return self.resident / _MB

    @property
    def anonymous_mb(self) -> float:
        """Return the anonymous memory in MB."""
        return self.anonymous / _MB


def of_process(pid: int) -> Memory:
    """Return the memory of a running process."""
    return parse(Path(f"/proc/{pid}/smaps_rollup").read_text())


def parse(rollup: str) -> Memory:
    r"""Return the sums in the text of a smaps_rollup.

    >>> parse("00-ff ---p 0 00:00 0 [rollup]\nRss:   10 kB\nAnonymous:   4 kB\n")
    Memory(resident=10, anonymous=4)
    """
    sums = dict(re.findall(r"^(Rss|Anonymous):\s+(\d+) kB$", rollup, re.MULTILINE))
    return Memory(int(sums["Rss"]), int(sums["Anonymous"]))
