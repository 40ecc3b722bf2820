"""Track the incomplete files of one inbox, and decide when to quarantine them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fundusd.domain.files import IncompleteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fundusd.domain.files import Stat, WaitReason
    from fundusd.watcher.rules import IntakeRules

_MAX_FILES = 10_000  # further files wait to settle as well, but are not reported


@dataclass(slots=True)
class _Entry:
    file: IncompleteFile
    stat: Stat | None  # None: not seen since startup
    began: float
    changed: float

    def has_changed(self, stat: Stat) -> bool:
        if self.stat is None:
            return self.file.size != stat.size
        return self.stat != stat


class IncompleteFiles:
    """The incomplete files of one inbox; times are monotonic seconds."""

    def __init__(
        self, known: Mapping[bytes, IncompleteFile], rules: IntakeRules, now: float
    ) -> None:
        self._rules = rules
        self._entries: dict[bytes, _Entry] = {}
        for path, file in known.items():
            began = now - rules.min_incomplete_seconds  # it was reported before the restart
            self._entries[path] = _Entry(file, None, began, now)
        self._reported = dict(known)

    def note(self, path: bytes, stat: Stat, reason: WaitReason, now: float) -> None:
        """Note that a file is incomplete.

        If the file is quarantined but has changed, its quarantine ends.
        """
        entry = self._entries.get(path)
        if entry is None:
            if len(self._entries) < _MAX_FILES:
                file = IncompleteFile(reason, stat.size, self._rules.now())
                self._entries[path] = _Entry(file, stat, now, now)
            return
        if entry.has_changed(stat):
            entry.changed = now
            entry.file = replace(entry.file, quarantined_at=None)
        entry.stat = stat
        entry.file = replace(entry.file, reason=reason, size=stat.size)

    def drop(self, path: bytes) -> None:
        """Forget a file that is complete or gone."""
        self._entries.pop(path, None)

    def prune(self, is_gone: Callable[[bytes], bool], is_waiting: Callable[[bytes], bool]) -> None:
        """Forget files that are gone.

        A file that was not noted since startup is also forgotten unless it is waiting to settle.
        """
        for path, entry in list(self._entries.items()):
            if is_gone(path) or (entry.stat is None and not is_waiting(path)):
                del self._entries[path]

    def quarantine(self, now: float) -> list[bytes]:
        """Quarantine files that have not changed for the grace period, and return their paths."""
        quarantined: list[bytes] = []
        for path, entry in self._entries.items():
            if (
                entry.file.quarantined_at is None
                and now - entry.changed >= self._rules.grace_seconds
            ):
                entry.file = replace(entry.file, quarantined_at=self._rules.now())
                quarantined.append(path)
        return quarantined

    def to_report(self, now: float) -> Mapping[bytes, IncompleteFile] | None:
        """Return the files to report, or None if nothing has changed since the last report."""
        files: dict[bytes, IncompleteFile] = {}
        for path, entry in self._entries.items():
            if now - entry.began >= self._rules.min_incomplete_seconds:
                files[path] = entry.file
        if files == self._reported:
            return None
        self._reported = files
        return files
