"""Judge all exams anew after an upgrade that may have changed the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.delivery import DeliveryState
from fundusd.domain.jobs import JobState
from fundusd.ledger import audit, day_doubts, exams, failures, moved_files, results
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import picked
from fundusd.ledger.tables import capture, delivery, exam, eye_result, job
from fundusd.ledger.transactions import Recording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.clinical.pseudonyms import Identifiers

_SLICE = 500  # rows in one statement
_OF_EXAM = ("referable", "grade", "final_referable", "final_grade", "is_reviewed")
_OF_EYE = ("eye", "referable", "grade", "reason", "action", "final_referable", "final_grade")


def rejudge_all(connection: sa.Connection, identifiers: Identifiers) -> tuple[int, int]:
    """Judge all exams, and return how many there are and the results of how many changed.

    Captures that failed under an older version are assigned to their exams first, and captures of
    files that were renamed get what their names do not say. Documents that were delivered about a
    changed exam are queued again.
    """
    recording = Recording(connection, 0, identifiers, ())
    for ids in _slices(_failed_captures(connection)):
        failures.of_failed_jobs(recording, ids)
    changed = _complete_moved(recording)
    numbers = connection.scalars(sa.select(exam.c.id).order_by(exam.c.id)).all()
    for ids in _slices(numbers):
        day_doubts.update(connection, ids)
        outdated = exams.outdated(connection, ids)
        before = _results(connection, outdated)
        exams.rejudge(recording, outdated)
        after = _results(connection, outdated)
        changed |= {number for number in outdated if before[number] != after[number]}
    for ids in _slices(sorted(changed)):
        sent = sa.and_(delivery.c.exam_id.in_(ids), delivery.c.state == DeliveryState.DELIVERED)
        again = {"state": DeliveryState.QUEUED, "attempts": 0, "changes": delivery.c.changes + 1}
        connection.execute(sa.update(delivery).where(sent).values(**again))
    if changed:
        detail = {"count": len(numbers), "changes": len(changed)}
        audit.append(connection, audit.Entry(AuditEvent.EXAMS_REJUDGED, detail=detail))
    return len(numbers), len(changed)


def _slices(numbers: Sequence[int]) -> list[Sequence[int]]:
    return [numbers[first : first + _SLICE] for first in range(0, len(numbers), _SLICE)]


def _failed_captures(connection: sa.Connection) -> Sequence[int]:
    query = (
        sa.select(capture.c.id)
        .join(job, job.c.id == capture.c.job_id)
        .where(
            job.c.state == JobState.FAILED,
            capture.c.exam_id.is_(None),
            capture.c.superseded.is_(False),
        )
    )
    return connection.scalars(query.order_by(capture.c.id)).all()


def _complete_moved(recording: Recording) -> set[int]:
    """Give captures of renamed files the patients of their origins, if their names give none.

    Return the exams whose results changed.
    """
    connection = recording.connection
    before: dict[int, list[tuple[object, ...]]] = {}
    completed: set[int] = set()
    # a file may have been renamed several times: what is completed completes the next
    while rows := [row for row in _nameless(connection) if row["id"] not in completed]:
        exam_ids = {row[name] for row in rows for name in ("exam_left", "exam_id")} - {None}
        before = _results(connection, sorted(exam_ids)) | before
        numbers = [row["id"] for row in rows]
        origins = moved_files.origins(connection, numbers)
        for row in rows:
            columns = moved_files.inherited(row, origins[row["id"]])
            update = sa.update(capture).where(capture.c.id == row["id"])
            connection.execute(update.values(**picked(columns, moved_files.INHERITED)))
        results.reuse(recording, numbers)
        completed.update(numbers)
    after = _results(connection, sorted(before))
    return {number for number, of_exam in before.items() if after[number] != of_exam}


def _nameless(connection: sa.Connection) -> Sequence[Mapping[Any, Any]]:
    """Return the judged captures without a patient whose files had a patient at the old place."""
    origin = capture.alias()
    query = (
        sa.select(capture, origin.c.exam_id.label("exam_left"))
        .join(origin, origin.c.moved_to == capture.c.id)
        .where(
            capture.c.patient_key.is_(None),
            capture.c.outcome.is_not(None),
            origin.c.patient_key.is_not(None),
        )
    )
    return connection.execute(query.order_by(capture.c.id)).mappings().all()


def _results(connection: sa.Connection, ids: Sequence[int]) -> dict[int, list[tuple[object, ...]]]:
    """Return the stored results of exams and their eyes, by exam."""
    results: dict[int, list[tuple[object, ...]]] = {}
    of_exams = sa.select(exam.c.id, *exam.c[_OF_EXAM]).where(exam.c.id.in_(ids))
    for row in connection.execute(of_exams):
        results[row.id] = [tuple(row)[1:]]
    of_eyes = sa.select(eye_result.c.exam_id, *eye_result.c[_OF_EYE])
    of_eyes = of_eyes.where(eye_result.c.exam_id.in_(ids)).order_by(eye_result.c.eye)
    for row in connection.execute(of_eyes):
        results[row.exam_id].append(tuple(row)[1:])
    return results
