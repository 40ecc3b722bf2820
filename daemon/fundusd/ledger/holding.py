"""One daemon per database: a lock that the operating system or the server lets go when the process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from fundusd.ledger.engine import Database

_POSTGRES_HOLD = 0x68656C64  # "held"


class Hold:
    """The right to work on a database, once it was taken; raises LedgerError where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._file: int | None = None  # SQLite: a locked file beside the database
        self._session: sa.Connection | None = None  # PostgreSQL: a session with an advisory lock
        self._one_at_a_time = threading.Lock()

    def take(self) -> bool:
        """Take the right; False while another has it."""
        with self._database.answering():
            return self._lock_file() if self._database.is_sqlite else self._lock_session()

    def keep(self) -> bool:
        """Take the right again if an outage ended the session that had it; False when another was faster."""
        with self._one_at_a_time:
            if self._session is None:
                return True
            with contextlib.suppress(sa.exc.DBAPIError):
                self._session.execute(sa.select(1))
                return True
            self.release()
            return self.take()

    def release(self) -> None:
        """Give the right up; a session that broke holds nothing."""
        if self._file is not None:
            os.close(self._file)
        if self._session is not None and not self._session.invalidated:
            with contextlib.suppress(sa.exc.DBAPIError):  # the server takes note of a session's end some time later
                self._session.execute(sa.select(sa.func.pg_advisory_unlock_all()))
            self._session.invalidate()
        self._file = self._session = None

    def _lock_file(self) -> bool:
        lock = os.open(f"{self._database.url.database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._file = lock
        return True

    def _lock_session(self) -> bool:
        session = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if session.scalar(sa.select(sa.func.pg_try_advisory_lock(_POSTGRES_HOLD))):
            self._session = session
            return True
        session.close()
        return False
