"""Record that captures failed, for now or for good.

A failed capture belongs to its exam, unless it is no photograph of anybody: a file in none of the
accepted formats makes no exam if no source names its patient or its eye.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain import retry_policy
from fundusd.domain.clinical_terms import FILE_REASONS, EyeSource, Outcome, Reason
from fundusd.domain.jobs import JobState
from fundusd.ledger import (
    audit,
    bare_numbers,
    captures,
    exams,
    jobs,
    moved_files,
    placed_photographs,
    visits,
)
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import is_due, picked
from fundusd.ledger.job_events import note, note_failed
from fundusd.ledger.tables import capture, exam, job, storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.domain.decoding import Content
    from fundusd.ledger.jobs import Claim
    from fundusd.ledger.recorded import Recorded
    from fundusd.ledger.transactions import Recording

    Row = Mapping[Any, Any]

_ATTRIBUTED = (
    *("eye", "eye_source", "field", "patient_id", "patient_key", "exam_id", "warnings"),
    *("other_patient_id", "other_patient_key", "other_acquired_day"),
    *("acquired_at", "acquired_day", "placed_exam_id", "belongs", "excluded"),
    *("media_type", "width", "height", "sop_uid"),
)


def fail(
    recording: Recording,
    claim: Claim,
    reason: Reason,
    error: str,
    content: Content | None = None,
) -> list[Recorded] | None:
    """Mark a job as failed: running -> failed.

    `content` is what could be read from the header. Return the captures of the job, or None if the
    lease was lost. If the reason is a problem with the file, but the bytes of the job have been
    seen again at any path, the job is queued again instead (running -> queued), and the returned
    list is empty.
    """
    connection = recording.connection
    if reason in FILE_REASONS and jobs.were_seen_again(connection, claim):
        is_postponed = jobs.postpone(connection, claim, reason, error, 0.0)
        return [] if is_postponed else None
    columns = {"reason": reason, "action": reason.action, "error": storable(error)}
    if not jobs.settle(connection, [claim], JobState.FAILED, **columns):
        return None
    header = orjson.loads(captures.content_text(content, recording.identifiers))
    exams.rejudge(recording, _attribute(recording, capture.c.job_id == claim.job_id, header))
    return note_failed(connection, job.c.id == claim.job_id, reason)


def postpone(
    recording: Recording,
    claim: Claim,
    reason: Reason,
    error: str,
    wait_seconds: float,
    content: Content | None = None,
) -> bool:
    """Queue a job again, to be claimed after a delay: running -> queued.

    The attempt is counted. `content` is what could be read from the header. The captures belong to
    their exams from now on: the patient may leave before the last attempt. Return False if the
    lease was lost.
    """
    warnings = content.warnings if content is not None else ()
    if not jobs.postpone(recording.connection, claim, reason, error, wait_seconds, warnings):
        return False
    header = orjson.loads(captures.content_text(content, recording.identifiers))
    of_job = sa.and_(capture.c.job_id == claim.job_id, capture.c.exam_id.is_(None))
    exams.rejudge(recording, _attribute(recording, of_job, header))
    return True


def rescue(recording: Recording, *, expired_only: bool, cameras: Sequence[str] = ()) -> int:
    """Reclaim jobs whose worker is gone, and return the number of these jobs.

    The attempt is counted: running -> queued, or running -> failed after the last attempt. If
    `expired_only` is true, only jobs whose lease has expired are reclaimed. If it is false, all
    running jobs are reclaimed or, if `cameras` is not empty, all running jobs of these cameras.
    Only the daemon that owns these jobs may set `expired_only` to false.
    """
    connection = recording.connection
    has_expired = is_due(job.c.lease_until, jobs.LEASE_SECONDS)
    lost = has_expired if expired_only else jobs.of(cameras)
    running = sa.select(job).where(job.c.state == JobState.RUNNING, lost)
    rows = connection.execute(running.with_for_update(skip_locked=True)).all()
    exhausted, others = [], []
    for row in rows:
        if retry_policy.is_exhausted(row.attempts):
            exhausted.append(row)
        else:
            others.append(row)
    if others:
        jobs.move(connection, others, state=JobState.QUEUED)
        note(connection, AuditEvent.JOB_RECLAIMED, others)
    if exhausted:
        reason, error = Reason.ATTEMPTS_EXHAUSTED, "the process ended during every attempt"
        columns = {"reason": reason, "action": reason.action, "error": error}
        jobs.move(connection, exhausted, state=JobState.FAILED, **columns)
        of_exhausted = capture.c.job_id.in_(jobs.numbers(exhausted))
        exams.rejudge(recording, _attribute(recording, of_exhausted, {}))
        note_failed(connection, job.c.id.in_(jobs.numbers(exhausted)), reason)
    return len(rows)


def join_failed(recording: Recording, capture_ids: Sequence[int], reason: Reason) -> None:
    """Record that captures have failed because the job has that they have just been given."""
    of_these = capture.c.id.in_(capture_ids)
    changed = of_failed_jobs(recording, capture_ids)
    query = sa.select(capture.c.exam_id).where(of_these)
    exams.rejudge(recording, changed.union(recording.connection.scalars(query)))
    note_failed(recording.connection, of_these, reason)


def of_failed_jobs(recording: Recording, capture_ids: Sequence[int]) -> set[int | None]:
    """Assign captures of failed jobs that have no exam yet to their exams; return these exams.

    The exams are not judged.
    """
    is_meant = sa.and_(capture.c.id.in_(capture_ids), capture.c.exam_id.is_(None))
    return _attribute(recording, is_meant, {})


def _attribute(recording: Recording, which: sa.ColumnElement[bool], header: Row) -> set[int | None]:
    """Store what is known about captures that have no result, and return their exams."""
    connection = recording.connection
    columns = capture, job.c.lane, job.c.reason.label("failure")
    query = sa.select(*columns).join(job, job.c.id == capture.c.job_id).where(which)
    rows = connection.execute(query.order_by(capture.c.id)).mappings().all()
    before = _of_somebody(connection, rows)
    after: list[dict[Any, Any]] = []
    for row in before:
        settled = captures.settled(
            row,
            {"outcome": Outcome.FAILED, "created_at": datetime.now(UTC)},
            header,
            is_old=row["lane"] != 0,
            are_clear=recording.identifiers.are_clear,
        )
        after.append(dict(row) | settled)
    if not after:
        return set()
    headers = [header] * len(after)
    given = bare_numbers.resolve(connection, after, headers)
    origins = moved_files.judged_origins(connection, [row["id"] for row in after])
    moved_files.forget_placing(connection, after, origins)
    moved_files.keep_exams(connection, after, origins)
    forgetting = moved_files.forget_others(before, after, origins)
    placed_photographs.note_conflicts(connection, after, headers)
    exam_ids = visits.assign(connection, after, [header.get("study_uid")] * len(after))
    forgetting += moved_files.forget_membership(before, after, exam_ids, origins)
    audit.append(connection, *map(moved_files.forgotten, forgetting))
    changed = []
    for changed_row, exam_id in zip(after, exam_ids, strict=True):
        changed_row["exam_id"] = exam_id
        changed.append(picked(changed_row, _ATTRIBUTED) | {"at_id": changed_row["id"]})
    connection.execute(sa.update(capture).where(capture.c.id == sa.bindparam("at_id")), changed)
    shared = captures.flag_shared(connection, [], given)
    left = moved_files.exams_left(connection, [row["id"] for row in after])
    return given | shared | left | {row["exam_id"] for row in (*before, *after)}


def _of_somebody(connection: sa.Connection, rows: Sequence[Row]) -> list[Row]:
    """Return those captures that are in an exam already, or for which one may be created.

    A file in none of the accepted formats whose patient and eye are not known belongs only to an
    exam that is there, for instance because it was written over a photograph.
    """
    keys: dict[int, str] = {}
    for row in rows:
        is_of_nobody = not row["patient_key"] and row["eye_source"] == EyeSource.NONE
        is_placed = row["exam_id"] is not None or row["placed_exam_id"] is not None
        if row["failure"] == Reason.UNKNOWN_FORMAT and is_of_nobody and not is_placed:
            keys[row["id"]] = visits.arrival_of(row, None).key
    if not keys:
        return list(rows)
    query = sa.select(exam.c.key).where(exam.c.key.in_(set(keys.values())))
    present = set(connection.scalars(query))
    return [row for row in rows if row["id"] not in keys or keys[row["id"]] in present]
