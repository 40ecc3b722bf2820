"""Sightings and admission: from a settled file to a capture, and to one job per digest and release."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain import Admission, Ignored, JobState, Reason
from fundusd.laterality import eye_from_name
from fundusd.ledger import adoption, audit, jobs, results
from fundusd.ledger.tables import camera, capture, job, sighting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.domain import Found, Stat, SweepReport
    from fundusd.ledger.jobs import Recorded

_FILE_REASONS = (Reason.FILE_MISSING, Reason.FILE_CHANGED, Reason.FILE_UNREADABLE)


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


def ignore(connection: sa.Connection, camera_id: str, path: bytes, stat: Stat, reason: Ignored) -> None:
    """Remember a file that is no capture, so that no sweep opens it again until it changes."""
    if (present := _present(connection, camera_id, path)) is not None and not present["superseded"]:
        _supersede(connection, present)
        audit.append(connection, _superseded(present))
    _see(connection, camera_id, path, stat, ignored=reason.value, capture_id=None)


def mark_missing(connection: sa.Connection, camera_id: str, paths: Sequence[bytes]) -> None:
    """Note that files are gone; their captures and results stay."""
    now = datetime.now(UTC)
    for path in paths:
        directory, name = split(path)
        gone = (
            sa.update(sighting)
            .where(
                sighting.c.camera_id == camera_id,
                sighting.c.directory == directory,
                sighting.c.name == name,
                sighting.c.missing_since.is_(None),
            )
            .values(missing_since=now)
            .returning(sighting.c.capture_id)
        )
        capture_id = connection.scalar(gone)
        if capture_id is not None:
            entry = audit.Entry("capture.missing", "capture", capture_id, detail={"camera": camera_id})
            audit.append(connection, entry)


def admit(connection: sa.Connection, found: Found, release_id: int) -> tuple[Admission, Recorded | None]:
    """Turn a settled file into a capture with a job, once per digest and release.

    Returns what that came to, and the capture as recorded where its result was there already.

    The same bytes at the same path only refresh the change signal. Other bytes are the next revision, and the
    older one is superseded. Bytes that were classified before take their result over at once.
    """
    present = _present(connection, found.camera_id, found.path)
    if present is not None and present["digest"] == found.digest and not present["superseded"]:
        return _touch(connection, found, present, release_id), None
    moved_from = _moved_from(connection, found)
    job_id, state = _job_for(connection, found, release_id)
    capture_id = _insert_capture(connection, found, job_id)
    for row in (present, moved_from):
        if row is not None and not row["superseded"]:
            _supersede(connection, row)
    _see(connection, found.camera_id, found.path, found.stat, ignored=None, capture_id=capture_id)
    _audit_admission(connection, found, capture_id, present, moved_from)
    done = results.reuse(connection, job_id, capture_id) if state is JobState.SUCCEEDED else None
    if moved_from is not None:
        return Admission.MOVED, done
    return (Admission.ADMITTED if done is None else Admission.REUSED), done


def _present(connection: sa.Connection, camera_id: str, path: bytes) -> Any:
    """Find the capture that was last seen at a path."""
    directory, name = split(path)
    query = (
        sa.select(capture)
        .join(sighting, sighting.c.capture_id == capture.c.id)
        .where(sighting.c.camera_id == camera_id, sighting.c.directory == directory, sighting.c.name == name)
    )
    return connection.execute(query).mappings().one_or_none()


def _supersede(connection: sa.Connection, row: Any) -> None:
    connection.execute(sa.update(capture).where(capture.c.id == row["id"]).values(superseded=True))


def _superseded(row: Any) -> audit.Entry:
    return audit.Entry("capture.superseded", "capture", row["id"], digest=row["digest"])


def _touch(connection: sa.Connection, found: Found, present: Any, release_id: int) -> Admission:
    _see(connection, found.camera_id, found.path, found.stat, ignored=None, capture_id=present["id"])
    entry = audit.Entry("capture.touched", "capture", present["id"], digest=found.digest)
    audit.append(connection, entry)
    broken_by_file = sa.select(job.c.id).where(
        job.c.id == present["job_id"], job.c.state == JobState.FAILED, job.c.reason.in_(_FILE_REASONS)
    )
    if (job_id := connection.scalar(broken_by_file)) is not None:
        adoption.reopen(connection, [job_id], release_id)
        return Admission.ADMITTED
    return Admission.TOUCHED


def _moved_from(connection: sa.Connection, found: Found) -> Any:
    """Find the capture whose file was renamed to this one: same bytes, inode and time, and gone from its path."""
    query = (
        sa.select(capture)
        .join(sighting, sighting.c.capture_id == capture.c.id)
        .where(
            capture.c.digest == found.digest,
            capture.c.camera_id == found.camera_id,
            sighting.c.missing_since.is_not(None),
            sighting.c.inode == found.stat.inode,
            sighting.c.mtime_ns == found.stat.mtime_ns,
            capture.c.superseded.is_(False),
            capture.c.path != found.path,
        )
        .limit(1)
    )
    return connection.execute(query).mappings().one_or_none()


def _job_for(connection: sa.Connection, found: Found, release_id: int) -> tuple[int, JobState]:
    """Return the job of these bytes, queueing one if there is none, or if the one there had failed."""
    query = sa.select(job).where(job.c.digest == found.digest, job.c.release_id == release_id)
    known_job = connection.execute(query).one_or_none()
    if known_job is None:
        return _queue(connection, found, release_id), JobState.QUEUED
    state = JobState(known_job.state)
    if state is JobState.FAILED:
        jobs.reopen(connection, [known_job.id])
        state = JobState.QUEUED
    if state is JobState.QUEUED and not found.backlog:
        connection.execute(sa.update(job).where(job.c.id == known_job.id).values(lane=0, position=0))
    return known_job.id, state


def _queue(connection: sa.Connection, found: Found, release_id: int) -> int:
    row = {
        "digest": found.digest,
        "release_id": release_id,
        "state": JobState.QUEUED,
        "lane": 1 if found.backlog else 0,
        "position": -found.stat.mtime_ns if found.backlog else 0,
        "attempts": 0,
        "available_at": 0.0,  # at once, wherever the clock is set to
        "created_at": datetime.now(UTC),
    }
    job_id: int = connection.scalar(sa.insert(job).values(row).returning(job.c.id))
    detail = {"lane": row["lane"]}
    audit.append(connection, audit.Entry("job.queued", "job", job_id, None, release_id, found.digest, detail))
    return job_id


def _insert_capture(connection: sa.Connection, found: Found, job_id: int) -> int:
    last = sa.select(sa.func.max(capture.c.revision)).where(
        capture.c.camera_id == found.camera_id, capture.c.path == found.path
    )
    now = datetime.now(UTC)
    local = now.astimezone()
    year, week, _ = local.isocalendar()
    eye, eye_source = eye_from_name(path_text(found.path))
    insert = sa.insert(capture).values(
        camera_id=found.camera_id,
        path=found.path,
        path_text=path_text(found.path),
        revision=(connection.scalar(last) or 0) + 1,
        superseded=False,
        digest=found.digest,
        size=found.stat.size,
        mtime_ns=found.stat.mtime_ns,
        inode=found.stat.inode,
        hinted=found.hinted,
        job_id=job_id,
        eye=eye,
        eye_source=eye_source,
        received_at=now,
        local_day=local.date().isoformat(),
        local_week=f"{year}-W{week:02}",
    )
    capture_id: int = connection.scalar(insert.returning(capture.c.id))
    return capture_id


def _audit_admission(connection: sa.Connection, found: Found, capture_id: int, present: Any, moved_from: Any) -> None:
    detail = {"camera": found.camera_id, "size": found.stat.size, "by": "hint" if found.hinted else "sweep"}
    entries = [audit.Entry("capture.admitted", "capture", capture_id, digest=found.digest, detail=detail)]
    if present is not None and not present["superseded"]:
        entries.append(_superseded(present))
    if moved_from is not None:
        origin = {"from_capture": moved_from["id"]}
        entries.append(audit.Entry("capture.moved", "capture", capture_id, digest=found.digest, detail=origin))
    audit.append(connection, *entries)


def _see(
    connection: sa.Connection,
    camera_id: str,
    path: bytes,
    stat: Stat,
    *,
    ignored: str | None,
    capture_id: int | None,
) -> None:
    directory, name = split(path)
    key = (sighting.c.camera_id == camera_id, sighting.c.directory == directory, sighting.c.name == name)
    seen = {
        "size": stat.size,
        "mtime_ns": stat.mtime_ns,
        "ctime_ns": stat.ctime_ns,
        "inode": stat.inode,
        "ignored": ignored,
        "capture_id": capture_id,
        "missing_since": None,
    }
    if connection.execute(sa.update(sighting).where(*key).values(seen)).rowcount == 0:
        row = {"camera_id": camera_id, "directory": directory, "name": name} | seen
        connection.execute(sa.insert(sighting).values(row))
