"""Hints where something happened, from watchdog; they only save time, so losing them costs nothing else."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.utils import BaseThread

if TYPE_CHECKING:
    from collections.abc import Callable

# Narrow on purpose: with open and close events watchdog's own walk overflows the queue of a large tree, for ever.
_FILTER: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]
# what stop() is known to raise on an observer whose reader died
_STOP_FAILURES = (KeyError, OSError, RuntimeError, ValueError, AssertionError)


class Troubles(logging.Handler):
    """Hear watchdog's own warnings and the deaths of its threads; its texts hold paths and go nowhere."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self.wake = wake
        self.deaths = 0  # of watchdog's threads, whosever they were
        self._reasons: WeakKeyDictionary[threading.Thread, str] = WeakKeyDictionary()
        self._logger = logging.getLogger("watchdog")

    def __enter__(self) -> Self:
        self._before = (self._logger.propagate, self._logger.level, threading.excepthook)
        self._logger.addHandler(self)
        self._logger.propagate = False
        self._logger.setLevel(logging.WARNING)
        threading.excepthook = self._thread_died
        # It warns when its own walk meets a directory twice, which is no harm, and quotes the path, which is.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.propagate, self._logger.level, threading.excepthook = self._before
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Note which thread warned: a full queue is all watchdog warns of."""
        del record
        self._note(threading.current_thread(), "overflow")

    def _thread_died(self, failure: threading.ExceptHookArgs) -> None:
        if isinstance(failure.thread, BaseThread):
            self.deaths += 1
            self._note(failure.thread, "thread_died")
        else:
            self._before[2](failure)

    def _note(self, thread: threading.Thread, reason: str) -> None:
        self._reasons[thread] = reason
        self.wake()

    def of(self, thread: threading.Thread) -> str | None:
        """Return what befell a thread, if anything did."""
        return self._reasons.get(thread)


class _Marker(FileSystemEventHandler):
    """Note the directory of each event. It runs under the observer's lock: no stat, no ledger, no wait."""

    def __init__(self, root: bytes, wake: Callable[[], None]) -> None:
        self._root, self._wake = root, wake
        self._lock = threading.Lock()
        self._dirty: dict[bytes, bool] = {}

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Mark the directories an event names; what kind of event it is says nothing certain."""
        for path in filter(None, (os.fsencode(event.src_path), os.fsencode(event.dest_path))):
            self._mark(os.path.dirname(path), deep=False)  # noqa: PTH120  bytes
            if event.is_directory:
                self._mark(path, deep=True)
        self._wake()

    def _mark(self, directory: bytes, *, deep: bool) -> None:
        if directory != self._root and not directory.startswith(self._root + b"/"):
            return
        relative = directory[len(self._root) + 1 :]
        with self._lock:
            self._dirty[relative] = deep or self._dirty.get(relative, False)

    def take(self) -> dict[bytes, bool]:
        """Return what was marked since the last call."""
        with self._lock:
            dirty, self._dirty = self._dirty, {}
        return dirty


class Hints:
    """A watchdog observer on one inbox; raises OSError when it cannot be had."""

    def __init__(self, root: Path, troubles: Troubles) -> None:
        real = root.resolve()  # watchdog would watch a link instead of where it leads
        self._marker = _Marker(os.fsencode(real), troubles.wake)
        self._troubles = troubles
        deaths, before, queues = troubles.deaths, set(threading.enumerate()), _inotify_queues()
        try:
            observer = Observer()
            observer.schedule(self._marker, str(real), recursive=True, event_filter=_FILTER)
            observer.start()
        except OSError:
            _retire(_newer(before))
            raise
        self._threads = _newer(before)
        self._queues = _inotify_queues() - queues
        self._stillborn = troubles.deaths != deaths  # a thread that died at once is not among them

    def take(self) -> dict[bytes, bool]:
        """Return the directories to look into since the last call, and whether all that lies below as well."""
        return self._marker.take()

    def watches(self) -> int:
        """Return how many directories the kernel watches for this observer."""
        return sum(map(_watches_of, self._queues))

    def doubt(self) -> str | None:
        """Return why these hints are not to be relied on any more, None while they are."""
        if self._stillborn:
            return "thread_died"
        for thread in self._threads:
            reason = self._troubles.of(thread)
            if reason is not None or not thread.is_alive():
                return reason or "thread_ended"
        return None

    def stop(self) -> None:
        """Let the observer go."""
        _retire(self._threads)


def _inotify_queues() -> set[int]:
    """Return this process's descriptors of inotify queues."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            if entry.readlink().name == "anon_inode:inotify":
                found.add(int(entry.name))
    return found


def _watches_of(queue: int) -> int:
    """Count the watches of an inotify queue, 0 once it is closed."""
    try:
        with Path(f"/proc/self/fdinfo/{queue}").open(encoding="ascii") as lines:
            return sum(line.startswith("inotify wd:") for line in lines)
    except OSError:
        return 0


def _newer(before: set[threading.Thread]) -> list[BaseThread]:
    """Return watchdog's threads since then, the observer before its parts."""
    threads = [
        one for one in threading.enumerate() if isinstance(one, BaseThread) and one not in before
    ]
    return threads[::-1]


def _retire(threads: list[BaseThread]) -> None:
    """Stop watchdog's threads each by itself: one whose reader died cannot stop the others, and is abandoned."""
    for thread in threads:
        try:
            thread.stop()
        except _STOP_FAILURES:
            continue
