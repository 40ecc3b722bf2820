"""The folders of one inbox: which to list again soon, and which have changed by their own times."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_HOT_FOR = 24 * 3600.0  # seconds since a folder last changed in which it is likely to change again
_TOGETHER = 100  # folders looked at before the clock is
_MOST_HOT = 500  # folders listed every few seconds, the newest


@dataclass(slots=True)
class _Folder:
    mtime_ns: int
    changed: float


class Folders:
    """Know the folders of an inbox by their mtimes, which move when an entry comes, goes or is renamed.

    They do not move when a file is written in place: only a listing sees that. Times are monotonic seconds.
    """

    def __init__(
        self,
        root: Path,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._root = os.fsencode(root)
        self._monotonic, self._wall_ns = monotonic, wall_ns
        self._folders: dict[bytes, _Folder] = {}
        self._pass: Iterator[bytes] | None = None
        self.spent = 0.0  # seconds that the pass has taken

    def __len__(self) -> int:
        return len(self._folders)

    def clear(self) -> None:
        """Forget all: the inbox is another directory now."""
        self._folders, self._pass = {}, None

    @property
    def is_looking(self) -> bool:
        """Whether a pass is under way."""
        return self._pass is not None

    def __contains__(self, directory: object) -> bool:
        return directory in self._folders

    def look_before(self, directory: bytes) -> None:
        """Note a folder's mtime just before it is listed; raises OSError."""
        mtime_ns, now = self._mtime_ns(directory), self._monotonic()
        known = self._folders.get(directory)
        if known is None:
            ago = max(0.0, (self._wall_ns() - mtime_ns) / 1e9)
            self._folders[directory] = _Folder(mtime_ns, now - ago)
        elif known.mtime_ns != mtime_ns:
            self._folders[directory] = _Folder(mtime_ns, now)

    def hot(self) -> list[bytes]:
        """Return the folders that changed within a day, newest first."""
        now = self._monotonic()
        lately = [
            (one.changed, path)
            for path, one in self._folders.items()
            if now - one.changed < _HOT_FOR
        ]
        return [path for _, path in sorted(lately, reverse=True)[:_MOST_HOT]]

    def look(self, seconds: float, beat: Callable[[], None]) -> list[bytes]:
        """Look on for so long in a pass over all folders; return those that changed."""
        if self._pass is None:
            self._pass, self.spent = iter(list(self._folders)), 0.0
        began, changed = self._monotonic(), list[bytes]()
        while self._pass is not None and self._monotonic() < began + seconds:
            some = list(islice(self._pass, _TOGETHER))
            changed += [path for path in some if path in self._folders and self._has_changed(path)]
            beat()
            if len(some) < _TOGETHER:
                self._pass = None
        self.spent += self._monotonic() - began
        return changed

    def _has_changed(self, path: bytes) -> bool:
        try:
            mtime_ns = self._mtime_ns(path)
        except FileNotFoundError:
            del self._folders[path]
            return True  # to have it noted
        except OSError:
            return False  # the next full sweep tells of it
        return mtime_ns != self._folders[path].mtime_ns

    def _mtime_ns(self, path: bytes) -> int:
        where = os.path.join(self._root, path)  # noqa: PTH118  bytes
        return os.stat(where, follow_symlinks=not path).st_mtime_ns  # noqa: PTH116  the inbox itself may be a link
