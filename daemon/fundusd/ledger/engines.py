"""Make the engines of both databases, with sessions in which no commit is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa

from fundusd.domain.errors import LedgerError
from fundusd.ledger import database_troubles, foreign_tables

if TYPE_CHECKING:
    from collections.abc import Callable

_PRAGMAS = (
    "synchronous=FULL",  # an acknowledged commit survives a power cut
    "foreign_keys=ON",
    "busy_timeout=10000",
    "trusted_schema=OFF",
    "recursive_triggers=ON",  # INSERT OR REPLACE must not bypass the delete triggers
)
_WRITER_PRAGMAS = ("journal_mode=WAL", *_PRAGMAS, "journal_size_limit=67108864")
_LOCK_TIMEOUT = "15s"
_POSTGRES_ARGS = {
    "connect_timeout": 5,
    "application_name": "fundusd",
    "client_encoding": "UTF8",  # whatever the environment and the server's settings say
    "keepalives": 1,
    "keepalives_idle": 10,
    "tcp_user_timeout": 15000,
    # the server has to notice a broken connection, too; by default, its session would hold the
    # ledger's lock for two more hours
    "options": f"-c statement_timeout=60s -c lock_timeout={_LOCK_TIMEOUT}"
    " -c idle_in_transaction_session_timeout=60s"
    " -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
}


class _Reader(sqlite3.Connection):
    """A connection to a SQLite file that it may only read."""


def sqlite(url: sa.URL, mode: Callable[[], str]) -> sa.Engine:
    """Return the engine of a SQLite file; `mode` gives the mode in which to open it.

    In a mode that begins with "ro", connections only read, and leave the file as it is.
    """
    file = quote(str(Path(url.database).absolute())) if url.database else ":memory:"

    def opened() -> sqlite3.Connection:
        wanted = mode()
        return sqlite3.connect(
            f"file:{file}?mode={wanted}",
            uri=True,
            timeout=10,
            isolation_level=None,
            check_same_thread=False,
            factory=_Reader if wanted.startswith("ro") else sqlite3.Connection,
        )

    engine = sa.create_engine(url, hide_parameters=True, creator=opened)

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        is_reader = isinstance(connection, _Reader)
        if not is_reader:
            _require_own(connection, url)
        for pragma in _PRAGMAS if is_reader else _WRITER_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        if is_reader:
            return
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        if mode != "wal":  # some file systems refuse WAL without an error
            raise LedgerError(
                f"SQLite keeps no write-ahead log here (journal_mode is {mode}),"
                " so a power cut could lose rows.",
                hint="Put the database on a local disk, or use PostgreSQL.",
            )

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # the driver would begin a transaction only at the first write, so that updates by others
        # since an earlier read could be lost; begin it here instead
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql(f"PRAGMA query_only={reading:d}")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _require_own(connection: sqlite3.Connection, url: sa.URL) -> None:
    """Raise LedgerUnfit if a file that has no write-ahead log yet is that of another program.

    It would be given one, which changes the file.
    """
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        rows = connection.execute(foreign_tables.SQLITE_TABLES).fetchall()
        foreign_tables.require_own([name for (name,) in rows], url)


def postgres(url: sa.URL) -> sa.Engine:
    """Return the engine of a PostgreSQL database.

    Its sessions raise LedgerUnfit if the database is not in UTF-8 or is behind a pooler.
    """
    arguments = dict(_POSTGRES_ARGS)
    for name in url.query:
        arguments.pop(name, None)  # the URL takes precedence
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        pool_size=4,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args=arguments,
    )

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        if connection.info.parameter_status("server_encoding") != "UTF8":
            raise database_troubles.as_error(database_troubles.NOT_UTF8, url)
        if "options" not in arguments:
            return
        (lock_timeout,) = connection.execute("SHOW lock_timeout").fetchone()
        connection.rollback()
        if lock_timeout != _LOCK_TIMEOUT:  # a pooler that passes over what it does not know
            raise database_troubles.as_error(database_troubles.POOLER, url)

    return engine
