"""Judge all exams anew after an upgrade that may have changed the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import sqlalchemy as sa

from fundusd.domain.delivery import DeliveryState, DocumentStatus
from fundusd.domain.jobs import JobState
from fundusd.ledger import (
    audit,
    day_doubts,
    exams,
    failures,
    moved_files,
    old_exams,
    old_reports,
    results,
)
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import epoch_now, picked
from fundusd.ledger.tables import capture, delivery, exam, eye_result, job, sent_document
from fundusd.ledger.transactions import Recording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.ledger.path_metadata import PathMetadata

_T = TypeVar("_T")
_STORED = "0002"  # since this revision, what is sent is stored
_REGROUPED = "0005"  # since this revision, no older version's exams are left to regroup
_SLICE = 500  # rows in one statement
_OF_EXAM = ("referable", "grade", "final_referable", "final_grade", "is_reviewed")
_OF_EYE = ("eye", "referable", "grade", "reason", "action", "final_referable", "final_grade")


class Rejudged(NamedTuple):
    """What judging all exams anew came to."""

    exams: int = 0
    changed: int = 0  # exams of which the result of an eye or the person changed
    regrouped: int = 0  # exams with photographs that belong to others
    queued: int = 0  # documents that are sent again


def rejudge_all(connection: sa.Connection, paths: PathMetadata, before: str) -> Rejudged:
    """Judge all exams of a database that was at an older schema revision, `before`.

    Captures that failed under an older version are assigned to their exams first, photographs that
    it put into wrong exams to theirs, and captures of files that were renamed get what their names
    do not say. Documents that were delivered about a changed exam are queued again, and those in
    which an older version stated the model's result as it would a reader's.
    """
    recording = Recording(connection, 0, paths.identifiers, ())
    if before < _STORED and paths.identifiers.are_clear:
        old_reports.fill(connection)
    if before < _REGROUPED:
        old_exams.fill_days(connection, paths)
    for ids in _slices(_failed_captures(connection)):
        failures.of_failed_jobs(recording, ids)
    wrong = old_exams.regroup(connection) if before < _REGROUPED else set()
    moved = _complete_moved(recording)
    numbers = connection.scalars(sa.select(exam.c.id).order_by(exam.c.id)).all()
    changed = {*_rejudge(recording, numbers), *moved}
    if changed or wrong:
        detail = {"count": len(numbers), "changes": len(changed), "regrouped": len(wrong)}
        audit.append(connection, audit.Entry(AuditEvent.EXAMS_REJUDGED, detail=detail))
    again = {*changed, *wrong}
    if before < _REGROUPED:  # later ones have sent them again
        again.update(_sent_by_older_versions(connection))
    return Rejudged(len(numbers), len(changed), len(wrong), _queue_again(connection, again))


def _rejudge(recording: Recording, numbers: Sequence[int]) -> list[int]:
    """Judge exams, and return those of which a result changed."""
    connection = recording.connection
    changed: list[int] = []
    for ids in _slices(numbers):
        day_doubts.update(connection, ids)
        outdated = exams.outdated(connection, ids)
        before = _results(connection, outdated)
        exams.rejudge(recording, outdated)
        after = _results(connection, outdated)
        changed += [number for number in outdated if before[number] != after[number]]
    return changed


def _sent_by_older_versions(connection: sa.Connection) -> Sequence[int]:
    """Return those exams that are not read, and about which an older version sent documents.

    That version did not store what they say, so that the upgrade has left it empty.
    """
    query = (
        sa.select(sent_document.c.exam_id)
        .join(exam, exam.c.id == sent_document.c.exam_id)
        .where(
            sent_document.c.content == "",
            sent_document.c.status != DocumentStatus.ENTERED_IN_ERROR,
            exam.c.is_reviewed.is_(False),
        )
    )
    return connection.scalars(query.distinct()).all()


def _queue_again(connection: sa.Connection, exam_ids: set[int]) -> int:
    """Queue documents about exams again, and return their number."""
    again = {"state": DeliveryState.QUEUED, "attempts": 0, "changes": delivery.c.changes + 1}
    again |= {"available_at": epoch_now()}
    count = 0
    for ids in _slices(sorted(exam_ids)):
        is_done = sa.and_(delivery.c.exam_id.in_(ids), delivery.c.state != DeliveryState.QUEUED)
        count += connection.execute(sa.update(delivery).where(is_done).values(**again)).rowcount
    if count:
        audit.append(connection, audit.Entry(AuditEvent.DOCUMENT_QUEUED, detail={"count": count}))
    return count


def _slices(rows: Sequence[_T]) -> list[Sequence[_T]]:
    return [rows[first : first + _SLICE] for first in range(0, len(rows), _SLICE)]


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
        for ids in _slices(sorted(exam_ids)):
            before = _results(connection, ids) | before
        for some in _slices(rows):
            _complete(recording, some)
        completed.update(row["id"] for row in rows)
    changed: set[int] = set()
    for ids in _slices(sorted(before)):
        after = _results(connection, ids)
        changed.update(number for number in ids if after[number] != before[number])
    return changed


def _complete(recording: Recording, rows: Sequence[Mapping[Any, Any]]) -> None:
    """Give captures what their origins say, and apply their results anew."""
    numbers = [row["id"] for row in rows]
    origins = moved_files.origins(recording.connection, numbers)
    changed = []
    for row in rows:
        columns = moved_files.inherited(row, origins[row["id"]])
        changed.append(picked(columns, moved_files.INHERITED) | {"at_id": row["id"]})
    update = sa.update(capture).where(capture.c.id == sa.bindparam("at_id"))
    recording.connection.execute(update, changed)
    results.reuse(recording, numbers)


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
