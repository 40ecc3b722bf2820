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
        self, root: Path, monotonic: Callable[[], float] = time.monotonic, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._root = os.fsencode(root)
        self._monotonic, self._wall_ns = monotonic, wall_ns
        self._folders: dict[bytes, _Folder] = {}
        self._pass: Iterator[bytes] | None = None

    def __len__(self) -> int:
        return len(self._folders)

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
        lately = [(one.changed, path) for path, one in self._folders.items() if now - one.changed < _HOT_FOR]
        return [path for _, path in sorted(lately, reverse=True)[:_MOST_HOT]]

    def look(self, count: int) -> list[bytes] | None:
        """Look at the next `count` folders of a pass; return those that changed, None once the pass is over."""
        if self._pass is None:
            self._pass = iter(list(self._folders))
        some = list(islice(self._pass, count))
        if not some:
            self._pass = None
            return None
        return [path for path in some if self._has_changed(path)]

    def _has_changed(self, path: bytes) -> bool:
        try:
            mtime_ns = self._mtime_ns(path)
        except FileNotFoundError:
            del self._folders[path]
            return False  # its parent has changed, which says so
        except OSError:
            return False  # the next full sweep tells of it
        return mtime_ns != self._folders[path].mtime_ns

    def _mtime_ns(self, path: bytes) -> int:
        where = os.path.join(self._root, path)  # noqa: PTH118  bytes
        return os.stat(where, follow_symlinks=not path).st_mtime_ns  # noqa: PTH116  the inbox itself may be a link
