"""Exams: which captures belong to a visit, and what they come to for each eye; kept up as results come in."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.clinical.exam import Exam, EyeResult, Reading, Shot, judge
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import (
    Eye,
    EyeSource,
    Grade,
    Outcome,
    Reason,
    Referable,
    ReviewVerdict,
)
from fundusd.domain.jobs import JobState
from fundusd.ledger import deliveries
from fundusd.ledger.tables import GRADE_KEYS, camera, capture, exam, eye_result, job, result, review

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Row = Mapping[Any, Any]

_SLICE = 500  # captures or exams in one go


def assign(
    connection: sa.Connection, captures: Sequence[Row], study_uids: Sequence[str | None]
) -> list[int]:
    """Return the exam of each capture, made where it is the first."""
    wanted: dict[str, dict[str, Any]] = {}
    for one, study_uid in zip(captures, study_uids, strict=True):
        day = _day(one)
        wanted.setdefault(
            _key(one, study_uid, day),
            {"study_uid": study_uid, "patient_key": one["patient_key"], "day": day},
        )
    known = connection.execute(sa.select(exam.c.key, exam.c.id).where(exam.c.key.in_(wanted)))
    ids = {row.key: row.id for row in known}
    new = [
        {"key": key, "created_at": datetime.now(UTC)} | columns
        for key, columns in wanted.items()
        if key not in ids
    ]
    if new:
        ids |= {
            row.key: row.id
            for row in connection.execute(sa.insert(exam).returning(exam.c.key, exam.c.id), new)
        }
    return [
        ids[_key(one, study_uid, _day(one))]
        for one, study_uid in zip(captures, study_uids, strict=True)
    ]


def _key(one: Row, study_uid: str | None, day: str) -> str:
    """Join what one person's visit is: captures of which neither person nor study is known stay alone."""
    if one["patient_key"]:
        return f"patient:{one['patient_key']}:{day}"
    if study_uid:
        return f"study:{study_uid}"
    return f"shot:{one['camera_id']}:{day}:{stem(one['path_text'])}"


def _day(one: Row) -> str:
    """Return the clinic's day of a capture, by the camera's clock unless that is off."""
    at: datetime | None = one["acquired_at"]
    if at is None or CaptureWarning.CLOCK_SKEW in orjson.loads(one["warnings"] or "[]"):
        return str(one["local_day"])
    return at.astimezone().date().isoformat()


def stem(path_text: str) -> str:
    """Return a path without its suffix: what the files of one shot share."""
    folder, slash, name = path_text.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def rejudge(connection: sa.Connection, exam_ids: Iterable[int | None]) -> None:
    """Write down what exams come to, after anything of theirs has changed, and queue documents about them."""
    for ids in _slices(exam_ids):
        deliveries.queue(connection, _judged(connection, ids))


def _slices(exam_ids: Iterable[int | None]) -> Iterator[list[int]]:
    ids = sorted({one for one in exam_ids if one is not None})
    for first in range(0, len(ids), _SLICE):
        yield ids[first : first + _SLICE]


def _judged(connection: sa.Connection, ids: Sequence[int]) -> list[Exam]:
    exams = read(connection, ids)
    now = datetime.now(UTC)
    connection.execute(sa.delete(eye_result).where(eye_result.c.exam_id.in_(ids)))
    rows = [_eye_row(one, eye, now) for one in exams for eye in one.eyes]
    if rows:
        connection.execute(sa.insert(eye_result), rows)
    connection.execute(
        sa.update(exam).where(exam.c.id == sa.bindparam("at_id")), [_exam_row(one) for one in exams]
    )
    return exams


def _eye_row(one: Exam, eye: EyeResult, now: datetime) -> dict[str, Any]:
    return {
        "exam_id": one.exam_id,
        "eye": eye.eye,
        "outcome": eye.outcome,
        "referable": eye.referable,
        "grade": eye.grade,
        "reason": eye.reason,
        "action": eye.action,
        "missing_fields": " ".join(eye.missing_fields),
        "capture_id": eye.decisive.capture_id,
        "captures": len(eye.shots),
        "release_id": eye.decisive.release_id,
        "review_id": eye.reading.review_id if eye.reading else None,
        "final_referable": eye.final.referable,
        "final_grade": eye.final.grade,
        "urgency": eye.urgency,
        "resulted_at": now,
    }


def _exam_row(one: Exam) -> dict[str, Any]:
    missing_fields = [
        *one.missing,
        *(f"{eye.eye}/{field}" for eye in one.eyes for field in eye.missing_fields),
    ]
    return {
        "at_id": one.exam_id,
        "missing_fields": " ".join(missing_fields),
        "referable": one.assessment.referable,
        "grade": one.assessment.grade,
        "final_referable": one.final.referable,
        "final_grade": one.final.grade,
        "is_reviewed": one.is_reviewed,
    }


def read(connection: sa.Connection, ids: Sequence[int]) -> list[Exam]:
    """Judge exams anew from their captures, results and reviews; those that there are, by number."""
    rows = (
        connection.execute(sa.select(exam).where(exam.c.id.in_(ids)).order_by(exam.c.id))
        .mappings()
        .all()
    )
    shots = _shots(connection, ids)
    reviews = _last_reviews(connection, ids)
    expected = _expected(connection)
    return [_exam(row, shots.get(row["id"], []), reviews, expected) for row in rows]


