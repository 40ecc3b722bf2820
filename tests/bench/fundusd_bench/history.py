"""Give a ledger a long history by copying rows in SQL, as admitting a million takes an hour.

The copies are rows as the ledger writes them, with other paths and digests. Only the audit chain
differs: it grows by one event per copy instead of four, and does not verify.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from fundusd.ledger.tables import audit_event, capture, job, result, sighting

if TYPE_CHECKING:
    from pathlib import Path

    import sqlalchemy as sa

# of the copy number `n.k`; an id is shifted by the largest id there is
_DIGEST = "printf('%08x', n.k) || substr(digest, 9)"
_COPIES: tuple[tuple[sa.Table, dict[str, str]], ...] = (
    (job, {"id": "id + n.k * {last}", "digest": _DIGEST}),
    (
        capture,
        {
            "id": "id + n.k * {last}",
            "job_id": "job_id + n.k * (SELECT max(job_id) FROM capture WHERE id <= {last})",
            "digest": _DIGEST,
            "path": "CAST(printf('%08x/', n.k) || path AS BLOB)",
            "path_text": "printf('%08x/', n.k) || path_text",
        },
    ),
    (
        sighting,
        {
            "directory": "CAST(printf('%08x/', n.k) || directory AS BLOB)",
            "inode": "inode + n.k * 1000000",
            "capture_id": "capture_id + n.k * "
            "(SELECT count(*) FROM sighting WHERE inode < 1000000)",
        },
    ),
    (result, {"id": "id + n.k * {last}", "digest": _DIGEST}),
)


def multiply(path: Path, times: int) -> None:
    """Multiply a SQLite ledger's captures, jobs, results and sightings by `times`."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")  # this file need not survive a power cut
        connection.execute("BEGIN")
        for table, changed in _COPIES:
            _copy(connection, table, changed, times)
        _lengthen(connection, times)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy(
    connection: sqlite3.Connection, table: sa.Table, changed: dict[str, str], times: int
) -> None:
    largest_id = f"SELECT max(rowid) FROM {table.name}"  # noqa: S608  our own names
    last = connection.execute(largest_id).fetchone()[0]
    names, values = [], []
    for column in table.columns:
        names.append(column.name)
        values.append(changed.get(column.name, column.name).format(last=last))
    connection.execute(
        f"""WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < {times - 1})
        INSERT INTO {table.name} ({", ".join(names)})
        SELECT {", ".join(values)} FROM n, {table.name}
        WHERE {table.name}.rowid <= {last} AND n.k < {times}"""  # noqa: S608
    )


def _lengthen(connection: sqlite3.Connection, times: int) -> None:
    """Append one event to the audit chain for each copied capture."""
    (length,) = connection.execute("SELECT max(seq) FROM audit_event").fetchone()
    names, values = [], []
    for column in audit_event.columns:
        names.append(column.name)
        values.append(f"a.{column.name}")
    values[names.index("seq")] = "row_number() OVER (ORDER BY c.id) + ?"
    connection.execute(
        f"""INSERT INTO audit_event ({", ".join(names)})
        SELECT {", ".join(values)}
        FROM capture c, (SELECT * FROM audit_event WHERE event = 'capture.admitted' LIMIT 1) a
        WHERE c.id > (SELECT max(id) FROM capture) / ? ORDER BY c.id""",  # noqa: S608
        (length, times),
    )
