"""Decide when a file has stopped changing.

This module reads neither files nor the clock, because stats and times are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fundusd.domain.files import Stat

_FIRST_RETRY_SECONDS = 1.0
_MAX_RETRY_SECONDS = 300.0


@dataclass(slots=True)
class _Candidate:
    stat: Stat
    since: float
    ready_at: float
    errors: int = 0
    is_last: bool = False


class Settling:
    """Files waiting until they have been unchanged for `quiet_seconds` of monotonic time.

    At most `capacity` files can wait. A further file takes the place of one that cannot be read or
    was put last. If there is none, it is refused; the next sweep offers again what was refused.

    >>> from fundusd.domain.files import Stat
    >>> half, whole = Stat(512, 1, 1, 7), Stat(1024, 2, 2, 7)
    >>> settling = Settling(quiet_seconds=2, capacity=10)
    >>> settling.observe(b"a.jpg", half, 0), settling.observe(b"a.jpg", whole, 1.9)
    (False, False)
    >>> settling.observe(b"a.jpg", whole, 3.8), settling.observe(b"a.jpg", whole, 3.9)
    (False, True)
    """

    def __init__(self, quiet_seconds: float, capacity: int) -> None:
        self._quiet = quiet_seconds
        self._capacity = capacity
        self._candidates: dict[bytes, _Candidate] = {}
        self._yielding: dict[bytes, None] = {}  # to new files, the longest waiting first

    def __len__(self) -> int:
        return len(self._candidates)

    def __contains__(self, path: object) -> bool:
        return path in self._candidates

    @property
    def is_full(self) -> bool:
        """Whether a new file would be refused."""
        return len(self._candidates) >= self._capacity

    @property
    def is_half_empty(self) -> bool:
        """Whether at least half the capacity is free."""
        return len(self._candidates) <= self._capacity // 2

    def observe(self, path: bytes, stat: Stat, now: float) -> bool:
        """Note a file's current stat, and return whether the file has settled.

        Empty files never settle.
        """
        if stat.size == 0:
            self.forget(path)
            return False
        candidate = self._candidates.get(path)
        if candidate is None and self.is_full:
            self._make_room()
        if candidate is not None and candidate.stat == stat:
            return now >= candidate.ready_at
        if candidate is not None or not self.is_full:
            self._yielding.pop(path, None)
            self._candidates[path] = _Candidate(stat, now, now + self._quiet)
        return False

    def _make_room(self) -> None:
        """Refuse a file that could not be read, or was put last, in favour of a new one."""
        if self._yielding:
            self.forget(next(iter(self._yielding)))

    def last_stat(self, path: bytes) -> Stat | None:
        """Return the last observed stat of a file, or None if the file is not waiting."""
        candidate = self._candidates.get(path)
        if candidate is None:
            return None
        return candidate.stat

    def forget(self, path: bytes) -> None:
        """Stop waiting for a file, or do nothing if the file is not waiting."""
        self._candidates.pop(path, None)
        self._yielding.pop(path, None)

    def restart(self, path: bytes, now: float) -> None:
        """Restart a file's quiet time at `now`, as if it had just changed."""
        candidate = self._candidates[path]
        self._candidates[path] = _Candidate(candidate.stat, now, now + self._quiet)

    def lengthen(self, path: bytes, now: float) -> bool:
        """Require twice the quiet time for a file, and return whether that time has passed."""
        candidate = self._candidates[path]
        candidate.ready_at = max(candidate.ready_at, candidate.since + 2 * self._quiet)
        return now >= candidate.ready_at

    def back_off(self, path: bytes, now: float) -> int:
        """Postpone a file after an error, and return how many errors the file has had.

        The pause doubles with each error, up to five minutes. A change to the file ends the pause.
        """
        candidate = self._candidates[path]
        pause = _FIRST_RETRY_SECONDS * 2.0 ** min(candidate.errors, 16)
        candidate.ready_at = now + min(_MAX_RETRY_SECONDS, pause)
        candidate.errors += 1
        self._yielding[path] = None
        return candidate.errors

    def put_last(self, path: bytes) -> bool:
        """Let all other files go before a settled file.

        Return False if the file has let them go before it already.
        """
        candidate = self._candidates[path]
        was_last, candidate.is_last = candidate.is_last, True
        self._yielding[path] = None
        return not was_last

    def ready(self, now: float) -> list[bytes]:
        """Return the files whose waiting time is over, those that were put last at the end."""
        first: list[bytes] = []
        last: list[bytes] = []
        for path, candidate in self._candidates.items():
            if now >= candidate.ready_at:
                (last if candidate.is_last else first).append(path)
        return first + last

    def next_ready_at(self) -> float | None:
        """Return the monotonic time at which a file may next settle, or None if none is waiting."""
        return min((candidate.ready_at for candidate in self._candidates.values()), default=None)
