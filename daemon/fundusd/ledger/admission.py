"""Admit settled files as captures, each with a job.

Files are admitted in batches, and most SQL statements are executed once per batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.clinical_terms import FILE_REASONS
from fundusd.domain.files import Admission
from fundusd.domain.jobs import JobState
from fundusd.ledger import audit, jobs, moved_files, queueing, requeue, results, sightings
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.tables import capture, job, sighting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.domain.files import SettledFile
    from fundusd.ledger.path_metadata import PathColumns
    from fundusd.ledger.recorded import Recorded
    from fundusd.ledger.transactions import Recording

    Row = Mapping[Any, Any]
    Place = tuple[str, bytes]  # camera and path


@dataclass(frozen=True, slots=True)
class Admitted:
    """How a settled file was admitted.

    `reused` is the file's capture if its bytes already had a result, or None otherwise.
    """

    admission: Admission
    reused: Recorded | None = None


def admit(
    recording: Recording, files: Sequence[SettledFile], metadata: PathColumns
) -> list[Admitted]:
    """Admit settled files as captures, with one job per digest and release.

    A path may occur only once. If the bytes at a path are unchanged, only the size, times and
    inode of the file are updated. Otherwise, the new bytes become the next revision, which
    supersedes the previous one. Captures whose bytes already have a result get that result at once.
    `metadata` holds the columns that follow from the captures' paths.
    """
    if not files:
        return []
    before = sightings.current_captures(recording.connection, [_place(file) for file in files])
    known: list[tuple[SettledFile, Row]] = []
    new: list[SettledFile] = []
    for file in files:
        row = before.get(_place(file))
        if row is not None and row["digest"] == file.digest and not row["superseded"]:
            known.append((file, row))
        else:
            new.append(file)
    admitted: dict[Place, Admitted] = {}
    if known:
        admitted |= _touch(recording, known)
    if new:
        admitted |= _admit_new(recording, new, before, metadata)
    return [admitted[_place(file)] for file in files]


def _place(file: SettledFile) -> Place:
    return file.camera_id, file.path


# -- the same bytes at the same path


def _touch(recording: Recording, known: Sequence[tuple[SettledFile, Row]]) -> dict[Place, Admitted]:
    rows, entries = [], []
    for file, row in known:
        rows.append(sightings.sighting_row(*_place(file), file.stat, capture_id=row["id"]))
        entries.append(
            audit.Entry(AuditEvent.CAPTURE_TOUCHED, "capture", row["id"], digest=file.digest)
        )
    sightings.remember(recording.connection, rows)
    audit.append(recording.connection, *entries)
    queueing.wake(recording.connection, [row["job_id"] for _, row in known])
    reopened = _reopen_unread(recording, known)
    admitted = {}
    for file, row in known:
        admission = Admission.ADMITTED if row["job_id"] in reopened else Admission.TOUCHED
        admitted[_place(file)] = Admitted(admission)
    return admitted


def _reopen_unread(recording: Recording, known: Sequence[tuple[SettledFile, Row]]) -> set[int]:
    """Requeue those jobs of touched captures that failed because a file could not be read.

    Return the ids of these jobs.
    """
    connection = recording.connection
    captures_of: dict[int, list[int]] = {}
    for _, row in known:
        captures_of.setdefault(row["job_id"], []).append(row["id"])
    query = sa.select(job.c.id).where(
        jobs.among(list(captures_of), JobState.FAILED), job.c.reason.in_(FILE_REASONS)
    )
    unread = set(connection.scalars(query))
    if not unread:
        return unread
    requeue.reopen(recording, sorted(unread))
    # the daemon that can read the file takes over; the captures may have another job by now
    capture_ids: list[int] = []
    for job_id in unread:
        capture_ids += captures_of[job_id]
    job_ids = sa.select(capture.c.job_id).where(capture.c.id.in_(capture_ids))
    camera_id = known[0][0].camera_id
    connection.execute(sa.update(job).where(job.c.id.in_(job_ids)).values(camera_id=camera_id))
    return unread


# -- other bytes, or another path


def _admit_new(
    recording: Recording,
    new: Sequence[SettledFile],
    before: Mapping[Place, Row | None],
    metadata: PathColumns,
) -> dict[Place, Admitted]:
    connection = recording.connection
    origins = _origins(connection, new)
    jobs_of, queued = queueing.jobs_for(connection, new, recording.release_id)
    numbers = _insert_captures(connection, new, jobs_of, before, metadata, origins)
    replaced: dict[Place, Row] = {}
    for file in new:
        row = before.get(_place(file))
        if row is not None and not row["superseded"]:
            replaced[_place(file)] = row
    moved_to = {origins[place]["id"]: numbers[place] for place in origins}
    sightings.supersede(recording, [*replaced.values(), *origins.values()], moved_to)
    rows, entries, done = [], [], []
    for file in new:
        place = _place(file)
        capture_id = numbers[place]
        rows.append(sightings.sighting_row(*place, file.stat, capture_id=capture_id))
        entries += _entries(file, capture_id, replaced.get(place), origins.get(place))
        if jobs_of[file.digest].state is JobState.SUCCEEDED:
            done.append(capture_id)
    sightings.remember(connection, rows)
    audit.append(connection, *queued, *entries)
    reused: dict[int, Recorded] = {}
    for recorded in results.reuse(recording, sorted(done)):
        reused[recorded.capture_id] = recorded
    admitted = {}
    for place, capture_id in numbers.items():
        admitted[place] = _outcome(reused.get(capture_id), is_moved=place in origins)
    return admitted


def _outcome(reused: Recorded | None, *, is_moved: bool) -> Admitted:
    if is_moved:
        return Admitted(Admission.MOVED, reused)
    if reused is None:
        return Admitted(Admission.ADMITTED)
    return Admitted(Admission.REUSED, reused)


def _origins(connection: sa.Connection, new: Sequence[SettledFile]) -> dict[Place, Row]:
    """Return the captures whose files have been renamed to files in `new`, by new place.

    A renamed file is missing from its old path, and its bytes, inode and mtime are the same.
    """
    cameras, inodes, digests, places = set(), set(), set(), set()
    for file in new:
        cameras.add(file.camera_id)
        inodes.add(file.stat.inode)
        digests.add(file.digest)
        places.add(_place(file))
    query = (
        sa.select(
            capture,
            sighting.c.inode.label("seen_inode"),
            sighting.c.mtime_ns.label("seen_mtime_ns"),
        )
        .join(sighting, sighting.c.capture_id == capture.c.id)
        .where(
            sighting.c.missing_since.is_not(None),
            sighting.c.camera_id.in_(cameras),
            sighting.c.inode.in_(inodes),
            capture.c.superseded.is_(False),
            capture.c.digest.in_(digests),
        )
        .order_by(capture.c.id.desc())
    )
    gone = {}
    for row in connection.execute(query).mappings():
        # a path at which this batch has a file is not a path that a file has moved away from
        if (row["camera_id"], bytes(row["path"])) not in places:
            key = (row["camera_id"], row["seen_inode"], row["seen_mtime_ns"], row["digest"])
            gone[key] = row
    origins: dict[Place, Row] = {}
    for file in new:
        key = (file.camera_id, file.stat.inode, file.stat.mtime_ns, file.digest)
        if key in gone:
            origins[_place(file)] = gone.pop(key)
    return origins


def _insert_captures(
    connection: sa.Connection,
    new: Sequence[SettledFile],
    jobs_of: Mapping[str, queueing.QueuedJob],
    before: Mapping[Place, Row | None],
    metadata: PathColumns,
    origins: Mapping[Place, Row],
) -> dict[Place, int]:
    """Insert the captures of new files, and return the numbers of these captures by place."""
    received = _received_now()
    rows = []
    for file in new:
        place = _place(file)
        row = {"revision": _next_revision(connection, place, before)}
        row |= {"job_id": jobs_of[file.digest].job_id}
        origin = origins.get(place)
        row |= moved_files.corrected(origin) | moved_files.inherited(metadata[place], origin)
        rows.append(row | _columns(file) | received)
    statement = sa.insert(capture).returning(capture.c.id, capture.c.camera_id, capture.c.path)
    numbers = {}
    for inserted in connection.execute(statement, rows):
        numbers[inserted.camera_id, bytes(inserted.path)] = inserted.id
    return numbers


def _received_now() -> dict[str, Any]:
    now = datetime.now(UTC)
    local = now.astimezone()
    year, week, _ = local.isocalendar()
    return {
        "received_at": now,
        "local_day": local.date().isoformat(),
        "local_week": f"{year}-W{week:02}",
    }


def _next_revision(
    connection: sa.Connection, place: Place, before: Mapping[Place, Row | None]
) -> int:
    if place not in before:  # no file was ever seen there
        return 1
    row = before[place]
    if row is None:  # the last file there was not a capture, but older ones may have been
        return sightings.last_revision(connection, place) + 1
    return int(row["revision"]) + 1


def _columns(file: SettledFile) -> dict[str, Any]:
    return {
        "camera_id": file.camera_id,
        "path": file.path,
        "superseded": False,
        "digest": file.digest,
        "size": file.stat.size,
        "mtime_ns": file.stat.mtime_ns,
        "inode": file.stat.inode,
        "hinted": file.hinted,
    }


def _entries(
    file: SettledFile, capture_id: int, replaced: Row | None, origin: Row | None
) -> list[audit.Entry]:
    """Return the audit entries for a new capture.

    There is a further entry if the capture supersedes another one, or if its file was moved.
    """
    detail = {
        "camera": file.camera_id,
        "size": file.stat.size,
        "by": "hint" if file.hinted else "sweep",
    }
    entries = [
        audit.Entry(
            AuditEvent.CAPTURE_ADMITTED, "capture", capture_id, digest=file.digest, detail=detail
        )
    ]
    if replaced is not None:
        entries.append(sightings.superseded(replaced))
    if origin is not None:
        moved = {"from_capture": origin["id"]}
        entries.append(
            audit.Entry(
                AuditEvent.CAPTURE_MOVED, "capture", capture_id, digest=file.digest, detail=moved
            )
        )
    return entries
