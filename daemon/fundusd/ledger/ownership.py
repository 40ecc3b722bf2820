"""The lock that permits one daemon per database or, on PostgreSQL, per camera.

The lock ends with the process that holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import zlib
from typing import TYPE_CHECKING

import sqlalchemy as sa

from fundusd.domain.errors import LedgerAway

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.ledger.database import Database

_POSTGRES_LOCK = 0x68656C64  # "held"
# conditions on the advisory locks of this database, whose numbers pg_locks shows unsigned
_WHOLE_LOCKED = f"(classid = 0 AND objid = {_POSTGRES_LOCK})"
_CAMERAS_LOCKED = f"""(classid = 0 AND objid = {_POSTGRES_LOCK} AND mode = 'ExclusiveLock')
    OR (classid = {_POSTGRES_LOCK} AND objid IN ({{keys}}))"""
_IS_LOCKED = """SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND ({condition})
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""


class Lock:
    """The exclusive right to work on a database or, on PostgreSQL, on some cameras in a database.

    Methods raise LedgerError if the database does not answer.
    """

    def __init__(self, database: Database, cameras: Sequence[str] = ()) -> None:
        self._database, self._cameras = database, cameras
        self._file: int | None = None  # SQLite: a locked file beside the database
        self._session: sa.Connection | None = None  # PostgreSQL: a session with advisory locks
        self._is_acquired = False
        self._one_at_a_time = threading.RLock()

    def acquire(self) -> bool:
        """Acquire the lock, or return False if another daemon holds it."""
        self.release()  # whatever an earlier attempt has left
        with self._database.answering(), self._one_at_a_time:
            return self._lock_file() if self._database.is_sqlite else self._lock_session()

    def reacquire(self) -> bool:
        """Acquire the lock again if an outage ended its session.

        Return False if another daemon holds it.
        """
        with self._one_at_a_time:
            if self.is_alive():
                return True
            with self._database.answering():
                return self._lock_session()

    def require_alive(self) -> None:
        """Raise LedgerAway if the server has ended the session that holds the lock."""
        if not self.is_alive():
            raise LedgerAway(
                "The server has ended the session that locks the database for this daemon.",
                hint="The daemon acquires the lock again.",
            )

    def is_alive(self) -> bool:
        """Return whether the session that holds the lock is still alive.

        Return True if there is no such session, because SQLite is used or the lock is not acquired.
        """
        with self._one_at_a_time:
            if self._database.is_sqlite or not self._is_acquired:
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
        """Return whether a daemon owns the database or, on PostgreSQL, any of the cameras."""
        if not self._database.is_sqlite:
            return self._is_locked_by_a_session()
        if not os.path.lexists(self._lock_path):
            return False  # and nobody who only asks creates it
        with self._database.answering():  # a user who only reads may ask, too
            lock = os.open(self._lock_path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def _is_locked_by_a_session(self) -> bool:
        condition = _WHOLE_LOCKED
        if self._cameras:
            keys = ", ".join(str(key % 2**32) for key in self._keys())
            condition = _CAMERAS_LOCKED.format(keys=keys)
        with self._database.reading() as connection:
            query = _IS_LOCKED.format(condition=condition)
            return bool(connection.exec_driver_sql(query).scalar_one())

    def release(self) -> None:
        """Release the lock if it is held.

        Errors of a broken session are ignored.
        """
        if self._file is not None:
            os.close(self._file)
        if self._session is not None:
            with contextlib.suppress(sa.exc.DBAPIError):
                # the server notices the end of a session only some time later
                self._session.execute(sa.select(sa.func.pg_advisory_unlock_all()))
            self._session.invalidate()
            self._session.close()
        self._file = self._session = None
        self._is_acquired = False

    @property
    def _lock_path(self) -> str:
        return f"{self._database.url.database}.lock"

    def _lock_file(self) -> bool:
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._file, self._is_acquired = lock, True
        return True

    def _lock_session(self) -> bool:
        session = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            is_locked = all(session.scalar(sa.select(lock)) for lock in self._locks())
            if not is_locked:
                session.execute(sa.select(sa.func.pg_advisory_unlock_all()))
        except sa.exc.DBAPIError:
            session.invalidate()  # it may have some of the locks
            session.close()
            raise
        if is_locked:
            self._session, self._is_acquired = session, True
        else:
            session.close()
        return is_locked

    def _keys(self) -> list[int]:
        """Return the lock numbers of the cameras in ascending order.

        The numbers are signed 32-bit integers.
        """
        keys = []
        for camera_id in self._cameras:
            keys.append(zlib.crc32(camera_id.encode()) - 2**31)
        return sorted(keys)

    def _locks(self) -> list[sa.ColumnElement[bool]]:
        """Return the SQL expressions that acquire the locks.

        If there are no cameras, the only lock is the lock on the whole database. Otherwise, there
        is a shared lock on the database and one lock per camera.
        """
        if not self._cameras:
            return [sa.func.pg_try_advisory_lock(_POSTGRES_LOCK)]
        locks: list[sa.ColumnElement[bool]] = [sa.func.pg_try_advisory_lock_shared(_POSTGRES_LOCK)]
        for key in self._keys():
            locks.append(sa.func.pg_try_advisory_lock(_POSTGRES_LOCK, key))
        return locks


def owned_by_another() -> LedgerAway:
    """Return the error that another daemon owns the database or one of the cameras."""
    return LedgerAway(
        "Another fundusd is running on this database.",
        hint="To stop it: systemctl stop fundusd, or see fundusd status.",
    )
