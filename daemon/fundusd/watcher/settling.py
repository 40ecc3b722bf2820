"""When a file has stopped changing; pure: the stat and the monotonic time come in as arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fundusd.domain.files import Stat

CAPACITY = 10_000
_FIRST_WAIT = 1.0  # seconds after the first error
_LONGEST_WAIT = 300.0


@dataclass(slots=True)
class _Candidate:
    stat: Stat
    since: float
    ready_at: float
    errors: int = 0


class Settling:
    """Files that wait to have been unchanged for `quiet_seconds` of monotonic time.

    Holds at most `capacity` of them: while it is full a new one is refused, and the next sweep brings it again.

    >>> from fundusd.domain import Stat
    >>> half, whole = Stat(512, 1, 1, 7), Stat(1024, 2, 2, 7)
    >>> settling = Settling(quiet_seconds=2)
    >>> [settling.observe(b"a.jpg", stat, now) for now, stat in ((0, half), (1.9, whole), (3, whole), (3.9, whole))]
    [False, False, False, True]
    """

    def __init__(self, quiet_seconds: float, capacity: int = CAPACITY) -> None:
        self._quiet = quiet_seconds
        self._capacity = capacity
        self._candidates: dict[bytes, _Candidate] = {}

    def __len__(self) -> int:
        return len(self._candidates)

    def __contains__(self, key: object) -> bool:
        return key in self._candidates

    @property
    def full(self) -> bool:
        """Whether a new candidate would be refused."""
        return len(self._candidates) >= self._capacity

    @property
    def half_empty(self) -> bool:
        """Whether many new candidates would be taken."""
        return len(self._candidates) <= self._capacity // 2

    def observe(self, key: bytes, stat: Stat, now: float) -> bool:
        """Note what a file looks like now; True when it has settled. An empty file never does."""
        if stat.size == 0:
            self.forget(key)
            return False
        candidate = self._candidates.get(key)
        if candidate is not None and candidate.stat == stat:
            return now >= candidate.ready_at
        if candidate is not None or not self.full:
            self._candidates[key] = _Candidate(stat, now, now + self._quiet)
        return False

    def stat(self, key: bytes) -> Stat | None:
        """Return what a waiting file looked like last, None when it does not wait."""
        candidate = self._candidates.get(key)
        return None if candidate is None else candidate.stat

    def forget(self, key: bytes) -> None:
        """Stop waiting for a file; nothing happens when nobody did."""
        self._candidates.pop(key, None)

    def restart(self, key: bytes, now: float) -> None:
        """Count a file's quiet time from now, as if it had just changed: a writer still holds it."""
        candidate = self._candidates[key]
        self._candidates[key] = _Candidate(candidate.stat, now, now + self._quiet)

    def lengthen(self, key: bytes, now: float) -> bool:
        """Ask for twice the quiet time; True when that has passed already."""
        candidate = self._candidates[key]
        candidate.ready_at = max(candidate.ready_at, candidate.since + 2 * self._quiet)
        return now >= candidate.ready_at

    def back_off(self, key: bytes, now: float) -> int:
        """Leave a file alone after an error, longer each time up to 5 minutes; return how many errors it had.

        Any change of the file ends the wait.
        """
        candidate = self._candidates[key]
        candidate.ready_at = now + min(
            _LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(candidate.errors, 16)
        )
        candidate.errors += 1
        return candidate.errors

    def ripe(self, now: float) -> list[bytes]:
        """Return the files worth another look."""
        return [key for key, candidate in self._candidates.items() if now >= candidate.ready_at]

    def due(self) -> float | None:
        """Return the monotonic time at which the next file may have settled."""
        return min((candidate.ready_at for candidate in self._candidates.values()), default=None)
