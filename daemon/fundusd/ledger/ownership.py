"""One daemon per database or, on PostgreSQL, per camera: a lock that goes when the process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import zlib
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.ledger.database import Database

_POSTGRES_HOLD = 0x68656C64  # "held"


class Lock:
    """The right to work on a database, once it was taken; raises LedgerError where the database does not answer.

    For some `cameras` on PostgreSQL it is shared with daemons for others, else it is one daemon's alone.
    """

    def __init__(self, database: Database, cameras: Sequence[str] = ()) -> None:
        self._database, self._cameras = database, cameras
        self._file: int | None = None  # SQLite: a locked file beside the database
        self._session: sa.Connection | None = None  # PostgreSQL: a session with an advisory lock
        self._taken = False
        self._one_at_a_time = threading.RLock()

    def acquire(self) -> bool:
        """Take the right; False while another has it."""
        self.release()  # what is left of an earlier time
        with self._database.answering(), self._one_at_a_time:
            return self._lock_file() if self._database.is_sqlite else self._lock_session()

    def reacquire(self) -> bool:
        """Take the right again if an outage ended the session that had it; False when another was faster."""
        with self._one_at_a_time:
            if self.is_alive():
                return True
            with self._database.answering():
                return self._lock_session()

    def is_alive(self) -> bool:
        """Tell whether what was taken is still ours: the server may end a session that nothing else noticed."""
        with self._one_at_a_time:
            if self._database.is_sqlite or not self._taken:
                return True
            if self._session is None:
                return False
            try:
                self._session.execute(sa.select(1))
            except sa.exc.DBAPIError:
                self._session.invalidate()
                self._session.close()
                self._session = None
            return self._session is not None

    def is_taken(self) -> bool:
        """Tell whether anybody has the right, or a part of it: of the cameras, where some are named."""
        if not self._database.is_sqlite:
            whole = f"(classid = 0 AND objid = {_POSTGRES_HOLD})"
            keys = ", ".join(str(key % 2**32) for key in self._keys())  # shown unsigned
            of_cameras = f"""(classid = 0 AND objid = {_POSTGRES_HOLD} AND mode = 'ExclusiveLock')
                OR (classid = {_POSTGRES_HOLD} AND objid IN ({keys}))"""
            held = f"""SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted
                AND ({of_cameras if keys else whole})
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""  # noqa: S608  ours
            with self._database.reading() as connection:
                return bool(connection.exec_driver_sql(held).scalar_one())
        free = self.acquire()
        self.release()
        return not free

    def release(self) -> None:
        """Give the right up; a session that broke holds nothing."""
        if self._file is not None:
            os.close(self._file)
        if self._session is not None:
            with contextlib.suppress(
                sa.exc.DBAPIError
            ):  # the server takes note of a session's end some time later
                self._session.execute(sa.select(sa.func.pg_advisory_unlock_all()))
            self._session.invalidate()
            self._session.close()
        self._file = self._session = None
        self._taken = False

    def _lock_file(self) -> bool:
        lock = os.open(
            f"{self._database.url.database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._file, self._taken = lock, True
        return True

    def _lock_session(self) -> bool:
        session = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            taken = all(session.scalar(sa.select(lock)) for lock in self._locks())
            if not taken:
                session.execute(sa.select(sa.func.pg_advisory_unlock_all()))
        except sa.exc.DBAPIError:
            session.invalidate()  # it may have some of the locks
            session.close()
            raise
        if taken:
            self._session, self._taken = session, True
        else:
            session.close()
        return taken

    def _keys(self) -> list[int]:
        """Return a number in 32 signed bits for each camera."""
        return sorted(zlib.crc32(one.encode()) - 2**31 for one in self._cameras)

    def _locks(self) -> list[sa.ColumnElement[bool]]:
        """Return what to lock, as far as nobody else has: the database, or a share of it and each camera."""
        if not self._cameras:
            return [sa.func.pg_try_advisory_lock(_POSTGRES_HOLD)]
        of_cameras = [sa.func.pg_try_advisory_lock(_POSTGRES_HOLD, key) for key in self._keys()]
        return [sa.func.pg_try_advisory_lock_shared(_POSTGRES_HOLD), *of_cameras]
