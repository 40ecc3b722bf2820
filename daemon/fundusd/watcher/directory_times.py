"""Track the mtimes of an inbox's directories to find the directories that have changed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from fundusd.watcher.rules import DEFAULT_DIRECTORY_RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fundusd.watcher.rules import DirectoryRules


@dataclass(slots=True)
class _DirectoryTime:
    mtime_ns: int
    changed_at: float


class DirectoryTimes:
    """The mtimes of all directories of an inbox.

    A directory's mtime changes when an entry is created, removed or renamed. It does not change
    when a file is overwritten in place; only listing the directory reveals such a change. All times
    other than mtimes are monotonic seconds.
    """

    def __init__(
        self,
        root: Path,
        rules: DirectoryRules = DEFAULT_DIRECTORY_RULES,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._root = os.fsencode(root)
        self._rules = rules
        self._monotonic, self._wall_ns = monotonic, wall_ns
        self._times: dict[bytes, _DirectoryTime] = {}
        self._unchecked: Iterator[bytes] | None = None  # None: no check is in progress
        self.seconds_spent = 0.0  # on the check in progress, or on the last one

    def __contains__(self, directory: object) -> bool:
        return directory in self._times

    def clear(self) -> None:
        """Forget every directory, because the inbox's directory has been replaced."""
        self._times, self._unchecked = {}, None

    @property
    def is_checking(self) -> bool:
        """Whether a check of all directories is in progress."""
        return self._unchecked is not None

    def record(self, directory: bytes) -> None:
        """Record a directory's mtime just before the directory is listed.

        Raises OSError if the mtime cannot be read.
        """
        mtime_ns, now = self._mtime_ns(directory), self._monotonic()
        known = self._times.get(directory)
        if known is None:
            age = max(0.0, (self._wall_ns() - mtime_ns) / 1e9)
            self._times[directory] = _DirectoryTime(mtime_ns, now - age)
        elif known.mtime_ns != mtime_ns:
            self._times[directory] = _DirectoryTime(mtime_ns, now)

    def active(self) -> list[bytes]:
        """Return the active directories, starting with the most recently changed.

        A directory is active for `active_seconds` after a change. Only the first `max_active` are
        returned.
        """
        oldest = self._monotonic() - self._rules.active_seconds
        active = [
            (directory.changed_at, path)
            for path, directory in self._times.items()
            if directory.changed_at > oldest
        ]
        active.sort(reverse=True)
        return [path for _, path in active[: self._rules.max_active]]

    def check(self, seconds: float, beat: Callable[[], None]) -> list[bytes]:
        """Begin or continue a check of all directories, and return those found to have changed.

        The check is interrupted after `seconds` and continued by the next call.
        """
        if self._unchecked is None:
            self._unchecked, self.seconds_spent = iter(list(self._times)), 0.0
        began, changed = self._monotonic(), list[bytes]()
        while self._unchecked is not None and self._monotonic() < began + seconds:
            batch = list(islice(self._unchecked, self._rules.max_checked))
            for path in batch:
                if path in self._times and self._has_changed(path):
                    changed.append(path)
            beat()
            if len(batch) < self._rules.max_checked:
                self._unchecked = None
        self.seconds_spent += self._monotonic() - began
        return changed

    def _has_changed(self, path: bytes) -> bool:
        try:
            mtime_ns = self._mtime_ns(path)
        except FileNotFoundError:
            del self._times[path]
            return True  # a partial sweep finds the files that went with the directory
        except OSError:
            return False  # the next full sweep reports the error
        return mtime_ns != self._times[path].mtime_ns

    def _mtime_ns(self, path: bytes) -> int:
        full_path = os.path.join(self._root, path)  # noqa: PTH118  bytes
        follow = not path  # the inbox itself may be a link
        return os.stat(full_path, follow_symlinks=follow).st_mtime_ns  # noqa: PTH116  bytes
