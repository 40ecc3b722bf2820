"""What the watcher writes down: cameras, sweeps, sightings, files that are no captures or that are gone."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.ledger import audit
from fundusd.ledger.engine import upsert
from fundusd.ledger.tables import camera, capture, sighting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fundusd.domain import Ignored, Stat, SweepReport

    Row = Mapping[Any, Any]
    Place = tuple[str, bytes]  # camera and path

_SLICE = 1000  # places asked for in one statement
_KEY = (sighting.c.camera_id, sighting.c.directory, sighting.c.name)


def listed(
    columns: Sequence[sa.Column[Any]], values: Iterable[tuple[Any, ...]]
) -> tuple[sa.CTE, sa.ColumnElement[bool]]:
    """Make a table of values, and the condition that joins it to the columns they are of.

    SQLite answers a join from the columns' index; for `(a, b) IN (...)` it reads the whole table.
    """
    table = sa.values(*(sa.column(one.name, one.type) for one in columns)).data(list(values)).cte("listed")
    return table, sa.and_(*(one == table.c[one.name] for one in columns))


def split(path: bytes) -> tuple[bytes, bytes]:
    """Split a path relative to the inbox into its directory (b"" for the inbox itself) and name."""
    return os.path.split(path)


def path_text(path: bytes) -> str:
    """Show a path to people: bytes that are no UTF-8 as escapes."""
    return path.decode("utf-8", "backslashreplace")


def register_camera(connection: sa.Connection, camera_id: str) -> None:
    """Make a camera known; the time it became known divides backlog from new captures."""
    if connection.scalar(sa.select(camera.c.id).where(camera.c.id == camera_id)) is None:
        connection.execute(sa.insert(camera).values(id=camera_id, registered_at=datetime.now(UTC)))
        audit.append(connection, audit.Entry("camera.registered", detail={"camera": camera_id}))


def registered_at_ns(connection: sa.Connection, camera_id: str) -> int:
    """Return when a camera became known, in nanoseconds since 1970."""
    at = connection.execute(sa.select(camera.c.registered_at).where(camera.c.id == camera_id)).scalar_one()
    return int(at.timestamp() * 1_000_000_000)


def swept_before(connection: sa.Connection, camera_id: str) -> bool:
    """Tell whether a full sweep of this camera's inbox has ever finished."""
    return connection.scalar(sa.select(camera.c.swept_at).where(camera.c.id == camera_id)) is not None


def sweep_finished(connection: sa.Connection, camera_id: str, report: SweepReport) -> None:
    """Keep the report of the last full sweep for `status`."""
    now = datetime.now(UTC)
    connection.execute(
        sa.update(camera)
        .where(camera.c.id == camera_id)
        .values(
            swept_at=sa.func.coalesce(camera.c.swept_at, sa.literal(now, camera.c.swept_at.type)),
            last_sweep_at=now,
            last_sweep=orjson.dumps(report, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode(),
        )
    )


def ignore(connection: sa.Connection, camera_id: str, files: Mapping[bytes, tuple[Stat, Ignored]]) -> None:
    """Remember files that are no captures, so that no sweep opens them again until they change."""
    replaced = [
        row for row in present(connection, [(camera_id, path) for path in files]).values() if not row["superseded"]
    ]
    supersede(connection, replaced)
    audit.append(connection, *map(superseded, replaced))
    see(connection, [seen(camera_id, path, stat, ignored=reason.value) for path, (stat, reason) in files.items()])


def mark_missing(connection: sa.Connection, camera_id: str, paths: Sequence[bytes]) -> None:
    """Note that files are gone; their captures and results stay."""
    at = (sighting.c.directory == sa.bindparam("at_directory"), sighting.c.name == sa.bindparam("at_name"))
    missing = sighting.c.missing_since.is_not(None)
    places = [(camera_id, *split(path)) for path in paths]
    capture_ids = []
    for first in range(0, len(places), _SLICE):
        these, here = listed(_KEY, places[first : first + _SLICE])
        there = sa.select(sighting.c.directory, sighting.c.name, sighting.c.capture_id).join(these, here)
        rows = connection.execute(there.where(~missing)).all()
        if rows:
            gone = sa.update(sighting).where(sighting.c.camera_id == camera_id, *at)
            told = [{"at_directory": row.directory, "at_name": row.name} for row in rows]
            connection.execute(gone.values(missing_since=datetime.now(UTC)), told)
        capture_ids += [row.capture_id for row in rows if row.capture_id is not None]
    detail = {"camera": camera_id}
    audit.append(connection, *(audit.Entry("capture.missing", "capture", one, detail=detail) for one in capture_ids))


def present(connection: sa.Connection, places: Iterable[Place]) -> dict[Place, Row]:
    """Find the captures that were last seen at some places."""
    these, here = listed(_KEY, [(camera_id, *split(path)) for camera_id, path in places])
    query = sa.select(capture).join(sighting, sighting.c.capture_id == capture.c.id).join(these, here)
    return {(row["camera_id"], bytes(row["path"])): row for row in connection.execute(query).mappings()}


def last_revisions(connection: sa.Connection, places: Iterable[Place]) -> dict[Place, int]:
    """Return the last revision at places where none was seen at the last look: what is there now is no capture."""
    asked = [(camera_id, *split(path)) for camera_id, path in places]
    if not asked:
        return {}
    these, here = listed(_KEY, asked)
    last = {}
    for camera_id, directory, name in connection.execute(sa.select(*_KEY).join(these, here)).all():
        path = os.path.join(bytes(directory), bytes(name))  # noqa: PTH118  bytes
        newest = sa.select(capture.c.revision).where(capture.c.camera_id == camera_id, capture.c.path == path)
        revision = connection.scalar(newest.order_by(capture.c.revision.desc()).limit(1))
        last[camera_id, path] = revision or 0
    return last


def supersede(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Note that captures are no longer what lies at their path."""
    if rows:
        ids = [row["id"] for row in rows]
        connection.execute(sa.update(capture).where(capture.c.id.in_(ids)).values(superseded=True))


def superseded(row: Row) -> audit.Entry:
    """Write down that a capture is no longer what lies at its path."""
    return audit.Entry("capture.superseded", "capture", row["id"], digest=row["digest"])


def seen(
    camera_id: str, path: bytes, stat: Stat, *, ignored: str | None = None, capture_id: int | None = None
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