def _exam(
    row: Row,
    captures: Sequence[tuple[Shot, str | None]],
    reviews: Mapping[tuple[int, Eye], Row],
    expected: Mapping[str, Sequence[str]],
) -> Exam:
    shots = [shot for shot, _ in captures]
    fields = sorted({field for shot in shots for field in expected.get(shot.camera_id, ())})
    eyes = [_with_reading(eye, reviews.get((row["id"], eye.eye))) for eye in judge(shots, fields)]
    return Exam(
        exam_id=row["id"],
        day=date.fromisoformat(row["day"]),
        patient_key=row["patient_key"],
        patient_id=next((patient for _, patient in captures if patient), None),
        study_uid=row["study_uid"],
        eyes=tuple(eyes),
    )


def _with_reading(eye: EyeResult, last: Row | None) -> EyeResult:
    """Add what a human said last, if it was of this result: another one has to be read anew."""
    shown = (eye.outcome, eye.grade, eye.referable)
    if (
        last is None
        or (last["model_outcome"], last["model_grade"], last["model_referable"]) != shown
    ):
        return eye
    return eye.read_as(
        Reading(
            review_id=last["id"],
            verdict=ReviewVerdict(last["verdict"]),
            referable=Referable(last["referable"]),
            grade=None if last["grade"] is None else Grade(last["grade"]),
            reason=last["reason"],
            reviewer=last["reviewer"],
            role=last["role"],
            is_blinded=last["blinded"],
            at=last["created_at"],
        )
    )


def _shots(
    connection: sa.Connection, ids: Sequence[int]
) -> dict[int, list[tuple[Shot, str | None]]]:
    same = sa.and_(result.c.digest == job.c.digest, result.c.release_id == job.c.release_id)
    query = (
        sa.select(
            *(capture.c[name] for name in (
                "id", "exam_id", "camera_id", "path_text", "digest", "eye", "eye_source", "field", "patient_id",
            )),
            *(result.c[name] for name in ("release_id", "outcome", "reason", "grade", "referable")),
            *(result.c[f"score_{key}"] for key in GRADE_KEYS),
        )
        .select_from(capture).join(job, job.c.id == capture.c.job_id).join(result, same)
        .where(capture.c.exam_id.in_(ids), capture.c.superseded.is_(False))
        .order_by(capture.c.id)
    )  # fmt: skip
    found: dict[int, list[tuple[Shot, str | None]]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["exam_id"], []).append((_shot(row), row["patient_id"]))
    return found


def _shot(row: Row) -> Shot:
    grade = row["grade"]
    return Shot(
        capture_id=row["id"],
        camera_id=row["camera_id"],
        stem=stem(row["path_text"]),
        digest=row["digest"],
        release_id=row["release_id"],
        eye=Eye(row["eye"]),
        field=row["field"],
        outcome=Outcome(row["outcome"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        grade=None if grade is None else Grade(grade),
        referable=Referable(row["referable"]),
        scores=None if grade is None else tuple(row[f"score_{key}"] for key in GRADE_KEYS),
        is_conflict=row["eye_source"] == EyeSource.CONFLICT,
    )


def _last_reviews(connection: sa.Connection, ids: Sequence[int]) -> dict[tuple[int, Eye], Row]:
    query = sa.select(review).where(review.c.exam_id.in_(ids)).order_by(review.c.id)
    return {(row["exam_id"], Eye(row["eye"])): row for row in connection.execute(query).mappings()}


def _expected(connection: sa.Connection) -> dict[str, list[str]]:
    return {row.id: row.expected_fields.split() for row in connection.execute(sa.select(camera))}


def of_capture(connection: sa.Connection, capture_id: int) -> int | None:
    """Return the exam that a capture belongs to, None without one."""
    found: int | None = connection.scalar(
        sa.select(capture.c.exam_id).where(capture.c.id == capture_id)
    )
    return found


def catch_up(connection: sa.Connection) -> int:
    """Give captures an exam whose results are older than exams are; return how many."""
    same = sa.and_(result.c.digest == job.c.digest, result.c.release_id == job.c.release_id)
    query = (
        sa.select(capture, result.c.content)
        .select_from(capture)
        .join(job, job.c.id == capture.c.job_id)
        .join(result, same)
        .where(job.c.state == JobState.SUCCEEDED)
        .where(
            capture.c.exam_id.is_(None)
            | ~sa.exists().where(eye_result.c.exam_id == capture.c.exam_id)
        )
        .order_by(capture.c.id)
        .limit(_SLICE)
    )
    count, after = 0, 0
    while rows := connection.execute(query.where(capture.c.id > after)).mappings().all():
        ids = assign(
            connection, rows, [orjson.loads(row["content"]).get("study_uid") for row in rows]
        )
        moved = [
            {"at_id": row["id"], "exam": exam_id} for row, exam_id in zip(rows, ids, strict=True)
        ]
        changed = (
            sa.update(capture)
            .where(capture.c.id == sa.bindparam("at_id"))
            .values(exam_id=sa.bindparam("exam"))
        )
        connection.execute(changed, moved)
        for some in _slices(ids):
            _judged(connection, some)  # no receiver asked for the past
        count, after = count + len(rows), rows[-1]["id"]
    return count
