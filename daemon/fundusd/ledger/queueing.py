"""Queue the bytes of new captures: one job per digest and release."""

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
    from collections.abc import Mapping, Sequence

    from fundusd.domain.files import SettledFile

_TODAY, _BACKLOG = 0, 1  # lanes: today's captures come first


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """The job of some bytes, and whether it waits or has succeeded."""

    job_id: int
    state: JobState


def jobs_for(
    connection: sa.Connection, files: Sequence[SettledFile], release_id: int
) -> tuple[dict[str, QueuedJob], list[audit.Entry]]:
    """Return the job of each digest, and the audit entries of those that are new.

    A digest without a job gets one; a job that has failed is queued again.
    """
    query = sa.select(job.c.id, job.c.digest, job.c.state, job.c.lane, job.c.camera_id).where(
        job.c.digest.in_({file.digest for file in files}), job.c.release_id == release_id
    )
    rows = connection.execute(query).all()
    failed = [row.id for row in rows if row.state == JobState.FAILED]
    if failed:
        jobs.reopen(connection, failed)
    _hurry(connection, files, rows)
    _hand_over(connection, files, rows)
    known: dict[str, QueuedJob] = {}
    for row in rows:
        state = JobState.QUEUED if row.state == JobState.FAILED else JobState(row.state)
        known[row.digest] = QueuedJob(row.id, state)
    new = [file for file in files if file.digest not in known]
    queued, entries = _queue(connection, new, release_id)
    return known | queued, entries


def _hurry(connection: sa.Connection, files: Sequence[SettledFile], rows: Sequence[Any]) -> None:
    """Move waiting jobs from the backlog to today's captures if their bytes came in today."""
    today = {file.digest for file in files if not file.backlog}
    hurried = []
    for row in rows:
        is_waiting = row.state in {JobState.QUEUED, JobState.FAILED}
        if is_waiting and row.lane != _TODAY and row.digest in today:
            hurried.append(row.id)
    if hurried:
        statement = sa.update(job).where(job.c.id.in_(hurried))
        connection.execute(statement.values(lane=_TODAY, position=0))


def _hand_over(
    connection: sa.Connection, files: Sequence[SettledFile], rows: Sequence[Any]
) -> None:
    """Give jobs to the camera that showed their bytes last.

    The daemon of the other camera may be down, or these very bytes may bring it down.
    """
    camera_of = {file.digest: file.camera_id for file in files}
    for row in rows:
        camera_id = camera_of[row.digest]
        if row.state != JobState.SUCCEEDED and camera_id != row.camera_id:
            statement = sa.update(job).where(job.c.id == row.id)
            connection.execute(statement.values(camera_id=camera_id))


def _queue(
    connection: sa.Connection, files: Sequence[SettledFile], release_id: int
) -> tuple[dict[str, QueuedJob], list[audit.Entry]]:
    """Insert jobs; of several captures with the same bytes the most urgent one decides their place in the queue."""
    if not files:
        return {}, []
    now = datetime.now(UTC)
    rows: dict[str, dict[str, Any]] = {}
    for file in sorted(files, key=_urgency):  # the last of a digest, the most urgent one, stays
        rows[file.digest] = _row(file, release_id, now)
    statement = sa.insert(job).returning(job.c.id, job.c.digest)
    queued: dict[str, QueuedJob] = {}
    for row in connection.execute(statement, list(rows.values())):
        queued[row.digest] = QueuedJob(row.id, JobState.QUEUED)
    return queued, _entries(rows, queued)


def _urgency(file: SettledFile) -> bool:
    return not file.backlog


def _row(file: SettledFile, release_id: int, now: datetime) -> dict[str, Any]:
    return {
        "digest": file.digest,
        "release_id": release_id,
        "camera_id": file.camera_id,
        "state": JobState.QUEUED,
        "lane": _BACKLOG if file.backlog else _TODAY,
        "position": -file.stat.mtime_ns if file.backlog else 0,
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
