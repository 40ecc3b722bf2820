"""Recognise a database of another program by its tables, before anything in it is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain.errors import LedgerUnfit
from fundusd.ledger.tables import audit_event

if TYPE_CHECKING:
    from collections.abc import Collection

    import sqlalchemy as sa

_VERSION = "alembic_version"  # the migration tool of many programs
_SHOWN = 3
SQLITE_TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'"
)
_POSTGRES_TABLES = """SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname = current_schema() AND NOT EXISTS (
        SELECT 1 FROM pg_depend d
        WHERE d.classid = CAST('pg_class' AS regclass) AND d.objid = c.oid AND d.deptype = 'e')"""


def require_none(connection: sa.Connection) -> None:
    """Raise LedgerUnfit if the schema that this connection uses is that of another program.

    Tables that belong to an extension of PostgreSQL are nobody's.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    query = SQLITE_TABLES if is_sqlite else _POSTGRES_TABLES
    names = connection.exec_driver_sql(query).scalars().all()
    require_own(names, connection.engine.url)


def require_own(names: Collection[str], url: sa.URL) -> None:
    """Raise LedgerUnfit if a database has tables of these names, and none of them is fundusd's."""
    others = sorted(set(names) - {_VERSION})
    if not others or audit_event.name in names:
        return
    listed = ", ".join(others[:_SHOWN])
    if len(others) > _SHOWN:
        listed += f" and {len(others) - _SHOWN} more"
    raise LedgerUnfit(
        f"The database {url.render_as_string(hide_password=True)} belongs to another program:"
        f" it has the table{'s' if len(others) > 1 else ''} {listed}.",
        hint="Name a database of fundusd's own in [store] url. Nothing in this one was changed.",
    )
