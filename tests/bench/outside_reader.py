"""Read the database as a program outside does: with SQL, and nothing of fundusd's types."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fundusd.ledger import Ledger


def read(ledger: Ledger, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns and rows of a query, alike for both databases.

    Flags are 0 and 1, times are text.
    """
    with ledger.database.reading() as connection:
        result = connection.exec_driver_sql(query)
        rows = [tuple(map(_plain, row)) for row in result]
        return list(result.keys()), rows


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value


def in_order(rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return rows sorted by all their columns, whatever the database's collation."""
    return sorted(repr(tuple(row)) for row in rows)
