"""Notice that the file of an open SQLite database has been moved, replaced or overwritten.

SQLite keeps the latest commits in a write-ahead log beside the file. If a backup takes the place of
the file, SQLite would apply the log of the old file to it, and destroy it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from fundusd.domain.errors import LedgerUnfit

_MAGIC = b"SQLite format 3\0"
_HAS_LOG = 2  # bytes 18 and 19 of a file with a write-ahead log: https://sqlite.org/fileformat.html
_NEWEST = "SELECT seq, row_hash FROM audit_event ORDER BY seq DESC LIMIT 1"
_HASH = "SELECT row_hash FROM audit_event WHERE seq = ?"


class _Event(NamedTuple):
    seq: int
    row_hash: bytes


class PinnedFile:
    """A SQLite file on which a daemon works, and its write-ahead log.

    The file itself changes only when SQLite copies commits from the log. The audit events that it
    once held are in it from then on, unless somebody has overwritten it.

    The file stays open until `close`. A process that closes a file loses all its locks on it, those
    of SQLite included (https://sqlite.org/howtocorrupt.html, 2.2), so nothing else may open it.
    """

    def __init__(self, name: Path) -> None:
        self._name = name
        self._file = Path(os.path.realpath(name))  # the log is beside the target of a link
        self._descriptor = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self._descriptor)
        self._id = status.st_dev, status.st_ino
        self._log_id = _file_id(log_of(self._file))
        self._written: tuple[int, int] | None = None  # its size and time at the last look
        self._event: _Event | None = None  # the newest that the file itself held

    def close(self) -> None:
        """Close the file, after all connections to it."""
        os.close(self._descriptor)

    def change(self) -> str:
        """Return what has become of the file, as the end of a sentence, or "" if nothing has."""
        try:
            status = os.stat(self._name)  # noqa: PTH116  before every write
        except OSError:
            return "is gone."
        if (status.st_dev, status.st_ino) != self._id:
            return "is another one than at the start."
        written = status.st_size, status.st_mtime_ns
        if written != self._written and self._is_overwritten():
            return "has been overwritten, perhaps by a backup."
        self._written = written
        return ""

    def _is_overwritten(self) -> bool:
        """Return whether the file is certainly not the one that SQLite wrote.

        While SQLite copies commits from the log, the file may not be readable; it is then looked
        at again after its next change.
        """
        if _is_without_log(os.pread(self._descriptor, 20, 0)):
            return True
        # SQLite's own connections do not release each other's locks
        uri = f"file:{quote(str(self._file))}?mode=ro&immutable=1"  # without the log
        try:
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
                newest = connection.execute(_NEWEST).fetchone()
                known = self._event
                present = known and connection.execute(_HASH, (known.seq,)).fetchone()
        except (sqlite3.Error, UnicodeDecodeError):  # the latter: of a schema that is not readable
            return False
        if known is not None and (present is None or present[0] != known.row_hash):
            return True
        if newest is not None and isinstance(newest[1], bytes):
            self._event = _Event(*newest)
        return False

    def set_log_aside(self) -> Path | None:
        """Keep the log of the old file from being applied to the file that took its place.

        Return the new name of the log, or None if no log is in the way. The connections to the old
        file have to be closed afterwards. Raises OSError if the log cannot be renamed.
        """
        present, log = _file_id(self._file), log_of(self._file)
        if present is None or self._log_id is None or _file_id(log) != self._log_id:
            return None
        if present == self._id and not self._is_overwritten():
            return None  # for instance, a link to the file leads elsewhere
        kept = log.with_name(f"{log.name}.{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        if present == self._id:
            _give_new_inode(self._file)
        log.rename(kept)
        Path(f"{self._file}-shm").unlink(missing_ok=True)
        return kept


def log_of(file: Path) -> Path:
    """Return the write-ahead log of a SQLite file."""
    return Path(f"{file}-wal")


def require_own_log(name: Path) -> None:
    """Raise LedgerUnfit if the log beside a SQLite file is that of another file.

    This process must not have a connection to the file. Files that cannot be read are left to
    SQLite.
    """
    file = Path(os.path.realpath(name))
    log = log_of(file)
    header = b""
    with contextlib.suppress(OSError):
        if log.stat().st_size:
            with file.open("rb") as opened:
                header = opened.read(20)
    if _is_without_log(header):
        raise LedgerUnfit(
            f"{log} is not the log of this file, which seems to be a backup.",
            hint="SQLite would apply it to the backup, and destroy it. With the service stopped:"
            f" mv {log} {log}.old; rm -f {file}-shm",
        )


def _is_without_log(header: bytes) -> bool:
    """Return whether a SQLite file keeps no write-ahead log, as is the case with backups."""
    return header.startswith(_MAGIC) and header[18:] != bytes([_HAS_LOG, _HAS_LOG])


def _file_id(file: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file, or None if it cannot be examined."""
    try:
        status = os.stat(file)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _give_new_inode(file: Path) -> None:
    """Replace a file by a copy of itself.

    When SQLite closes a file whose name leads to another one by then, it does not apply the log.
    Another process makes the copy, because this one would lose its locks. Raises OSError if it
    cannot be made.
    """
    copy = file.with_name(f"{file.name}.restored")
    command = ["cp", "--preserve", "--", str(file), str(copy)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise OSError(None, "it cannot be copied")
    with copy.open("rb") as written:
        os.fsync(written.fileno())
    copy.replace(file)
