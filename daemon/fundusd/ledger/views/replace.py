"""Replace the views of a database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from fundusd.domain.errors import LedgerError
from fundusd.ledger import views

if TYPE_CHECKING:
    from collections.abc import Iterator

_USED_BY_OTHERS = "2BP01"  # dependent_objects_still_exist
_GRANTS = """
SELECT format(
    'GRANT %s ON %I TO %s%s',
    granted.privilege_type,
    c.relname,
    coalesce(quote_ident(r.rolname), 'PUBLIC'),
    CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
)
FROM pg_class c
CROSS JOIN LATERAL aclexplode(c.relacl) AS granted
LEFT JOIN pg_roles r ON r.oid = granted.grantee
WHERE c.oid = CAST(:view AS regclass) AND granted.grantee <> c.relowner
"""


@contextmanager
def replaced(connection: sa.Connection) -> Iterator[None]:
    """Drop the views while the block runs, and afterwards create the views of this program.

    The block may change tables. On PostgreSQL, grants on the views are kept. Raises LedgerError if
    other database objects use a view.
    """
    installed = sa.inspect(connection).get_view_names()
    present = [name for name in (*views.definitions(), views.DIGEST_VIEW) if name in installed]
    grants = _grants(connection, present)
    _drop(connection, present)
    yield
    for name, definition in views.definitions().items():
        connection.exec_driver_sql(definition)
        # SQLite checks a definition only when the view is read
        connection.exec_driver_sql(f"SELECT * FROM {name} LIMIT 0")  # noqa: S608
    connection.exec_driver_sql(
        f"CREATE VIEW {views.DIGEST_VIEW} AS SELECT '{views.digest()}' AS digest"
    )
    for grant in grants:
        connection.exec_driver_sql(grant)


def _grants(connection: sa.Connection, names: list[str]) -> list[str]:
    """Return the GRANT statements that restore the privileges of other roles on views."""
    grants: list[str] = []
    if connection.dialect.name == "postgresql":
        for name in names:
            grants += connection.scalars(sa.text(_GRANTS), {"view": name})
    return grants


def _drop(connection: sa.Connection, names: list[str]) -> None:
    if not names:
        return
    if connection.dialect.name == "sqlite":
        for name in names:
            connection.exec_driver_sql(f"DROP VIEW {name}")
        return
    try:  # in one statement, because views use each other
        connection.exec_driver_sql(f"DROP VIEW {', '.join(names)}")
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _USED_BY_OTHERS:
            raise
        raise LedgerError(
            "An upgrade has to replace the views, but other objects in the database use them.",
            hint="Drop these objects, run fundusd db upgrade, and create them again.",
        ) from None
