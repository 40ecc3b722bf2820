"""What the sweeps remember of an inbox; reads only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.files import IgnoreReason, Sighting, Stat
from fundusd.ledger.tables import sighting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.domain.files import ListedFile, SettledFile

_IGNORED = {one.value: one for one in IgnoreReason}
_PRESENT = sighting.c.missing_since.is_(None)  # as the partial index says it
_NAMES = 1000  # fetched at once


def _columns(*names: str) -> list[sa.ColumnClause[Any]]:
    return [sa.literal_column(name) for name in names]


def remembered(
    connection: sa.Connection, camera_id: str, directories: Sequence[bytes], below: bytes
) -> dict[bytes, int]:
    """Count the files that were there at the last look, by directory: of some, or of all in and below one."""
    directory = sighting.c.directory
    query = sa.select(directory, sa.func.count()).where(sighting.c.camera_id == camera_id, _PRESENT)
    if directories:
        query = query.where(directory.in_(directories))
    elif below:
        query = query.where(directory >= below, directory < below + b"0")  # which comes after "/"
    counts = {row[0]: row[1] for row in connection.execute(query.group_by(directory))}
    return {
        one: count
        for one, count in counts.items()
        if not below or (one + b"/").startswith(below + b"/")
    }


def present(
    connection: sa.Connection,
    camera_id: str,
    directories: Sequence[bytes],
    names: Sequence[bytes] = (),
) -> dict[ListedFile, IgnoreReason | None]:
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


def named(
    connection: sa.Connection, camera_id: str, directory: bytes, names: Sequence[bytes]
) -> dict[bytes, Sighting]:
    """Return what is remembered of some files of a directory by name, missing ones included."""
    query = sa.select(sighting).where(
        sighting.c.camera_id == camera_id, sighting.c.directory == directory
    )
    return {
        row.name: Sighting(
            stat=Stat(row.size, row.mtime_ns, row.ctime_ns, row.inode),
            ignored=row.ignored and _IGNORED[row.ignored],
            missing=row.missing_since is not None,
        )
        for row in connection.execute(query.where(sighting.c.name.in_(names)))
    }


def present_names(
    connection: sa.Connection, camera_id: str, directory: bytes, after: bytes
) -> list[bytes]:
    """Return the names of a directory's files that were there at the last look: some, in order, after a name."""
    there = (sighting.c.camera_id == camera_id, sighting.c.directory == directory, _PRESENT)
    query = (
        sa.select(sighting.c.name)
        .where(*there, sighting.c.name > after)
        .order_by(sighting.c.name)
        .limit(_NAMES)
    )
    return list(connection.scalars(query))


def same_files(connection: sa.Connection, found: Sequence[SettledFile]) -> list[bytes]:
    """Return the other paths of one camera at which the very files (inode and time) were that are found now."""
    here = {(one.stat.inode, one.stat.mtime_ns): one.path for one in found}
    query = sa.select(
        sighting.c.directory, sighting.c.name, sighting.c.inode, sighting.c.mtime_ns
    ).where(
        sighting.c.camera_id == found[0].camera_id,
        sighting.c.inode.in_([inode for inode, _ in here]),
        _PRESENT,
    )
    paths = []
    for row in connection.execute(query):
        path = os.path.join(bytes(row.directory), bytes(row.name))  # noqa: PTH118  bytes
        if here.get((row.inode, row.mtime_ns), path) != path:
            paths.append(path)
    return paths
