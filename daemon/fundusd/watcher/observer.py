"""Receive file system events from watchdog.

Events only save time, because sweeps find whatever the events miss.
"""

from __future__ import annotations

import contextlib
import errno
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

# Events for opening a file, or for closing one that was only read, are left out: watchdog itself
# causes so many of them by walking a large tree that its queue overflows, and it walks again.
_FILTER: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]
# what stop() is known to raise on an observer whose reader thread has died
_STOP_FAILURES = (KeyError, OSError, RuntimeError, ValueError, AssertionError)


class ObserverFailures(logging.Handler):
    """Catches watchdog's warnings and the deaths of its threads without passing on any message.

    The messages contain paths, and a path may contain a patient's name.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self.wake = wake
        self.deaths = 0  # of all watchdog threads in this process
        self._reasons: WeakKeyDictionary[threading.Thread, str] = WeakKeyDictionary()
        self._logger = logging.getLogger("watchdog")

    def __enter__(self) -> Self:
        self._before = (self._logger.propagate, self._logger.level, threading.excepthook)
        self._logger.addHandler(self)
        self._logger.propagate = False
        self._logger.setLevel(logging.WARNING)
        threading.excepthook = self._on_thread_death
        # watchdog warns when it meets a directory twice; this is harmless, but the path is quoted
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.propagate, self._logger.level, threading.excepthook = self._before
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Note which thread logged a warning.

        Watchdog logs a warning only when its queue overflows.
        """
        del record
        self._note(threading.current_thread(), "overflow")

    def _on_thread_death(self, failure: threading.ExceptHookArgs) -> None:
        if isinstance(failure.thread, BaseThread):
            self.deaths += 1
            self._note(failure.thread, "thread_died")
        else:
            self._before[2](failure)

    def _note(self, thread: threading.Thread, reason: str) -> None:
        self._reasons[thread] = reason
        self.wake()

    def reason(self, thread: threading.Thread) -> str | None:
        """Return why a thread failed, or None if it has not failed."""
        return self._reasons.get(thread)


class _ChangedDirectories(FileSystemEventHandler):
    """Collects the directories that events name.

    Events are handled under watchdog's lock, so the handler must not call stat, query the ledger
    or wait.
    """

    def __init__(self, root: bytes, wake: Callable[[], None]) -> None:
        self._root, self._wake = root, wake
        self._lock = threading.Lock()
        self._directories: dict[bytes, bool] = {}

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Add the directories of an event's paths, whatever the type of the event."""
        for path in (os.fsencode(event.src_path), os.fsencode(event.dest_path)):
            if not path:
                continue  # only a move has a destination
            self._add(os.path.dirname(path), deep=False)  # noqa: PTH120  bytes
            if event.is_directory:
                self._add(path, deep=True)
        self._wake()

    def _add(self, directory: bytes, *, deep: bool) -> None:
        if directory != self._root and not directory.startswith(self._root + b"/"):
            return
        relative = directory[len(self._root) + 1 :]
        with self._lock:
            self._directories[relative] = deep or self._directories.get(relative, False)

    def take(self) -> dict[bytes, bool]:
        """Return and forget the directories collected so far."""
        with self._lock:
            directories, self._directories = self._directories, {}
        return directories


class InboxObserver:
    """A watchdog observer of one inbox.

    The constructor raises OSError if the observer cannot be started.
    """

    def __init__(self, root: Path, failures: ObserverFailures) -> None:
        target = root.resolve()  # watchdog would watch a link itself and not its target
        self._changed = _ChangedDirectories(os.fsencode(target), failures.wake)
        self._failures = failures
        deaths, threads, queues = failures.deaths, set(threading.enumerate()), _inotify_queues()
        try:
            observer = Observer()
            observer.schedule(self._changed, str(target), recursive=True, event_filter=_FILTER)
            observer.start()
        except RecursionError:
            # watchdog walks the folders by recursion, and the kernel allows thousands of levels
            _stop_threads(_started_since(threads))
            raise OSError(errno.ENAMETOOLONG, "folders nested too deeply") from None
        except OSError:
            _stop_threads(_started_since(threads))
            raise
        self._threads = _started_since(threads)
        self._queues = _inotify_queues() - queues
        # a thread that has already died is missing from `_threads`
        self._died_at_start = failures.deaths != deaths

    def take(self) -> dict[bytes, bool]:
        """Return the directories that events have named since the last call.

        Each value says whether to descend into the directory.
        """
        return self._changed.take()

    def watch_count(self) -> int:
        """Return how many directories the kernel is watching for this observer."""
        return sum(map(_watch_count, self._queues))

    def failure(self) -> str | None:
        """Return why this observer is no longer reliable, or None if it still is."""
        if self._died_at_start:
            return "thread_died"
        for thread in self._threads:
            reason = self._failures.reason(thread)
            if reason is not None:
                return reason
            if not thread.is_alive():
                return "thread_ended"
        return None

    def stop(self) -> None:
        """Stop the observer."""
        _stop_threads(self._threads)


def _inotify_queues() -> set[int]:
    """Return the descriptors of this process's inotify queues."""
    queues: set[int] = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed in the meantime
            if entry.readlink().name == "anon_inode:inotify":
                queues.add(int(entry.name))
    return queues


def _watch_count(queue: int) -> int:
    """Return the number of watches of an inotify queue, or 0 if the queue has been closed."""
    try:
        with Path(f"/proc/self/fdinfo/{queue}").open(encoding="ascii") as lines:
            return sum(line.startswith("inotify wd:") for line in lines)
    except OSError:
        return 0


def _started_since(before: set[threading.Thread]) -> list[BaseThread]:
    """Return the watchdog threads that are not in `before`.

    The observer itself comes first.
    """
    started = [thread for thread in threading.enumerate() if thread not in before]
    threads = [thread for thread in started if isinstance(thread, BaseThread)]
    return threads[::-1]


def _stop_threads(threads: list[BaseThread]) -> None:
    """Stop each watchdog thread directly.

    If its reader thread has died, stopping only the observer would leave other threads running.
    """
    for thread in threads:
        try:
            thread.stop()
        except _STOP_FAILURES:
            continue
