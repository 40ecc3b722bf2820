"""Read exams: judged from their captures, results, readings and corrections."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.clinical import visit
from fundusd.clinical.exam import Absence, Exam, FollowUp
from fundusd.clinical.judgement import files_of_no_eye, judge
from fundusd.domain.clinical_terms import Eye
from fundusd.domain.exams import DayDoubt
from fundusd.domain.readings import AbsenceReason, CorrectionKind, FollowUpKind
from fundusd.ledger import (
    claimed_photographs,
    exam_files,
    exam_protocol,
    exam_rows,
    same_day,
    shared_numbers,
)
from fundusd.ledger.exam_reviews import Reviews, reviews_of
from fundusd.ledger.tables import camera, capture, correction, exam, follow_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fundusd.ledger.exam_protocol import Protocol

    Row = Mapping[Any, Any]

ABSENCES = (CorrectionKind.ABSENT, CorrectionKind.PRESENT)


def exam_by_id(connection: sa.Connection, exam_id: int) -> Exam | None:
    """Return an exam, or None if no exam has this number."""
    return next(iter(judged(connection, [exam_id])), None)


def exam_of(connection: sa.Connection, capture_id: int) -> Exam | None:
    """Return the exam that a capture belongs to, or None if it belongs to no exam.

    A capture is assigned to an exam when it gets a result or fails.
    """
    query = sa.select(capture.c.exam_id).where(capture.c.id == capture_id)
    exam_id = connection.scalar(query)
    if exam_id is None:
        return None
    return exam_by_id(connection, exam_id)


def judged(connection: sa.Connection, ids: Sequence[int], *, anew: bool = False) -> list[Exam]:
    """Judge exams from all that is known about them, and return them ordered by number.

    If `anew`, they are judged by the present settings of the cameras, otherwise by those of the
    last time.
    """
    query = sa.select(exam).where(exam.c.id.in_(ids)).order_by(exam.c.id)
    rows = connection.execute(query).mappings().all()
    numbers = shared_numbers.shared(connection, ids)
    questions = shared_numbers.questions(connection, numbers)
    captures = exam_files.files_of(connection, ids, questions)
    reviews = reviews_of(connection, ids)
    follow_ups = _by_exam(_open_follow_ups(connection, ids))
    absences = _absences(connection, rows)
    others_of_day = same_day.others(connection, ids)
    claims = claimed_photographs.claims(connection, ids, questions)
    cameras = _cameras(connection)
    exams = []
    for row in rows:
        number = row["id"]
        files = captures.get(number, [])
        protocol = exam_protocol.of_cameras(
            cameras[name] for name in {file["camera_id"] for file in files}
        )
        if row["protocol"] and not anew:
            protocol = exam_protocol.from_stored(row["protocol"])
        judged_exam = _judged(row, files, reviews, protocol)
        of_exam = _follow_ups(follow_ups.get(number, []))
        corrected = judged_exam.with_corrections(absences[number], of_exam)
        claimed = replace(corrected, claims=claims.get(number, ()))
        exams.append(replace(claimed, others_of_day=tuple(others_of_day.get(number, ()))))
    return exams


def _judged(row: Row, captures: Sequence[Row], reviews: Reviews, protocol: Protocol) -> Exam:
    """Return an exam with its eyes and their readings."""
    shots = []
    for capture_row in captures:
        is_of_one_field = capture_row["camera_id"] in protocol.one_field
        shots.append(exam_rows.shot(capture_row, is_of_one_field=is_of_one_field))
    exam_day = date.fromisoformat(row["day"])
    shots = visit.with_uncertain_days(shots, exam_day)
    received = {capture_row["id"]: capture_row["received_at"] for capture_row in captures}
    judged_eyes = judge(shots, protocol.expected)
    others = files_of_no_eye(shots, judged_eyes)
    readings = reviews.of_exam(row["id"], judged_eyes, others, received)
    eyes = []
    for eye in judged_eyes:
        eye_read = eye.with_readings(readings.get(eye.eye, []))
        eyes.append(replace(eye_read, confirmed_share=protocol.confirmed_share))
    return Exam(
        exam_id=row["id"],
        day=exam_day,
        patient_key=row["patient_key"],
        patient_id=_patient_id(captures, row),
        study_uid=row["study_uid"],
        eyes=tuple(eyes),
        day_doubt=DayDoubt(row["day_doubt"]),
        part=_part(row),
        joined_into=row["joined_into"],
        protocol=protocol.stored,
        others=others,
    )


# -- rows


def _by_exam(rows: Iterable[Row]) -> dict[int, list[Row]]:
    by_exam: dict[int, list[Row]] = {}
    for row in rows:
        by_exam.setdefault(row["exam_id"], []).append(row)
    return by_exam


def _open_follow_ups(connection: sa.Connection, exam_ids: Sequence[int]) -> Sequence[Row]:
    query = (
        sa.select(follow_up)
        .where(follow_up.c.exam_id.in_(exam_ids), follow_up.c.closed_at.is_(None))
        .order_by(follow_up.c.id)
    )
    return connection.execute(query).mappings().all()


def _follow_ups(rows: Iterable[Row]) -> tuple[FollowUp, ...]:
    follow_ups = []
    for row in rows:
        kind = FollowUpKind(row["kind"])
        follow_ups.append(FollowUp(row["id"], Eye(row["eye"]), kind, row["opened_at"]))
    return tuple(follow_ups)


def _absences(connection: sa.Connection, exams: Sequence[Row]) -> dict[int, list[Absence]]:
    """Return, by exam, the eyes that the patient is said to lack on the day of the exam.

    What was said last about an eye of a patient counts; if the patient is not known, what was said
    about the eye in this exam. A number stands for the only person who has it.
    """
    persons = _persons_of(connection, exams)
    keys = {row["patient_key"] for row in exams} - {None}
    keys |= {key for pair in persons.items() for key in pair if key is not None}
    of_these = sa.or_(
        correction.c.patient_key.in_(keys), correction.c.exam_id.in_([row["id"] for row in exams])
    )
    query = sa.select(correction).where(correction.c.kind.in_(ABSENCES), of_these)
    corrections = connection.execute(query.order_by(correction.c.id)).mappings().all()
    absences: dict[int, list[Absence]] = {}
    for row in exams:
        last: dict[str, Row] = {}
        if row["patient_key"] in persons:  # a number
            person = persons[row["patient_key"]]
            of_patient = {row["patient_key"], person} if person else set()
        else:
            number = row["bare_key"] if persons.get(row["bare_key"]) else None
            of_patient = {row["patient_key"], number} - {None}
        for about in corrections:
            is_of_exam = about["exam_id"] == row["id"] and about["patient_key"] is None
            if is_of_exam or about["patient_key"] in of_patient:
                last[about["eye"]] = about
        applying = [last[eye] for eye in sorted(last) if _applies(last[eye], row["day"])]
        absences[row["id"]] = [_absence(about) for about in applying]
    return absences


def _persons_of(connection: sa.Connection, exams: Sequence[Row]) -> dict[str, str | None]:
    """Return the persons who have the numbers of exams, or None for those that several have."""
    numbers = {row["bare_key"] or row["patient_key"] for row in exams} - {None}
    if not numbers:
        return {}
    is_of_several = sa.func.count(exam.c.patient_key.distinct()) > 1
    person = sa.case((is_of_several, None), else_=sa.func.min(exam.c.patient_key))
    query = sa.select(exam.c.bare_key, person).where(exam.c.bare_key.in_(numbers))
    return dict(connection.execute(query.group_by(exam.c.bare_key)).all())


def _absence(about: Row) -> Absence:
    until = date.fromisoformat(about["until"]) if about["until"] else None
    return Absence(Eye(about["eye"]), AbsenceReason(about["reason"]), until)


def _applies(about: Row, day: str) -> bool:
    if about["kind"] != CorrectionKind.ABSENT:
        return False
    return about["until"] is None or day <= about["until"]


def _cameras(connection: sa.Connection) -> dict[str, Row]:
    rows = connection.execute(sa.select(camera)).mappings()
    return {row["id"]: row for row in rows}


def _part(exam_row: Row) -> str:
    """Return the key of an exam, or "" if it is the first one of a known person and day."""
    is_first = exam_row["key"] == f"patient:{exam_row['patient_key']}:{exam_row['day']}"
    return "" if is_first else exam_row["key"]


def _patient_id(captures: Iterable[Row], exam_row: Row) -> str | None:
    """Return the identifier of an exam's patient, as the first source that names it gives it."""
    keys = {exam_row["patient_key"], exam_row["bare_key"]}
    for row in captures:
        if row["patient_id"] and row["patient_key"] in keys:
            return str(row["patient_id"])
        if row["other_patient_id"] and row["other_patient_key"] in keys:
            return str(row["other_patient_id"])
    return None
