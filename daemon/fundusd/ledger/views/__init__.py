"""The views, which are the public SQL interface, in SQL that both databases accept.

Each view has its own file. Every schema upgrade recreates the views from these files; see
`schema.upgrade`.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.ledger.tables.columns import UTCTime, as_utc

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = Path(__file__).parent
DIGEST_VIEW = "view_digest"
# SQLite has no types for flags and times, so their columns are recognised by name and converted
_FLAGS = frozenset(
    {
        "backlog",
        "blinded",
        "deferred",
        "hinted",
        "is_latest",
        "is_reviewed",
        "rescued",
        "same_release",
        "stable_treated",
        "superseded",
    }
)
_TIME_ENDINGS = ("_at", "since")


@cache
def definitions() -> dict[str, str]:
    """Return the CREATE VIEW statement of each view, by name.

    Each view comes after the views that it reads.
    """
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(_FOLDER.glob("*.sql"))}
    order: TopologicalSorter[str] = TopologicalSorter()
    for name, text in texts.items():
        read = set(re.findall(r"\bv_\w+", text)) - {name}
        order.add(name, *sorted(read))
    return {name: texts[name] for name in order.static_order()}


@cache
def digest() -> str:
    """Return the checksum of all view definitions."""
    return hashlib.sha256("\n".join(definitions().values()).encode()).hexdigest()


def installed_digest(connection: sa.Connection) -> str | None:
    """Return the checksum of the views in the database, or None if no checksum is stored."""
    if not sa.inspect(connection).has_table(DIGEST_VIEW):
        return None
    query = f"SELECT digest FROM {DIGEST_VIEW}"  # noqa: S608  our own name
    stored: str = connection.exec_driver_sql(query).scalar_one()
    return stored


def column(name: str) -> sa.ColumnClause[Any]:
    """Return a view's column with its type, for use in conditions."""
    if name.endswith(_TIME_ENDINGS):
        return sa.column(name, UTCTime)
    if name in _FLAGS:
        return sa.column(name, sa.Boolean)
    return sa.column(name)


def rows(result: sa.CursorResult[Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a view, with times as aware UTC times and flags as booleans."""
    names, times, flags = list(result.keys()), [], []
    for name in names:
        if name.endswith(_TIME_ENDINGS):
            times.append(name)
        elif name in _FLAGS:
            flags.append(name)
    for values in result:
        row = dict(zip(names, values, strict=True))
        for name in times:
            row[name] = as_utc(row[name])
        for name in flags:
            if row[name] is not None:
                row[name] = bool(row[name])
        yield row
