"""Read the captures of exams, with everything about them that decides about their eyes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.ledger import file_places, moved_files, related_exams
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB, SCORES
from fundusd.ledger.tables import capture, job, release, result, sighting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fundusd.ledger.shared_numbers import Question

    Row = Mapping[Any, Any]

_OF_CAPTURE = (
    "id",
    "exam_id",
    "camera_id",
    "path_text",
    "digest",
    "eye",
    "eye_source",
    "corrected_eye",
    "excluded",
    "placed_exam_id",
    "belongs",
    "field",
    "patient_id",
    "patient_key",
    "other_patient_id",
    "other_patient_key",
    "warnings",
    "received_at",
    "acquired_at",
    "acquired_day",
    "superseded",
    "moved_to",
)
_OF_RESULT = ("outcome", "reason", "grade", "referable", *SCORES)


def files_of(
    connection: sa.Connection, exam_ids: Sequence[int], questions: Iterable[Question]
) -> dict[int, list[Row]]:
    """Return, by exam, the captures that count, each with its result or with what its job says.

    `questions` are those about photographs that name only a number which several persons have.
    """
    of_number = {question.capture_id for question in questions if not question.is_answered}
    query = (
        sa.select(
            *capture.c[_OF_CAPTURE],
            related_exams.is_in_other_exam().label("is_in_other_exam"),
            related_exams.is_disowned().label("is_disowned"),
            _is_gone().label("is_gone"),
            file_places.ended_by().label("ended_by"),
            *result.c[_OF_RESULT],
            job.c.release_id,
            release.c.referable_rule,
            job.c.reason.label("job_reason"),
        )
        .select_from(capture)
        .join(job, job.c.id == capture.c.job_id)
        .join(release, release.c.id == job.c.release_id)
        .outerjoin(result, IS_RESULT_OF_JOB)
        .where(capture.c.exam_id.in_(exam_ids), moved_files.counts())
        .order_by(capture.c.id)
    )
    moved = file_places.moved(connection, exam_ids)
    by_exam: dict[int, list[Row]] = {}
    for row in connection.execute(query).mappings():
        here = file_places.place(row)
        former = tuple(moved.places.get(row["id"], ()))
        is_disowned = row["is_disowned"] or moved.is_beside_excluded(row, (here, *former))
        of_file = {"until": here.until, "former_places": former, "is_disowned": is_disowned}
        of_file["is_of_shared_number"] = row["id"] in of_number
        if row["id"] in of_number:
            of_file["belongs"] = False  # that it is in the right exam says of nobody whose it is
        by_exam.setdefault(row["exam_id"], []).append(dict(row) | of_file)
    return by_exam


def _is_gone() -> sa.ColumnElement[bool]:
    """Return the condition that a capture's file was there, but is no longer in the inbox."""
    return sa.exists().where(
        sighting.c.capture_id == capture.c.id, sighting.c.missing_since.is_not(None)
    )
