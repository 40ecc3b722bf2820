"""Queue the bytes of new captures, with one job per digest and release."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.jobs import JobState
from fundusd.ledger import audit, jobs
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.tables import job

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from fundusd.domain.files import SettledFile

_TODAY, _BACKLOG = 0, 1  # lanes: today's captures come first
_LAST = 1 << 62  # a position in a lane, for files that cannot be photographs


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """The number and state of the job for a digest."""

    job_id: int
    state: JobState


def jobs_for(
    connection: sa.Connection, files: Sequence[SettledFile], release_id: int
) -> tuple[dict[str, QueuedJob], list[audit.Entry]]:
    """Return the job for each digest, and the audit entries for new jobs.

    If a digest has no job yet, a job is inserted. If its job has failed, the job is queued again.
    """
    camera_of: dict[str, str] = {}  # the camera with the last file of a digest
    today: set[str] = set()  # digests of files that are not in the backlog
    for file in files:
        camera_of[file.digest] = file.camera_id
        if not file.backlog and file.is_of_known_format:
            today.add(file.digest)
    query = sa.select(job.c.id, job.c.digest, job.c.state, job.c.lane, job.c.camera_id).where(
        job.c.digest.in_(camera_of), job.c.release_id == release_id
    )
    rows = connection.execute(query).all()
    failed: list[int] = []
    known: dict[str, QueuedJob] = {}
    for row in rows:
        state = JobState(row.state)
        if state is JobState.FAILED:
            failed.append(row.id)
            state = JobState.QUEUED
        known[row.digest] = QueuedJob(row.id, state)
    if failed:
        jobs.reopen(connection, failed)
    _hurry(connection, rows, today)
    _hand_over(connection, rows, camera_of)
    wake(connection, [row.id for row in rows])
    new = [file for file in files if file.digest not in known]
    queued, entries = _queue(connection, new, release_id)
    return known | queued, entries


def wake(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Make resting jobs due, because a file with their bytes has been seen."""
    if not ids:
        return
    is_resting = sa.and_(jobs.among(ids, JobState.QUEUED), job.c.available_at == jobs.RESTING)
    connection.execute(sa.update(job).where(is_resting).values(available_at=0.0))


def _hurry(connection: sa.Connection, rows: Sequence[Any], today: Container[str]) -> None:
    """Move waiting jobs from the backlog to today's lane if their bytes have arrived today."""
    hurried = []
    for row in rows:
        is_waiting = row.state in {JobState.QUEUED, JobState.FAILED}
        if is_waiting and row.lane != _TODAY and row.digest in today:
            hurried.append(row.id)
    if hurried:
        statement = sa.update(job).where(job.c.id.in_(hurried))
        connection.execute(statement.values(lane=_TODAY, position=0))


def _hand_over(
    connection: sa.Connection, rows: Sequence[Any], camera_of: Mapping[str, str]
) -> None:
    """Assign unfinished jobs to the camera at which their bytes were seen last.

    The daemon of the previous camera may be down or may crash on these very bytes.
    """
    for row in rows:
        camera_id = camera_of[row.digest]
        if row.state != JobState.SUCCEEDED and camera_id != row.camera_id:
            statement = sa.update(job).where(job.c.id == row.id)
            connection.execute(statement.values(camera_id=camera_id))


def _queue(
    connection: sa.Connection, files: Sequence[SettledFile], release_id: int
) -> tuple[dict[str, QueuedJob], list[audit.Entry]]:
    """Insert a job for each digest.

    If several files have the same digest, the most urgent one determines the job's position.
    """
    if not files:
        return {}, []
    now = datetime.now(UTC)
    rows: dict[str, dict[str, Any]] = {}
    for file in sorted(files, key=_urgency):  # the last, most urgent file of a digest wins
        rows[file.digest] = _row(file, release_id, now)
    statement = sa.insert(job).returning(job.c.id, job.c.digest)
    queued: dict[str, QueuedJob] = {}
    for row in connection.execute(statement, list(rows.values())):
        queued[row.digest] = QueuedJob(row.id, JobState.QUEUED)
    return queued, _entries(rows, queued)


def _urgency(file: SettledFile) -> bool:
    return not file.backlog


def _row(file: SettledFile, release_id: int, now: datetime) -> dict[str, Any]:
    lane, position = _TODAY, 0
    if file.backlog:
        lane, position = _BACKLOG, -file.stat.mtime_ns  # the newest first
    if not file.is_of_known_format:
        position = _LAST  # however many there are, no photograph waits for them
    return {
        "digest": file.digest,
        "release_id": release_id,
        "camera_id": file.camera_id,
        "state": JobState.QUEUED,
        "lane": lane,
        "position": position,
        "attempts": 0,
        "available_at": 0.0,  # at once, whatever the clock shows
        "created_at": now,
    }


def _entries(
    rows: Mapping[str, Mapping[str, Any]], queued: Mapping[str, QueuedJob]
) -> list[audit.Entry]:
    entries = []
    for digest, row in rows.items():
        entry = audit.Entry(
            AuditEvent.JOB_QUEUED,
            "job",
            queued[digest].job_id,
            release_id=row["release_id"],
            digest=digest,
            detail={"lane": row["lane"]},
        )
        entries.append(entry)
    return entries
