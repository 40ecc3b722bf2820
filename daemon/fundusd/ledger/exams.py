"""Rejudge and store an exam whenever it changes, and record who looks at it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.clinical_terms import Eye, Referable
from fundusd.ledger import audit, day_doubts, deliveries, exam_queries, related_exams, same_day
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import picked
from fundusd.ledger.tables import exam, eye_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.reading import Reading
    from fundusd.ledger.transactions import Recording

    Row = Mapping[Any, Any]

_SLICE = 500  # exams in one statement


def rejudge(recording: Recording, exam_ids: Iterable[int | None]) -> None:
    """Judge and store exams again after a change, and queue documents about these exams."""
    for ids in _slices(exam_ids):
        changed = {*ids, *related_exams.related(recording.connection, ids)}
        changed |= same_day.related(recording.connection, changed)  # whether these are final
        exams = _rejudge(recording.connection, sorted(changed))
        deliveries.queue(recording, exams)


def _slices(exam_ids: Iterable[int | None]) -> Iterator[list[int]]:
    ids = sorted({exam_id for exam_id in exam_ids if exam_id is not None})
    for first in range(0, len(ids), _SLICE):
        yield ids[first : first + _SLICE]


def _rejudge(connection: sa.Connection, ids: Sequence[int]) -> list[Exam]:
    day_doubts.update(connection, ids)
    exams = exam_queries.judged(connection, ids, anew=True)
    now = datetime.now(UTC)
    eye_rows, exam_rows = [], []
    for judged in exams:
        exam_rows.append(_exam_row(judged))
        for eye in judged.eyes:
            eye_rows.append(_eye_row(judged.exam_id, eye, now))
    connection.execute(sa.delete(eye_result).where(eye_result.c.exam_id.in_(ids)))
    if eye_rows:
        connection.execute(sa.insert(eye_result), eye_rows)
    connection.execute(sa.update(exam).where(exam.c.id == sa.bindparam("at_id")), exam_rows)
    return exams


def outdated(connection: sa.Connection, ids: Sequence[int]) -> list[int]:
    """Return those exams whose stored results are not what judging them now gives."""
    stored: dict[int, list[Row]] = {number: [] for number in ids}
    query = sa.select(eye_result).where(eye_result.c.exam_id.in_(ids)).order_by(eye_result.c.eye)
    for row in connection.execute(query).mappings():
        stored[row["exam_id"]].append({**row, "resulted_at": None})
    of_exams = sa.select(exam).where(exam.c.id.in_(ids))
    rows = {row["id"]: row for row in connection.execute(of_exams).mappings()}
    changed = []
    for judged in exam_queries.judged(connection, ids, anew=True):
        eyes = [_eye_row(judged.exam_id, eye, None) for eye in judged.eyes]
        eyes.sort(key=lambda eye: str(eye["eye"]))
        columns = _exam_row(judged)
        number = columns.pop("at_id")
        if eyes != stored[number] or picked(rows[number], columns) != columns:
            changed.append(number)
    return changed


def _eye_row(exam_id: int, eye: EyeResult, now: datetime | None) -> dict[str, Any]:
    return {
        "exam_id": exam_id,
        "eye": eye.eye,
        "outcome": eye.outcome,
        "referable": eye.referable,
        "grade": eye.grade,
        "reason": eye.open_reason,
        "action": eye.action,
        "missing_fields": " ".join(eye.missing_fields),
        "capture_id": eye.decisive.capture_id,
        "captures": len(eye.shots),
        "release_id": eye.decisive.release_id,
        "review_id": _number(eye.reading),
        "former_review_id": _number(eye.readings.former),
        "reading_state": eye.state,
        "final_referable": eye.final.referable,
        "final_grade": eye.final.grade,
        "urgency": eye.urgency,
        "resulted_at": now,
    }


def _number(reading: Reading | None) -> int | None:
    return None if reading is None else reading.review_id


def _exam_row(judged: Exam) -> dict[str, Any]:
    missing: list[str] = list(judged.missing)
    missing += judged.impossible  # otherwise the person would be on no list
    if judged.lacks_both_eyes:
        missing = [Eye.RIGHT, Eye.LEFT]
    for eye in judged.eyes:
        if eye.is_read and eye.final.referable is not Referable.INDETERMINATE:
            continue  # a reader has looked at the eye, and has seen enough
        for field in eye.missing_fields:
            missing.append(f"{eye.eye}/{field}")
    missing += [f"capture/{claim.capture_id}" for claim in judged.claims]
    return {
        "at_id": judged.exam_id,
        "missing_fields": " ".join(missing),
        "referable": judged.assessment.referable,
        "grade": judged.assessment.grade,
        "final_referable": judged.final.referable,
        "final_grade": judged.final.grade,
        "is_reviewed": judged.is_reviewed,
        "protocol": judged.protocol,
    }


# -- access


def shown(connection: sa.Connection, shown_exam: Exam, *, exported: bool) -> None:
    """Record that an exam was shown to a person or, if `exported` is true, written to a file."""
    event = AuditEvent.EXAM_EXPORTED if exported else AuditEvent.EXAM_SHOWN
    entry = audit.Entry(event, "exam", shown_exam.exam_id, shown_exam.patient_key)
    audit.append(connection, entry)
