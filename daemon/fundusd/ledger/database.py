"""Open a database the one way that loses nothing: SQLite in WAL and FULL, PostgreSQL through psycopg 3."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from fundusd.domain.errors import LedgerAway, LedgerError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # an acknowledged commit survives a power cut
    "foreign_keys=ON",
    "busy_timeout=10000",
    "trusted_schema=OFF",
    "recursive_triggers=ON",  # else INSERT OR REPLACE deletes past the delete triggers
    "journal_size_limit=67108864",
)
_POSTGRES_ARGS = {
    "connect_timeout": 5,
    "application_name": "fundusd",
    "keepalives": 1,
    "keepalives_idle": 10,
    "tcp_user_timeout": 15000,
    # the server, too, is to miss a connection that broke: a dead session else holds the ledger's lock for two hours
    "options": "-c statement_timeout=60s -c lock_timeout=15s -c idle_in_transaction_session_timeout=60s"
    " -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
}
_SQLITE_AWAY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_PROTOCOL")
# connection broken, few resources, shut down or cancelled, no lock, deadlock, standby that only reads, idle too long
_POSTGRES_AWAY = ("08", "53", "57", "55P03", "40", "25006", "25P03")
# no code comes with a refused login; a server that speaks another language is waited for
_REFUSED = re.compile(
    r"no password supplied|FATAL: .*(password authentication failed|no pg_hba\.conf entry"
    r"|(role|database) \S+ does not exist|is not permitted to log in)"
)
_POSTGRES_WRITER = 0x66756E64  # "fund"


class epoch_now(FunctionElement[float]):  # noqa: N801  reads as the SQL function it is
    """Seconds since 1970 by the database's clock."""

    type = sa.Double()
    inherit_cache = True


@compiles(epoch_now, "sqlite")
def _sqlite_now(_element: epoch_now, _compiler: Any, **_kwargs: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(epoch_now, "postgresql")
def _postgres_now(_element: epoch_now, _compiler: Any, **_kwargs: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"


class Database:
    """An engine, and the two kinds of transaction the ledger knows: reading and writing."""

    def __init__(self, url: sa.URL) -> None:
        self.url = url
        self.engine = _sqlite(url) if url.get_backend_name() == "sqlite" else _postgres(url)
        self._writer = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        """Tell which of the two databases this is."""
        return self.engine.dialect.name == "sqlite"

    @property
    def shown(self) -> str:
        """Return the URL as it may be shown."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write; one at a time, whichever process asks."""
        with self._writer, self.answering(), self.engine.begin() as connection:
            if not self.is_sqlite:  # SQLite's BEGIN IMMEDIATE has seen to it
                # two writers else meet on one digest, or each waits for the row that the other holds
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_WRITER)))
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one snapshot and writes nothing."""
        snapshot = (
            {}
            if self.is_sqlite
            else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )
        engine = self.engine.execution_options(reading=True, **snapshot)
        with self.answering(), engine.begin() as connection:
            yield connection

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Turn the driver's errors into ours: their texts can hold values of rows. Raises LedgerAway, LedgerError."""
        try:
            yield
        except (sa.exc.DBAPIError, OSError) as error:
            kind = LedgerAway if _may_come_back(error) else LedgerError
            raise kind(
                f"The database {self.shown} does not answer as it should ({_cause(error)}).",
                hint="See that it runs, that this user may open it, and that its disk is not full; then try again.",
            ) from None

    def require_durable(self, connection: sa.Connection) -> None:
        """Raise LedgerError where a commit is acknowledged before it is on the disk; fsync is the server's."""
        query = "PRAGMA synchronous" if self.is_sqlite else "SHOW synchronous_commit"
        found = connection.exec_driver_sql(query).scalar_one()
        if found in {0, 1, "off"}:
            raise LedgerError(
                f"The database may forget commits in a power cut (synchronous is {found}).",
                hint="Set synchronous_commit to on for fundusd's role: ALTER ROLE fundusd SET synchronous_commit = on.",
            )

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def upsert(connection: sa.Connection, table: sa.Table) -> sa.Insert:
    """Build an INSERT that overwrites the row that has the same primary key."""
    return _upsert(connection.dialect.name, table)


@cache
def _upsert(dialect: str, table: sa.Table) -> sa.Insert:
    insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    key = list(table.primary_key.columns)
    others = {
        column.name: insert.excluded[column.name]
        for column in table.columns
        if not column.primary_key
    }
    return insert.on_conflict_do_update(index_elements=key, set_=others)


def parse(url: str, password: str | None = None) -> sa.URL:
    """Read a store URL; raises SettingsError."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        raise _bad_url() from None
    is_sqlite = parsed.drivername == "sqlite"
    if not is_sqlite and parsed.drivername != "postgresql+psycopg":
        raise _bad_url()
    if is_sqlite and (
        parsed.host or parsed.query
    ):  # two slashes, not three; modes that lose durability
        raise _bad_url()
    if is_sqlite and parsed.database in {None, "", ":memory:"}:
        raise SettingsError(
            "An in-memory database would be lost with the process.",
            hint="Name a file in [store] url.",
        )
    return parsed.set(password=password) if password is not None else parsed


def _bad_url() -> SettingsError:
    return SettingsError(
        "[store] url is not a database fundusd knows.",
        hint="Use sqlite:////absolute/path.db or postgresql+psycopg://user@host/name.",
    )


def _may_come_back(error: Exception) -> bool:
    """Tell an outage, after which the same may be tried again, from what will not work the next time either."""
    origin = getattr(error, "orig", None) or error
    if (name := getattr(origin, "sqlite_errorname", None)) is not None:
        return str(name).startswith(_SQLITE_AWAY)
    if (state := getattr(origin, "sqlstate", None)) is not None:
        return str(state).startswith(_POSTGRES_AWAY)
    # no connection, or one that broke
    return isinstance(error, sa.exc.OperationalError) and _REFUSED.search(str(origin)) is None


def _cause(error: Exception) -> str:
    """Name the failure without the statement or its values."""
    origin = getattr(error, "orig", None) or error
    code = getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None)
    return f"{type(origin).__name__}: {code}" if code else type(origin).__name__


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        connect_args={"isolation_level": None, "check_same_thread": False, "timeout": 10},
    )

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        if mode != "wal":  # some file systems refuse it without an error
            raise LedgerError(
                f"SQLite does not keep a write-ahead log here (journal_mode is {mode}): a power cut could lose rows.",
                hint="Put the database on a local disk, or use PostgreSQL.",
            )

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # the driver's own transactions lose updates between a read and a write: begin them ourselves
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql(f"PRAGMA query_only={reading:d}")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _postgres(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url,
        hide_parameters=True,
        pool_size=4,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={key: value for key, value in _POSTGRES_ARGS.items() if key not in url.query},
    )
