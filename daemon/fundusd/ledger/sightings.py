"""The last sighting of each file in an inbox, stored so that a sweep opens only changed files."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.ledger import audit, exams
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import upsert
from fundusd.ledger.tables import capture, sighting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fundusd.domain.files import IgnoreReason, Stat
    from fundusd.ledger.transactions import Recording

    Row = Mapping[Any, Any]
    Place = tuple[str, bytes]  # camera and path

PRESENT = sighting.c.missing_since.is_(None)  # the same condition as in the partial index
_NAMES_IN_STATEMENT = 1000
_PLACES_IN_STATEMENT = 32  # few, because every combination of their parts is looked up


def split(path: bytes) -> tuple[bytes, bytes]:
    """Split a path that is relative to the inbox into its directory and its name.

    The directory of a file in the inbox itself is b"".
    """
    return os.path.split(path)


def path_text(path: bytes) -> str:
    """Return a path as text, with bytes that are not UTF-8 escaped."""
    return path.decode("utf-8", "backslashreplace")


def path_of_row(row: Row) -> bytes:
    """Return the path of a file, relative to the inbox, from its row."""
    return os.path.join(bytes(row["directory"]), bytes(row["name"]))  # noqa: PTH118  bytes


# -- reports of sweeps


def ignore(
    recording: Recording, camera_id: str, files: Mapping[bytes, tuple[Stat, IgnoreReason]]
) -> None:
    """Mark files as ignored, so that no sweep opens them until they change.

    `files` maps the path of each file to its stat and the reason why it is ignored.
    """
    before = current_captures(recording.connection, [(camera_id, path) for path in files])
    replaced, entries, rows = [], [], []
    for row in before.values():
        if row is not None and not row["superseded"]:
            replaced.append(row)
            entries.append(superseded(row))
    for path, (stat, reason) in files.items():
        rows.append(sighting_row(camera_id, path, stat, ignored=reason.value))
    supersede(recording, replaced)
    audit.append(recording.connection, *entries)
    remember(recording.connection, rows)


def mark_missing(connection: sa.Connection, camera_id: str, paths: Iterable[bytes]) -> None:
    """Mark files as missing.

    The captures and results of these files are kept.
    """
    by_directory: dict[bytes, list[bytes]] = {}
    for path in paths:
        directory, name = split(path)
        by_directory.setdefault(directory, []).append(name)
    entries: list[audit.Entry] = []
    for directory, names in by_directory.items():
        for first in range(0, len(names), _NAMES_IN_STATEMENT):
            some = names[first : first + _NAMES_IN_STATEMENT]
            entries += _mark_missing(connection, camera_id, directory, some)
    audit.append(connection, *entries)


def _mark_missing(
    connection: sa.Connection, camera_id: str, directory: bytes, names: Sequence[bytes]
) -> Iterator[audit.Entry]:
    """Mark files in a directory as missing.

    Yield an audit entry for each of these files that is a capture.
    """
    statement = (
        sa.update(sighting)
        .where(
            sighting.c.camera_id == camera_id,
            PRESENT,
            sighting.c.directory == directory,
            sighting.c.name.in_(names),
        )
        .values(missing_since=datetime.now(UTC))
        .returning(sighting.c.capture_id)
    )
    for capture_id in connection.scalars(statement):
        if capture_id is not None:
            detail = {"camera": camera_id}
            yield audit.Entry(AuditEvent.CAPTURE_MISSING, "capture", capture_id, detail=detail)


# -- for admission


def current_captures(connection: sa.Connection, places: Sequence[Place]) -> dict[Place, Row | None]:
    """Return the capture that was last seen at each place.

    For a file that is not a capture, the value is None. Places at which no file has ever been seen
    are left out.
    """
    query = sa.select(
        sighting.c.directory, sighting.c.name, sighting.c.camera_id.label("at"), capture
    ).outerjoin(capture, sighting.c.capture_id == capture.c.id)
    rows: dict[Place, Row | None] = {}
    for first in range(0, len(places), _PLACES_IN_STATEMENT):
        some = places[first : first + _PLACES_IN_STATEMENT]
        for row in connection.execute(query.where(_at(some))).mappings():
            rows[row["at"], path_of_row(row)] = None if row["id"] is None else row
    return {place: rows[place] for place in places if place in rows}


def _at(places: Sequence[Place]) -> sa.ColumnElement[bool]:
    """Return a condition that selects all given places.

    Other combinations of the places' cameras, directories and names are selected too. SQLite looks
    up each combination in the index of the primary key, whereas for `(a, b) IN (...)`, SQLite would
    read the whole table.
    """
    cameras, directories, names = set(), set(), set()
    for camera_id, path in places:
        directory, name = split(path)
        cameras.add(camera_id)
        directories.add(directory)
        names.add(name)
    return sa.and_(
        sighting.c.camera_id.in_(cameras),
        sighting.c.directory.in_(directories),
        sighting.c.name.in_(names),
    )


def last_revision(connection: sa.Connection, place: Place) -> int:
    """Return the number of the last revision at a place, or 0 if it has never held a capture."""
    camera_id, path = place
    newest = sa.select(capture.c.revision).where(
        capture.c.camera_id == camera_id, capture.c.path == path
    )
    return connection.scalar(newest.order_by(capture.c.revision.desc()).limit(1)) or 0


def supersede(
    recording: Recording, rows: Sequence[Row], moved_to: Mapping[int, int] | None = None
) -> None:
    """Mark captures as superseded, and judge their exams again.

    `moved_to` are the new captures of files that were moved.
    """
    if not rows:
        return
    ids, exam_ids = [], []
    for row in rows:
        ids.append(row["id"])
        exam_ids.append(row["exam_id"])
    statement = sa.update(capture).where(capture.c.id.in_(ids))
    recording.connection.execute(statement.values(superseded=True))
    if moved_to:
        moves = [{"at_id": old, "new_id": new} for old, new in moved_to.items()]
        # all earlier places of a file lead to its present one
        is_of_file = sa.or_(
            capture.c.id == sa.bindparam("at_id"), capture.c.moved_to == sa.bindparam("at_id")
        )
        move = sa.update(capture).where(is_of_file)
        recording.connection.execute(move.values(moved_to=sa.bindparam("new_id")), moves)
    exams.rejudge(recording, exam_ids)


def superseded(row: Row) -> audit.Entry:
    """Return the audit entry for a capture whose file has been replaced at its path."""
    return audit.Entry(AuditEvent.CAPTURE_SUPERSEDED, "capture", row["id"], digest=row["digest"])


def sighting_row(
    camera_id: str,
    path: bytes,
    stat: Stat,
    *,
    ignored: str | None = None,
    capture_id: int | None = None,
) -> dict[str, Any]:
    """Return a file's row for the `sighting` table."""
    directory, name = split(path)
    return {
        "camera_id": camera_id,
        "directory": directory,
        "name": name,
        "size": stat.size,
        "mtime_ns": stat.mtime_ns,
        "ctime_ns": stat.ctime_ns,
        "inode": stat.inode,
        "ignored": ignored,
        "capture_id": capture_id,
        "missing_since": None,
    }


def remember(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store sightings, overwriting earlier sightings of the same paths."""
    connection.execute(upsert(connection, sighting), rows)
