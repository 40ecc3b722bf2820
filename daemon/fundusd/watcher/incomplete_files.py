"""Files of one inbox that are not complete: since when, why, and when enough is enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fundusd.domain.files import IncompleteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fundusd.domain.files import Stat, WaitReason

_SHOWN_AFTER = 10.0  # seconds: most files are complete before anybody could look
_MOST = 10_000  # files remembered; the others wait as well, unseen


@dataclass(slots=True)
class _Wait:
    told: IncompleteFile
    stat: Stat | None  # None: not looked at since the start
    began: float
    changed: float


class Waits:
    """Remember what waits; monotonic times in seconds. What is not noted again stays until it is dropped."""

    def __init__(
        self,
        known: Mapping[bytes, IncompleteFile],
        grace_seconds: float,
        now: float,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._grace, self._wall = grace_seconds, wall
        self._waits = {
            path: _Wait(one, None, now - _SHOWN_AFTER, now) for path, one in known.items()
        }
        self._written = dict(known)

    def note(self, path: bytes, stat: Stat, reason: WaitReason, now: float) -> None:
        """Note that a file is not complete; a change of it opens again what was given up."""
        wait = self._waits.get(path)
        if wait is None:
            if len(self._waits) < _MOST:
                self._waits[path] = _Wait(
                    IncompleteFile(reason, stat.size, self._wall()), stat, now, now
                )
            return
        if (wait.stat is None and wait.told.size != stat.size) or wait.stat not in {None, stat}:
            wait.changed = now
            wait.told = replace(wait.told, quarantined_at=None)
        wait.stat = stat
        wait.told = replace(wait.told, reason=reason, size=stat.size)

    def drop(self, path: bytes) -> None:
        """Forget a file: it is complete, or gone."""
        self._waits.pop(path, None)

    def prune(self, is_gone: Callable[[bytes], bool], waits: Callable[[bytes], bool]) -> None:
        """Forget files that are not there any more, and those of an earlier run that nobody waits for any more."""
        done = [
            path
            for path, one in self._waits.items()
            if is_gone(path) or (one.stat is None and not waits(path))
        ]
        for path in done:
            del self._waits[path]

    def quarantine(self, now: float) -> list[bytes]:
        """Give up for now what has not changed for the whole grace; return it."""
        given_up = [
            path
            for path, wait in self._waits.items()
            if wait.told.quarantined_at is None and now - wait.changed >= self._grace
        ]
        for path in given_up:
            self._waits[path].told = replace(self._waits[path].told, quarantined_at=self._wall())
        return given_up

    def to_write(self, now: float) -> Mapping[bytes, IncompleteFile] | None:
        """Return what is to be shown, None when that is what was returned last."""
        shown = {
            path: wait.told
            for path, wait in self._waits.items()
            if now - wait.began >= _SHOWN_AFTER
        }
        if shown == self._written:
            return None
        self._written = shown
        return shown
