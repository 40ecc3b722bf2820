"""Assign captures to exams, and rejudge and store an exam whenever it changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.ledger import audit, deliveries, exam_queries
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import picked
from fundusd.ledger.exam_rows import stem
from fundusd.ledger.tables import exam, eye_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fundusd.clinical.exam import Exam, EyeResult
    from fundusd.clinical.reading import Reading
    from fundusd.ledger.transactions import Recording

    Row = Mapping[Any, Any]

_SLICE = 500  # exams in one statement


# -- which exam


def assign(
    connection: sa.Connection, captures: Sequence[Row], study_uids: Sequence[str | None]
) -> list[int]:
    """Return the number of each capture's exam.

    If a capture's visit has no exam yet, an exam is created.
    """
    keys: list[str] = []
    wanted: dict[str, dict[str, Any]] = {}
    for row, study_uid in zip(captures, study_uids, strict=True):
        day = _day(row)
        key = _key(row, study_uid, day)
        keys.append(key)
        columns = {"study_uid": study_uid, "patient_key": row["patient_key"], "day": day}
        wanted.setdefault(key, columns)
    query = sa.select(exam.c.key, exam.c.id).where(exam.c.key.in_(wanted))
    ids = dict(connection.execute(query).all())
    new = []
    for key, columns in wanted.items():
        if key not in ids:
            new.append({"key": key, "created_at": datetime.now(UTC)} | columns)
    if new:
        inserted = sa.insert(exam).returning(exam.c.key, exam.c.id)
        ids |= connection.execute(inserted, new).all()
    return [ids[key] for key in keys]


def _key(row: Row, study_uid: str | None, day: str) -> str:
    """Return the key of the visit that a capture belongs to.

    Without a known patient or study, each shot is a separate visit.
    """
    if row["patient_key"]:
        return f"patient:{row['patient_key']}:{day}"
    if study_uid:
        return f"study:{study_uid}"
    return f"shot:{row['camera_id']}:{day}:{stem(row['path_text'])}"


def _day(row: Row) -> str:
    """Return the clinic's date on which a capture was acquired.

    If the camera's clock is wrong or the time of acquisition is unknown, return the date on which
    the capture was received.
    """
    at: datetime | None = row["acquired_at"]
    if at is None or CaptureWarning.CLOCK_SKEW in orjson.loads(row["warnings"] or "[]"):
        return str(row["local_day"])
    return at.astimezone().date().isoformat()


# -- its result


def rejudge(recording: Recording, exam_ids: Iterable[int | None]) -> None:
    """Judge and store exams again after a change, and queue documents about these exams."""
    for ids in _slices(exam_ids):
        exams = _rejudge(recording.connection, ids)
        deliveries.queue(recording, exams)


def _slices(exam_ids: Iterable[int | None]) -> Iterator[list[int]]:
    ids = sorted({exam_id for exam_id in exam_ids if exam_id is not None})
    for first in range(0, len(ids), _SLICE):
        yield ids[first : first + _SLICE]


def _rejudge(connection: sa.Connection, ids: Sequence[int]) -> list[Exam]:
    exams = exam_queries.judged(connection, ids)
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
    for judged in exam_queries.judged(connection, ids):
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
    for eye in judged.eyes:
        for field in eye.missing_fields:
            missing.append(f"{eye.eye}/{field}")
    return {
        "at_id": judged.exam_id,
        "missing_fields": " ".join(missing),
        "referable": judged.assessment.referable,
        "grade": judged.assessment.grade,
        "final_referable": judged.final.referable,
        "final_grade": judged.final.grade,
        "is_reviewed": judged.is_reviewed,
    }


# -- access


def shown(connection: sa.Connection, shown_exam: Exam, *, exported: bool) -> None:
    """Record that an exam was shown to a person or, if `exported` is true, written to a file."""
    event = AuditEvent.EXAM_EXPORTED if exported else AuditEvent.EXAM_SHOWN
    entry = audit.Entry(event, "exam", shown_exam.exam_id, shown_exam.patient_key)
    audit.append(connection, entry)
