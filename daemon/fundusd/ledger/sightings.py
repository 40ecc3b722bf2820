"""What the sweeps remember of an inbox; reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain import Ignored, Sighting, Stat
from fundusd.ledger.tables import sighting

if TYPE_CHECKING:
    from collections.abc import Sequence

Seen = tuple[bytes, bytes, int, int, int, int]  # directory, name and change signal, the inode in 64 signed bits

_IGNORED = {one.value: one for one in Ignored}
_PRESENT = sighting.c.missing_since.is_(None)  # as the partial index says it
_NAMES = 1000  # fetched at once


def _columns(*names: str) -> list[sa.ColumnClause[Any]]:
    return [sa.literal_column(name) for name in names]


def remembered(connection: sa.Connection, camera_id: str, directories: Sequence[bytes]) -> dict[bytes, int]:
    """Count the files that were there at the last look, by directory: of some, or of all when none is named."""
    query = sa.select(sighting.c.directory, sa.func.count()).where(sighting.c.camera_id == camera_id, _PRESENT)
    if directories:
        query = query.where(sighting.c.directory.in_(directories))
    return {row[0]: row[1] for row in connection.execute(query.group_by(sighting.c.directory))}


def present(
    connection: sa.Connection, camera_id: str, directories: Sequence[bytes], names: Sequence[bytes] = ()
) -> dict[Seen, Ignored | None]:
    """Return what files looked like that were there at the last look, and why they are ignored, if they are.

    Of some directories; with `names`, only files that are called so. A sweep asks for every file of an inbox: rows
    come as the driver gives them.
    """
    columns = _columns("directory", "name", "size", "mtime_ns", "ctime_ns", "inode", "ignored")
    query = sa.select(*columns).where(
        sighting.c.camera_id == camera_id, sighting.c.directory.in_(directories), _PRESENT
    )
    if names:
        query = query.where(sighting.c.name.in_(names))
    return {row[:6]: row[6] and _IGNORED[row[6]] for row in connection.execute(query).all()}


def named(connection: sa.Connection, camera_id: str, directory: bytes, names: Sequence[bytes]) -> dict[bytes, Sighting]:
    """Return what is remembered of some files of a directory by name, missing ones included."""
    query = sa.select(sighting).where(sighting.c.camera_id == camera_id, sighting.c.directory == directory)
    return {
        row.name: Sighting(
            stat=Stat(row.size, row.mtime_ns, row.ctime_ns, row.inode),
            ignored=row.ignored and _IGNORED[row.ignored],
            missing=row.missing_since is not None,
        )
        for row in connection.execute(query.where(sighting.c.name.in_(names)))
    }


def present_names(connection: sa.Connection, camera_id: str, directory: bytes, after: bytes) -> list[bytes]:
    """Return the names of a directory's files that were there at the last look: some, in order, after a name."""
    there = (sighting.c.camera_id == camera_id, sighting.c.directory == directory, _PRESENT)
    query = sa.select(sighting.c.name).where(*there, sighting.c.name > after).order_by(sighting.c.name).limit(_NAMES)
    return list(connection.scalars(query))
