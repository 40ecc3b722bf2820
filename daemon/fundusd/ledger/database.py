"""Open SQLite or PostgreSQL so that no commit is lost.

The driver for PostgreSQL is psycopg 3.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from fundusd.domain.errors import LedgerAway, LedgerError, LedgerReplaced, SettingsError
from fundusd.ledger import database_errors, database_troubles, engines, sqlite_troubles
from fundusd.ledger.closed_files import closed_file
from fundusd.ledger.pinned_file import PinnedFile, require_own_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_POSTGRES_WRITER = 0x66756E64  # "fund"


class epoch_now(FunctionElement[float]):  # noqa: N801  reads as the SQL function it is
    """The SQL function that returns the seconds since 1970 according to the database's clock."""

    type = sa.Double()
    inherit_cache = True


@compiles(epoch_now, "sqlite")
def _sqlite_now(_element: epoch_now, _compiler: Any, **_kwargs: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(epoch_now, "postgresql")
def _postgres_now(_element: epoch_now, _compiler: Any, **_kwargs: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"


def is_due(deadline: sa.ColumnElement[float], longest_pause: float) -> sa.ColumnElement[bool]:
    """Return a condition that a deadline, in seconds since 1970, has passed.

    It also holds if the deadline lies more than `longest_pause` seconds ahead: no deadline is set
    that far ahead, so the clock was wrong when it was set.
    """
    return sa.or_(deadline <= epoch_now(), deadline > epoch_now() + longest_pause)


class Database:
    """A database engine and its two kinds of transaction: reading and writing."""

    def __init__(self, url: sa.URL) -> None:
        self.url = url
        self._may_create = False
        self._pinned: PinnedFile | None = None
        self._is_log_checked = False  # it can be done only before there is a connection
        # the state of a SQLite file that this user may only read, if nobody wrote it when opened
        self._opened_at_rest: tuple[int, int, int] | None = None
        is_sqlite = url.get_backend_name() == "sqlite"
        self.engine = engines.sqlite(url, self._mode) if is_sqlite else engines.postgres(url)
        self._writer = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        """Return True if the database is SQLite, or False if it is PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    @property
    def is_absent(self) -> bool:
        """Return True if this is a SQLite database whose file does not exist."""
        return self.is_sqlite and not os.path.lexists(self.url.database or "")

    def _mode(self) -> str:
        """Return the mode in which to open a SQLite file, as in its URI.

        It is read-only for a user who may not write the file. SQLite then reads the write-ahead log
        of the service; without one, the file has to be called immutable, because the user cannot
        create one. `reading` sees to it that it was.
        """
        self._opened_at_rest = None
        if not self._is_log_checked:
            require_own_log(Path(self.url.database or ""))
            self._is_log_checked = True
        if self._may_create:
            return "rwc"
        if self.is_absent or os.access(self.url.database or "", os.W_OK):
            return "rw"
        self._opened_at_rest = self._rest_state()
        return "ro" if self._opened_at_rest is None else "ro&immutable=1"

    def _rest_state(self) -> tuple[int, int, int] | None:
        """Return the file's time, size and inode, of which a write changes the time.

        Return None if the file has a write-ahead log, or cannot be examined.
        """
        file = os.path.realpath(self.url.database or "")  # the log is beside the target of a link
        try:
            status = os.stat(file)  # noqa: PTH116
        except OSError:
            return None
        if os.path.lexists(f"{file}-wal"):
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    @contextmanager
    def creating(self) -> Iterator[None]:
        """Let a missing SQLite file be created while the block runs; otherwise, it is an error."""
        self._may_create = True
        try:
            yield
        finally:
            self._may_create = False

    def pin(self) -> None:
        """Remember which SQLite file this is, for `require_pinned`."""
        if self.is_sqlite and self._pinned is None:  # a start that is repeated must not close it
            with self.answering():
                self._pinned = PinnedFile(Path(self.url.database or ""))

    def require_pinned(self) -> None:
        """Raise LedgerReplaced if the SQLite file is not the one that `pin` remembered."""
        if self._pinned is None or not (change := self._pinned.change()):
            return
        raise LedgerReplaced(
            f"The database file {self.url.database} {change}",
            hint="The service ends. If the file was moved, put it back with its -wal file, and:"
            f" systemctl start fundusd. {self.restore_hint}",
        )

    def set_log_aside(self) -> Path | None:
        """Keep the log of a pinned SQLite file from a file that has taken its place.

        Return the name under which the log is kept, or None if no log is in the way. Raises OSError
        if it cannot be renamed.
        """
        return None if self._pinned is None else self._pinned.set_log_aside()

    @property
    def shown(self) -> str:
        """Return the URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @property
    def restore_hint(self) -> str:
        """Return how the last backup is restored."""
        return database_troubles.restore_hint(self.url)

    @property
    def role(self) -> str:
        """Return the name of the role in PostgreSQL."""
        return database_troubles.role_of(self.url)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write.

        Across all processes, only one such transaction is open at a time.
        """
        with self._writer, self.answering(), self.engine.begin() as connection:
            if not self.is_sqlite:  # BEGIN IMMEDIATE does the same on SQLite
                # otherwise two writers could insert the same digest, or wait for each other's rows
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_WRITER)))
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one snapshot and cannot write."""
        options: dict[str, Any] = {"reading": True}
        if not self.is_sqlite:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        engine = self.engine.execution_options(**options)
        try:
            with self.answering(), engine.begin() as connection:
                yield connection
        finally:
            self._require_rest()

    def _require_rest(self) -> None:
        """Raise LedgerAway if a file that was read as immutable is or has been written."""
        if self._opened_at_rest is not None and self._rest_state() != self._opened_at_rest:
            self.engine.dispose()
            raise LedgerAway(
                f"The service wrote to {self.url.database} while it was read.",
                hint="Run the command again.",
            )

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Convert errors of the driver to LedgerError, or to the kind of it that fits.

        The messages of these errors contain no values from rows.
        """
        try:
            yield
        except database_errors.DRIVER_ERRORS as error:
            ledger_error = database_errors.as_ledger_error(error, self.url)
            if ledger_error is None:
                raise
            raise ledger_error from None

    def require_writable(self) -> None:
        """Raise LedgerError if this user may not write a SQLite file, or a file beside it."""
        if not self.is_sqlite:
            return
        closed = closed_file(self.url)
        trouble = sqlite_troubles.of_unwritable(Path(self.url.database or ""))
        if closed is not None:
            raise closed
        if trouble is not None:
            raise database_troubles.as_error(trouble, self.url)

    def require_durable(self, connection: sa.Connection) -> None:
        """Raise LedgerError if commits are acknowledged before they are on the disk.

        Whether the server uses fsync is not checked.
        """
        query = "PRAGMA synchronous" if self.is_sqlite else "SHOW synchronous_commit"
        setting = connection.exec_driver_sql(query).scalar_one()
        if setting in {0, 1, "off"}:
            raise LedgerError(
                f"The database may lose commits in a power cut (synchronous is {setting}).",
                hint="Set synchronous_commit to on for fundusd's role:"
                " ALTER ROLE fundusd SET synchronous_commit = on.",
            )

    def require_intact(self) -> None:
        """Raise LedgerUnfit if a SQLite file is damaged; every page of it is read."""
        if not self.is_sqlite:
            return
        with self.reading() as connection:
            if connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one() != "ok":
                raise database_troubles.as_error(sqlite_troubles.DAMAGED, self.url)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        if self._pinned is not None:
            self._pinned.close()
        self._pinned = None


def rows_as_dicts(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """Return the rows of a query as dicts."""
    return [dict(row) for row in connection.execute(query).mappings()]


def picked(row: Mapping[Any, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the named columns of a row as a dict."""
    return {name: row[name] for name in names}


def insert_or_update(dialect: str, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT statement to which an ON CONFLICT clause can be added."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def upsert(connection: sa.Connection, table: sa.Table) -> sa.Insert:
    """Return an INSERT statement that overwrites any row with the same primary key."""
    return _upsert(connection.dialect.name, table)


@cache
def _upsert(dialect: str, table: sa.Table) -> sa.Insert:
    insert = insert_or_update(dialect, table)
    key = list(table.primary_key.columns)
    others = {}
    for column in table.columns:
        if not column.primary_key:
            others[column.name] = insert.excluded[column.name]
    return insert.on_conflict_do_update(index_elements=key, set_=others)


def parse(url: str, password: str | None = None) -> sa.URL:
    """Parse the URL of a store, and add the password.

    Raises SettingsError if fundusd does not support the URL.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # ValueError: the port is not a number
        raise _bad_url() from None
    is_sqlite = parsed.drivername == "sqlite"
    if not is_sqlite and parsed.drivername != "postgresql+psycopg":
        raise _bad_url()
    if is_sqlite and (parsed.host or parsed.query):
        raise _bad_url()  # two slashes instead of three; a mode that loses commits
    if is_sqlite and parsed.database in {None, "", ":memory:"}:
        raise SettingsError(
            "An in-memory database would be lost with the process.",
            hint="Name a file in [store] url.",
        )
    if password is None:
        return parsed
    return parsed.set(password=password)


def _bad_url() -> SettingsError:
    return SettingsError(
        "[store] url is not a database that fundusd supports.",
        hint="Use sqlite:////absolute/path.db or postgresql+psycopg://user@host/name.",
    )
