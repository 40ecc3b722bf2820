"""Compare the files of an inbox with their last sightings: the queries of the watcher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.files import IgnoreReason, Sighting, Stat
from fundusd.ledger.sightings import PRESENT, path_of_row
from fundusd.ledger.tables import sighting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.domain.files import ListedFile, SettledFile

_IGNORED = {reason.value: reason for reason in IgnoreReason}
_NAMES_FETCHED = 1000  # at a time
_LISTED_COLUMNS: list[sa.ColumnClause[Any]] = [
    sa.literal_column(name)
    for name in ("directory", "name", "size", "mtime_ns", "ctime_ns", "inode", "ignored")
]


def remembered(
    connection: sa.Connection,
    camera_id: str,
    directories: Sequence[bytes] = (),
    *,
    below: bytes = b"",
) -> dict[bytes, int]:
    """Return the number of files that are recorded as present in each of `directories`.

    If `directories` is empty, the numbers are returned for `below` and all directories inside
    `below`. By default, `below` is the whole inbox.
    """
    directory = sighting.c.directory
    query = sa.select(directory, sa.func.count()).where(sighting.c.camera_id == camera_id, PRESENT)
    if directories:
        query = query.where(directory.in_(directories))
    elif below:
        query = query.where(directory >= below, directory < below + b"0")  # "0" follows "/"
    counts: dict[bytes, int] = {}
    for name, count in connection.execute(query.group_by(directory)):
        if not below or (name + b"/").startswith(below + b"/"):
            counts[name] = count
    return counts


def present(
    connection: sa.Connection,
    camera_id: str,
    directories: Sequence[bytes],
    names: Sequence[bytes] = (),
) -> dict[ListedFile, IgnoreReason | None]:
    """Return the files that are recorded as present in directories.

    Each file is mapped to the reason why it is ignored, or to None if it is not ignored. If `names`
    is not empty, only files with these names are returned. For speed, rows are used as the driver
    returns them, because a sweep asks for every file of an inbox.
    """
    query = sa.select(*_LISTED_COLUMNS).where(
        sighting.c.camera_id == camera_id, sighting.c.directory.in_(directories), PRESENT
    )
    if names:
        query = query.where(sighting.c.name.in_(names))
    return {row[:6]: row[6] and _IGNORED[row[6]] for row in connection.execute(query).all()}


def named(
    connection: sa.Connection, camera_id: str, directory: bytes, names: Sequence[bytes]
) -> dict[bytes, Sighting]:
    """Return, by name, the last sightings of files in a directory, including missing files."""
    query = sa.select(sighting).where(
        sighting.c.camera_id == camera_id,
        sighting.c.directory == directory,
        sighting.c.name.in_(names),
    )
    sightings: dict[bytes, Sighting] = {}
    for row in connection.execute(query):
        sightings[row.name] = Sighting(
            stat=Stat(row.size, row.mtime_ns, row.ctime_ns, row.inode),
            ignored=row.ignored and _IGNORED[row.ignored],
            missing=row.missing_since is not None,
        )
    return sightings


def present_names(
    connection: sa.Connection, camera_id: str, directory: bytes, after: bytes
) -> list[bytes]:
    """Return the next names, after `after`, of files present in a directory, in ascending order.

    The number of names is limited.
    """
    query = (
        sa.select(sighting.c.name)
        .where(
            sighting.c.camera_id == camera_id,
            sighting.c.directory == directory,
            PRESENT,
            sighting.c.name > after,
        )
        .order_by(sighting.c.name)
        .limit(_NAMES_FETCHED)
    )
    return list(connection.scalars(query))


def same_files(connection: sa.Connection, files: Sequence[SettledFile]) -> list[bytes]:
    """Return other paths under which the given files of one camera are present.

    A file is recognised by its inode and mtime.
    """
    path_of: dict[tuple[int, int], bytes] = {}
    inodes = []
    for file in files:
        inodes.append(file.stat.inode)
        path_of[file.stat.inode, file.stat.mtime_ns] = file.path
    query = sa.select(
        sighting.c.directory, sighting.c.name, sighting.c.inode, sighting.c.mtime_ns
    ).where(
        sighting.c.camera_id == files[0].camera_id,
        sighting.c.inode.in_(inodes),
        PRESENT,
    )
    paths = []
    for row in connection.execute(query).mappings():
        path = path_of_row(row)
        if path_of.get((row["inode"], row["mtime_ns"]), path) != path:
            paths.append(path)
    return paths
