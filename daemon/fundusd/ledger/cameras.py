"""What the watcher writes down: cameras, sweeps, sightings, files that are no captures or that are gone."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.ledger import audit, exams
from fundusd.ledger.database import upsert
from fundusd.ledger.tables import camera, capture, sighting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fundusd.domain.files import IgnoreReason, Stat, SweepReport

    Row = Mapping[Any, Any]
    Place = tuple[str, bytes]  # camera and path

_SLICE = 1000  # names in one statement
_MIXED = 32  # places in one: it looks up every mixture of their parts
_KEY = (sighting.c.camera_id, sighting.c.directory, sighting.c.name)


def split(path: bytes) -> tuple[bytes, bytes]:
    """Split a path relative to the inbox into its directory (b"" for the inbox itself) and name."""
    return os.path.split(path)


def _at(places: Sequence[Place]) -> sa.ColumnElement[bool]:
    """Ask for places by the parts of their key; other mixtures of these parts match as well, and are to be left out.

    SQLite looks each of them up in the key's index; for `(a, b) IN (...)` it reads the whole table.
    """
    parts = zip(*((camera_id, *split(path)) for camera_id, path in places), strict=True)
    return sa.and_(*(column.in_(set(values)) for column, values in zip(_KEY, parts, strict=True)))


def path_text(path: bytes) -> str:
    """Show a path to people: bytes that are no UTF-8 as escapes."""
    return path.decode("utf-8", "backslashreplace")


def register_camera(connection: sa.Connection, camera_id: str) -> None:
    """Make a camera known; the time it became known divides backlog from new captures."""
    if connection.scalar(sa.select(camera.c.id).where(camera.c.id == camera_id)) is None:
        connection.execute(sa.insert(camera).values(id=camera_id, registered_at=datetime.now(UTC)))
        audit.append(connection, audit.Entry("camera.registered", detail={"camera": camera_id}))


def expect_fields(connection: sa.Connection, camera_id: str, fields: Sequence[str]) -> None:
    """Note which fields of each eye a camera's exams should have."""
    this = sa.update(camera).where(camera.c.id == camera_id)
    connection.execute(this.values(expected_fields=" ".join(fields)))


def started(connection: sa.Connection, cameras: Sequence[str], release_id: int, seq: int) -> None:
    """Note for which cameras a daemon works now, under which release."""
    connection.execute(
        sa.update(camera).where(camera.c.id.in_(cameras)).values(release_id=release_id, started=seq)
    )


def registered_at_ns(connection: sa.Connection, camera_id: str) -> int:
    """Return when a camera became known, in nanoseconds since 1970."""
    at = connection.execute(
        sa.select(camera.c.registered_at).where(camera.c.id == camera_id)
    ).scalar_one()
    return int(at.timestamp() * 1_000_000_000)


def swept_before(connection: sa.Connection, camera_id: str) -> bool:
    """Tell whether a full sweep of this camera's inbox has ever finished."""
    return (
        connection.scalar(sa.select(camera.c.swept_at).where(camera.c.id == camera_id)) is not None
    )


def sweep_finished(connection: sa.Connection, camera_id: str, report: SweepReport) -> None:
    """Keep the report of the last full sweep for `status`."""
    now = datetime.now(UTC)
    connection.execute(
        sa.update(camera)
        .where(camera.c.id == camera_id)
        .values(
            swept_at=sa.func.coalesce(camera.c.swept_at, sa.literal(now, camera.c.swept_at.type)),
            last_sweep_at=now,
            last_sweep=orjson.dumps(
                report, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
            ).decode(),
        )
    )


def ignore(
    connection: sa.Connection, camera_id: str, files: Mapping[bytes, tuple[Stat, IgnoreReason]]
) -> None:
    """Remember files that are no captures, so that no sweep opens them again until they change."""
    there = seen_at(connection, [(camera_id, path) for path in files])
    replaced = [row for row in there.values() if row is not None and not row["superseded"]]
    supersede(connection, replaced)
    audit.append(connection, *map(superseded, replaced))
    see(
        connection,
        [
            seen(camera_id, path, stat, ignored=reason.value)
            for path, (stat, reason) in files.items()
        ],
    )


def mark_missing(connection: sa.Connection, camera_id: str, paths: Iterable[bytes]) -> None:
    """Note that files are gone; their captures and results stay."""
    by_directory: dict[bytes, list[bytes]] = {}
    for path in paths:
        directory, name = split(path)
        by_directory.setdefault(directory, []).append(name)
    there = sa.and_(sighting.c.camera_id == camera_id, sighting.c.missing_since.is_(None))
    capture_ids: list[int] = []
    for directory, names in by_directory.items():
        for first in range(0, len(names), _SLICE):
            these = (
                sighting.c.directory == directory,
                sighting.c.name.in_(names[first : first + _SLICE]),
            )
            gone = sa.update(sighting).where(there, *these).values(missing_since=datetime.now(UTC))
            capture_ids += filter(None, connection.scalars(gone.returning(sighting.c.capture_id)))
    detail = {"camera": camera_id}
    audit.append(
        connection,
        *(audit.Entry("capture.missing", "capture", one, detail=detail) for one in capture_ids),
    )


def seen_at(connection: sa.Connection, places: Sequence[Place]) -> dict[Place, Row | None]:
    """Find what was last seen at some places: the capture, or None for a file that is none."""
    query = sa.select(
        sighting.c.directory, sighting.c.name, sighting.c.camera_id.label("at"), capture
    ).outerjoin(capture, sighting.c.capture_id == capture.c.id)
    found: dict[Place, Row | None] = {}
    for first in range(0, len(places), _MIXED):
        for row in connection.execute(query.where(_at(places[first : first + _MIXED]))).mappings():
            place = (row["at"], os.path.join(bytes(row["directory"]), bytes(row["name"])))  # noqa: PTH118  bytes
            found[place] = row if row["id"] is not None else None
    return {place: found[place] for place in places if place in found}


def last_revision(connection: sa.Connection, place: Place) -> int:
    """Return the last revision of a capture at a place, 0 where there never was one."""
    camera_id, path = place
    newest = sa.select(capture.c.revision).where(
        capture.c.camera_id == camera_id, capture.c.path == path
    )
    return connection.scalar(newest.order_by(capture.c.revision.desc()).limit(1)) or 0


def supersede(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Note that captures are no longer what lies at their path."""
    if rows:
        ids = [row["id"] for row in rows]
        connection.execute(sa.update(capture).where(capture.c.id.in_(ids)).values(superseded=True))
        exams.rejudge(connection, [row["exam_id"] for row in rows])


def superseded(row: Row) -> audit.Entry:
    """Write down that a capture is no longer what lies at its path."""
    return audit.Entry("capture.superseded", "capture", row["id"], digest=row["digest"])


def seen(
    camera_id: str,
    path: bytes,
    stat: Stat,
    *,
    ignored: str | None = None,
    capture_id: int | None = None,
) -> dict[str, Any]:
    """Build a sighting's row."""
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


def see(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Remember what files look like now, so that the next sweep leaves them alone."""
    connection.execute(upsert(connection, sighting), rows)
