"""What the sweeps remember of an inbox; reads only."""

from __future__ import annotations

import sqlalchemy as sa

from fundusd.domain import Ignored, Sighting, Stat
from fundusd.ledger.tables import sighting


def known(connection: sa.Connection, camera_id: str, directory: bytes) -> dict[bytes, Sighting]:
    """Return what is remembered of one directory's files, by name."""
    query = sa.select(sighting).where(sighting.c.camera_id == camera_id, sighting.c.directory == directory)
    return {
        row.name: Sighting(
            stat=Stat(row.size, row.mtime_ns, row.ctime_ns, row.inode),
            ignored=Ignored(row.ignored) if row.ignored else None,
            missing=row.missing_since is not None,
        )
        for row in connection.execute(query)
    }


def known_directories(connection: sa.Connection, camera_id: str) -> set[bytes]:
    """Return the directories that hold files which were there at the last look."""
    query = sa.select(sighting.c.directory).where(sighting.c.camera_id == camera_id, sighting.c.missing_since.is_(None))
    return set(connection.scalars(query.distinct()))
