"""What may be said of a photograph: each function raises RequestError if it may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.clinical_terms import Outcome, Referable
from fundusd.domain.errors import RequestError
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import exam_queries, moved_files, related_exams, shared_numbers
from fundusd.ledger.tables import capture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[Any, Any]


def require_replaceable(connection: sa.Connection, files: Sequence[Row]) -> None:
    """Raise RequestError if no retake replaces a photograph, because its referable eye was graded.

    Once a reader says that the eye is negative, it is not referable any more.
    """
    numbers = {file["id"] for file in files}
    [judged] = exam_queries.judged(connection, [files[0]["exam_id"]])
    for eye in judged.eyes:
        graded = [shot for shot in eye.shots if shot.outcome is Outcome.GRADED]
        given = [shot for shot in graded if shot.capture_id in numbers]
        if given and eye.final.referable is Referable.YES:
            raise RequestError(
                f"The eye of capture {given[0].capture_id} is referable, and the photograph is "
                "good enough to grade, so no retake replaces it.",
                hint="Have a reader read the eye. If the photograph is not of this patient or no "
                "retina, give that reason.",
            )


def require_doubt(connection: sa.Connection, files: Sequence[Row]) -> None:
    """Raise RequestError if nobody doubts that the photograph belongs to its exam.

    What is said before there is a doubt would silence one that comes later.
    """
    numbers = {file["id"] for file in files}
    [judged] = exam_queries.judged(connection, [files[0]["exam_id"]])
    if any(claim.capture_id in numbers for claim in judged.claims):
        return  # another file of the photograph has been said to be another patient's
    shots = [shot for eye in judged.eyes for shot in eye.shots]
    for shot in [*shots, *judged.others]:
        if shot.capture_id in numbers and shot.doubted_membership is not None:
            return
    raise RequestError(
        f"Nothing is in doubt about whose photograph capture {files[0]['id']} is, or of which day.",
        hint=f"fundusd show {files[0]['id']} shows its patient and its warnings.",
    )


def require_known_person(connection: sa.Connection, file: Row) -> None:
    """Raise RequestError if a photograph is in an exam of a number that several persons have.

    That it belongs there would not say whose it is.
    """
    exam_id = file["exam_id"]
    for of_number in shared_numbers.shared(connection, [exam_id]):
        if exam_id in of_number.of_number and file["patient_key"] == of_number.number:
            numbers = sorted(of_number.of_persons)
            persons = " or ".join(map(str, numbers))
            joins = " or ".join(f"fundusd correct join {exam_id} {number}" for number in numbers)
            raise RequestError(
                f"Exam {exam_id} is of a number that the patients of exams {persons} have.",
                hint=f"Find out which of them it is of, and join it into that exam: {joins}",
            )


def require_no_other_exam(connection: sa.Connection, files: Sequence[Row]) -> None:
    """Raise RequestError if the same bytes have been said to belong to another exam."""
    patient_key = related_exams.patient_of(capture)
    query = sa.select(*capture.c["id", "exam_id"], patient_key.label("patient_key")).where(
        capture.c.digest.in_([file["digest"] for file in files]),
        capture.c.belongs,
        capture.c.excluded.is_(None),
        capture.c.exam_id != files[0]["exam_id"],
        moved_files.counts(),
    )
    other = connection.execute(query.order_by(capture.c.id)).mappings().first()
    if other is not None:
        own_key = connection.scalar(sa.select(patient_key).where(capture.c.id == files[0]["id"]))
        is_of_other = other["patient_key"] != own_key
        reason = ExclusionReason.NOT_THIS_PATIENT if is_of_other else ExclusionReason.OTHER
        raise RequestError(
            f"Capture {other['id']} of exam {other['exam_id']} holds the same photograph, and a "
            "person has said that it belongs to that exam.",
            hint=f"If that is wrong, exclude it there first: fundusd correct exclude {other['id']} "
            f"--reason {reason}.",
        )
