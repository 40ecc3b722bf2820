"""Tell `fundusd status` since when and why the daemon waits for its database.

The database cannot tell, because nothing can be written to it meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.app import known_site

if TYPE_CHECKING:
    from pathlib import Path

    from fundusd.app.settings import Settings
    from fundusd.domain.errors import LedgerAway

_NAME = "service.waiting"
_BYTES = 4096  # written at the start, so that the file needs no room when the disk is full


class OutageNotice:
    """A file that tells of an outage, and on which the daemon holds a lock for as long as it runs.

    Any thread may use it. If the file cannot be written, only the log tells of the outage. If
    another daemon has the file, that daemon's outages are told of.
    """

    def __init__(self, settings: Settings) -> None:
        self._file = _file_of(settings)
        self._descriptor: int | None = None
        self._waiting: dict[int, dict[str, str]] = {}  # by thread, the first one first
        self._one_at_a_time = threading.Lock()
        self.tell(None)

    def tell(self, error: LedgerAway | None) -> None:
        """Note that this thread waits because of an error or, if it is None, does not wait."""
        thread = threading.get_ident()
        with self._one_at_a_time:
            if error is None:
                self._waiting.pop(thread, None)
            else:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                since = self._waiting.get(thread, {"since": now})["since"]
                texts = {"since": since, "error": error.message, "hint": error.hint}
                self._waiting[thread] = texts
            with suppress(OSError):
                self._write()

    def _write(self) -> None:
        if self._descriptor is None:
            self._descriptor = _locked(self._file)
        if self._descriptor is not None:
            first = next(iter(self._waiting.values()), None)
            text = b"" if first is None else orjson.dumps(first)
            os.pwrite(self._descriptor, text.ljust(_BYTES), 0)


def read(settings: Settings) -> dict[str, Any] | None:
    """Return "since", "error" and "hint" if a running daemon waits for its database, or None."""
    try:
        descriptor = os.open(_file_of(settings), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # no daemon has run here, or this user may not know
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, _BYTES, 0).strip()
        return orjson.loads(text) if text else None
    finally:
        os.close(descriptor)
    return None  # the daemon that wrote it has ended


def _locked(file: Path) -> int | None:
    """Open and lock the file, and return the descriptor, or None if another daemon has it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _file_of(settings: Settings) -> Path:
    return known_site.state_folder(settings) / _NAME
