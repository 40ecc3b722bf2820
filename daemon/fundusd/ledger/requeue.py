"""Queue failed jobs again, and adopt jobs that are waiting under an older release."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.clinical_terms import FILE_REASONS, Reason
from fundusd.domain.errors import RequestError
from fundusd.domain.jobs import JobState
from fundusd.ledger import audit, daemons, failures, jobs, results
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.tables import capture, job, sighting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.ledger.transactions import Recording

_SLICE = 1000  # jobs in one statement


def retry(recording: Recording, capture_id: int) -> bool:
    """Queue the job of a capture again if the job has failed.

    Return False if the job has not failed. Raises RequestError if there is no such capture.
    """
    query = sa.select(capture.c.job_id).where(capture.c.id == capture_id)
    job_id = recording.connection.scalar(query)
    if job_id is None:
        raise RequestError(
            f"There is no capture {capture_id}.",
            hint="To list the failed captures, run: fundusd results --outcome failed",
        )
    return _reopen_for_its_daemon(recording, [job_id]) == 1


def retry_failed(recording: Recording) -> int:
    """Queue every failed job again, and return the number of these jobs."""
    query = sa.select(job.c.id).where(job.c.state == JobState.FAILED)
    return _reopen_for_its_daemon(recording, recording.connection.scalars(query).all())


def _reopen_for_its_daemon(recording: Recording, ids: Sequence[int]) -> int:
    """Queue failed jobs again, and return the number of these jobs.

    Each job is queued under the release of the daemon that works for the job's camera.
    """
    connection = recording.connection
    count = 0
    for release_id, job_ids in daemons.by_release(connection, ids).items():
        count += reopen(replace(recording, release_id=release_id), job_ids)
    return count


def queue_unread(recording: Recording, camera_id: str) -> int:
    """Requeue those jobs of a camera that failed because of a file that is now present.

    Return the number of these jobs.
    """
    query = (
        sa.select(job.c.id)
        .join(capture, capture.c.job_id == job.c.id)
        .join(sighting, sighting.c.capture_id == capture.c.id)
        .where(
            job.c.state == JobState.FAILED,
            job.c.reason.in_(FILE_REASONS),
            capture.c.camera_id == camera_id,
            sighting.c.missing_since.is_(None),
        )
    )
    unread = recording.connection.scalars(query.distinct()).all()
    return reopen(recording, unread) if unread else 0


def reopen(recording: Recording, ids: Sequence[int]) -> int:
    """Queue failed jobs again under the current release, and return the number of these jobs."""
    reopened = jobs.reopen(recording.connection, ids)
    _adopt(recording, jobs.among(ids, JobState.QUEUED))
    return reopened


def adopt(recording: Recording, cameras: Sequence[str] = ()) -> int:
    """Move waiting jobs from other releases to the current release.

    Otherwise, these jobs would never be claimed. If `cameras` is not empty, only jobs of these
    cameras are moved. Return the number of moved jobs.
    """
    return _adopt(recording, sa.and_(job.c.state == JobState.QUEUED, jobs.of(cameras)))


def _adopt(recording: Recording, waiting: sa.ColumnElement[bool]) -> int:
    connection, release_id = recording.connection, recording.release_id
    older = sa.and_(waiting, job.c.release_id != release_id)
    query = sa.select(job.c.id, job.c.digest).where(older)
    rows = connection.execute(query.order_by(job.c.id)).all()
    entries = []
    first_of_digest: dict[str, int] = {}
    for row in rows:
        first_of_digest.setdefault(row.digest, row.id)
        entry = audit.Entry(
            AuditEvent.JOB_ADOPTED, "job", row.id, release_id=release_id, digest=row.digest
        )
        entries.append(entry)
    audit.append(connection, *entries)
    _move(connection, list(first_of_digest.values()), release_id)
    for row in connection.execute(query).all():  # the release has a job for this digest
        twin = sa.select(job.c.id, job.c.state, job.c.reason).where(
            job.c.digest == row.digest, job.c.release_id == release_id
        )
        _merge(recording, row.id, connection.execute(twin).one())
    return len(rows)


def _move(connection: sa.Connection, ids: Sequence[int], release_id: int) -> None:
    """Move jobs to a release.

    A job is not moved if the release already has a job for the same digest.
    """
    other = job.alias()
    twin = sa.select(other.c.id).where(
        other.c.digest == job.c.digest, other.c.release_id == release_id
    )
    for start in range(0, len(ids), _SLICE):
        alone = sa.and_(job.c.id.in_(ids[start : start + _SLICE]), ~twin.exists())
        connection.execute(sa.update(job).where(alone).values(release_id=release_id))


def _merge(recording: Recording, job_id: int, twin: Any) -> None:
    """Delete a waiting job after moving its captures to its twin, another job for the same bytes.

    If the twin already has a result, or has failed, so have these captures.
    """
    connection = recording.connection
    moved = (
        sa.update(capture)
        .where(capture.c.job_id == job_id)
        .values(job_id=twin.id)
        .returning(capture.c.id)
    )
    capture_ids = list(connection.scalars(moved))
    connection.execute(sa.delete(job).where(job.c.id == job_id))
    if twin.state == JobState.SUCCEEDED:
        results.reuse(recording, capture_ids)
    elif twin.state == JobState.FAILED:
        failures.join_failed(recording, capture_ids, Reason(twin.reason))
