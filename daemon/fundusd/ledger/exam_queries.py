"""Read exams, either as they were last judged and stored, or judged anew."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.clinical.exam import Exam, EyeResult, Reading, Shot, counted_shots, judge
from fundusd.domain.clinical_terms import (
    Eye,
    EyeSource,
    Grade,
    Outcome,
    Reason,
    Referable,
    ReviewVerdict,
)
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB, SCORES
from fundusd.ledger.tables import camera, capture, exam, eye_result, job, result, review

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Row = Mapping[Any, Any]

_OF_CAPTURE = (
    "id",
    "exam_id",
    "camera_id",
    "path_text",
    "digest",
    "eye",
    "eye_source",
    "field",
    "patient_id",
    "warnings",
)
_OF_RESULT = ("release_id", "outcome", "reason", "grade", "referable", *SCORES)


def stem(path_text: str) -> str:
    """Return a path without its suffix.

    The files of one shot have the same path except for the suffix.
    """
    folder, slash, name = path_text.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


# -- as stored


def exam_by_id(connection: sa.Connection, exam_id: int) -> Exam | None:
    """Return an exam as it was last judged, or None if no exam has this number."""
    row = connection.execute(sa.select(exam).where(exam.c.id == exam_id)).mappings().one_or_none()
    if row is None:
        return None
    captures = _captures(connection, [exam_id])
    shots = counted_shots(_shots(captures))
    readings = _readings(connection, exam_id)
    query = sa.select(eye_result).where(eye_result.c.exam_id == exam_id)
    eyes: dict[Eye, EyeResult] = {}
    for eye_row in connection.execute(query).mappings():
        eye = Eye(eye_row["eye"])
        eyes[eye] = _stored_eye(eye_row, shots[eye], readings)
    return _exam(row, captures, [eyes[eye] for eye in Eye if eye in eyes])


def exam_of(connection: sa.Connection, capture_id: int) -> Exam | None:
    """Return the exam that a capture belongs to, or None if it belongs to no exam.

    A capture is assigned to an exam when it gets a result.
    """
    query = sa.select(capture.c.exam_id).where(capture.c.id == capture_id)
    exam_id = connection.scalar(query)
    if exam_id is None:
        return None
    return exam_by_id(connection, exam_id)


def _stored_eye(row: Row, shots: Sequence[Shot], readings: Mapping[int, Reading]) -> EyeResult:
    [decisive] = [shot for shot in shots if shot.capture_id == row["capture_id"]]
    return EyeResult(
        eye=Eye(row["eye"]),
        outcome=Outcome(row["outcome"]),
        referable=Referable(row["referable"]),
        grade=_grade(row["grade"]),
        reason=_reason(row["reason"]),
        missing_fields=tuple(row["missing_fields"].split()),
        decisive=decisive,
        shots=tuple(shots),
        reading=readings.get(row["review_id"]),
    )


def _readings(connection: sa.Connection, exam_id: int) -> dict[int, Reading]:
    query = sa.select(review).where(review.c.exam_id == exam_id)
    readings: dict[int, Reading] = {}
    for row in connection.execute(query).mappings():
        readings[row["id"]] = _reading(row)
    return readings


# -- judged anew


def judged(connection: sa.Connection, ids: Sequence[int]) -> list[Exam]:
    """Judge exams anew from their captures, results and reviews.

    Return the exams ordered by number.
    """
    query = sa.select(exam).where(exam.c.id.in_(ids)).order_by(exam.c.id)
    rows = connection.execute(query).mappings().all()
    captures: dict[int, list[Row]] = {}
    for capture_row in _captures(connection, ids):
        captures.setdefault(capture_row["exam_id"], []).append(capture_row)
    reviews = _last_reviews(connection, ids)
    expected = _expected_fields(connection)
    exams = []
    for row in rows:
        of_exam = captures.get(row["id"], [])
        fields: set[str] = set()
        for capture_row in of_exam:
            fields.update(expected.get(capture_row["camera_id"], ()))
        eyes = []
        for eye in judge(_shots(of_exam), sorted(fields)):
            eyes.append(_with_reading(eye, reviews.get((row["id"], eye.eye))))
        exams.append(_exam(row, of_exam, eyes))
    return exams


def _with_reading(eye: EyeResult, last: Row | None) -> EyeResult:
    """Return an eye with its last review applied.

    If there is no review, or if the model's result has changed since, return the eye unchanged.
    """
    if last is None:
        return eye
    reviewed = (last["model_outcome"], last["model_grade"], last["model_referable"])
    if reviewed != (eye.outcome, eye.grade, eye.referable):
        return eye
    return eye.read_as(_reading(last))


def _last_reviews(connection: sa.Connection, ids: Sequence[int]) -> dict[tuple[int, Eye], Row]:
    query = sa.select(review).where(review.c.exam_id.in_(ids)).order_by(review.c.id)
    reviews: dict[tuple[int, Eye], Row] = {}
    for row in connection.execute(query).mappings():
        reviews[row["exam_id"], Eye(row["eye"])] = row
    return reviews


def _expected_fields(connection: sa.Connection) -> dict[str, list[str]]:
    expected: dict[str, list[str]] = {}
    for row in connection.execute(sa.select(camera)):
        expected[row.id] = row.expected_fields.split()
    return expected


# -- from rows


def _captures(connection: sa.Connection, exam_ids: Sequence[int]) -> Sequence[Row]:
    """Return the current captures of exams, each with its result."""
    query = (
        sa.select(*capture.c[_OF_CAPTURE], *result.c[_OF_RESULT])
        .select_from(capture)
        .join(job, job.c.id == capture.c.job_id)
        .join(result, IS_RESULT_OF_JOB)
        .where(capture.c.exam_id.in_(exam_ids), capture.c.superseded.is_(False))
        .order_by(capture.c.id)
    )
    return connection.execute(query).mappings().all()


def _exam(exam_row: Row, captures: Iterable[Row], eyes: Iterable[EyeResult]) -> Exam:
    return Exam(
        exam_id=exam_row["id"],
        day=date.fromisoformat(exam_row["day"]),
        patient_key=exam_row["patient_key"],
        patient_id=_first_patient_id(captures),
        study_uid=exam_row["study_uid"],
        eyes=tuple(eyes),
    )


def _first_patient_id(captures: Iterable[Row]) -> str | None:
    for row in captures:
        if row["patient_id"]:
            return str(row["patient_id"])
    return None


def _shots(captures: Iterable[Row]) -> Iterator[Shot]:
    for row in captures:
        yield _shot(row)


def _shot(row: Row) -> Shot:
    return Shot(
        capture_id=row["id"],
        camera_id=row["camera_id"],
        stem=stem(row["path_text"]),
        digest=row["digest"],
        release_id=row["release_id"],
        eye=Eye(row["eye"]),
        field=row["field"],
        outcome=Outcome(row["outcome"]),
        reason=_reason(row["reason"]),
        grade=_grade(row["grade"]),
        referable=Referable(row["referable"]),
        scores=_scores(row),
        is_conflict=row["eye_source"] == EyeSource.CONFLICT,
        warnings=tuple(orjson.loads(row["warnings"] or "[]")),
    )


def _scores(row: Row) -> tuple[float, ...] | None:
    return None if row["grade"] is None else tuple(row[name] for name in SCORES)


def _reading(row: Row) -> Reading:
    return Reading(
        review_id=row["id"],
        verdict=ReviewVerdict(row["verdict"]),
        referable=Referable(row["referable"]),
        grade=_grade(row["grade"]),
        reason=row["reason"],
        reviewer=row["reviewer"],
        role=row["role"],
        is_blinded=row["blinded"],
        at=row["created_at"],
    )


def _reason(stored: str | None) -> Reason | None:
    return Reason(stored) if stored else None


def _grade(stored: int | None) -> Grade | None:
    return None if stored is None else Grade(stored)
