"""Photographs of other exams that may be of the same patient, because they name this one, too.

docs/exams.md, "A person", holds the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.clinical.exam import Claim
from fundusd.domain.readings import CorrectionKind, ExclusionReason
from fundusd.ledger import joins, moved_files, visits
from fundusd.ledger.exam_rows import stem
from fundusd.ledger.tables import capture, correction, exam

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from fundusd.ledger.shared_numbers import Question

    Row = Mapping[Any, Any]

# why a photograph was excluded although it may be of somebody
_OF_SOMEBODY = (ExclusionReason.NOT_THIS_PATIENT, ExclusionReason.RETAKEN)


def claims(
    connection: sa.Connection, exam_ids: Collection[int], questions: Iterable[Question]
) -> dict[int, tuple[Claim, ...]]:
    """Return, by exam, the photographs of other exams that may be of the same patient and day.

    They are those whose sources name the patient, too, and of `questions` those about photographs
    that name only a number. Once a person has said that one belongs to its exam, or that it counts
    nowhere, it is no longer in question. If a person has joined the exam of the day into another
    one, they are in question there. Another file of the photograph that is in the patient's exam
    remains in question, because it may be of the other patient, too.
    """
    members = joins.members(connection, exam_ids)
    rows = _naming(connection, members)
    twins = _open_files(connection, {members[row.id] for row in rows if row.belongs})
    by_exam: dict[int, dict[int, Claim]] = {}
    for row in rows:
        number = members[row.id]
        claimed = [Claim(row.capture_id, row.exam_id)]
        if row.belongs:
            of_other = number != row.exam_id
            shot = (number, row.camera_id, stem(row.path_text))
            claimed = [Claim(twin, number) for twin in twins.get(shot, ()) if of_other]
        for claim in claimed:
            by_exam.setdefault(number, {})[claim.capture_id] = claim
    for question in questions:
        if not question.belongs and question.excluded in {None, *_OF_SOMEBODY}:
            claim = Claim(question.capture_id, question.exam_id)
            by_exam.setdefault(question.claimant_id, {})[claim.capture_id] = claim
    return {number: tuple(of_exam.values()) for number, of_exam in by_exam.items()}


def _naming(connection: sa.Connection, claimant_ids: Collection[int]) -> list[Any]:
    """Return the photographs that name patients of exams, with these exams as `id`."""
    claimant = exam.alias()
    query = (
        sa.select(
            claimant.c.id,
            capture.c.id.label("capture_id"),
            *capture.c["exam_id", "belongs", "camera_id", "path_text"],
        )
        .select_from(with_claimants(claimant))
        .where(
            claimant.c.id.in_(claimant_ids),
            capture.c.id.in_(_candidates(connection, claimant_ids)),
            moved_files.counts(),
            sa.or_(capture.c.excluded.is_(None), capture.c.excluded.in_(_OF_SOMEBODY)),
        )
        .order_by(capture.c.id)
    )
    return list(connection.execute(query).all())


def _candidates(connection: sa.Connection, claimant_ids: Collection[int]) -> set[int]:
    """Return photographs that may name patients of exams: the rows that are worth reading."""
    keys: set[str] = set()
    query = sa.select(*exam.c["patient_key", "bare_key"]).where(exam.c.id.in_(claimant_ids))
    for row in connection.execute(query):
        keys |= {row.patient_key, row.bare_key} - {None}
    named = sa.select(capture.c.id).where(capture.c.other_patient_key.in_(keys))
    candidates = set(connection.scalars(named)) if keys else set()
    # what a person gave to the other patient names this one in its own columns
    given = sa.select(correction.c.other_exam_id).where(
        correction.c.patient_key.in_(keys),
        correction.c.kind == CorrectionKind.BELONGS,
        correction.c.other_exam_id.is_not(None),
    )
    at = visits.followed(connection, connection.scalars(given).all()) if keys else {}
    if at:
        in_these = capture.c.exam_id.in_(set(at.values()))
        is_of_two = capture.c.other_patient_key.is_not(None)
        candidates |= set(connection.scalars(sa.select(capture.c.id).where(in_these, is_of_two)))
    return candidates


def _open_files(
    connection: sa.Connection, exam_ids: Collection[int]
) -> dict[tuple[int, str, str], list[int]]:
    """Return files of which no person has said anything, by exam, camera and stem of the path."""
    files: dict[tuple[int, str, str], list[int]] = {}
    if not exam_ids:
        return files
    query = sa.select(*capture.c["id", "exam_id", "camera_id", "path_text"]).where(
        capture.c.exam_id.in_(exam_ids),
        capture.c.belongs.is_(False),
        capture.c.excluded.is_(None),
        moved_files.counts(),
    )
    for row in connection.execute(query.order_by(capture.c.id)):
        shot = (row.exam_id, row.camera_id, stem(row.path_text))
        files.setdefault(shot, []).append(row.id)
    return files


def with_claimants(claimant: sa.FromClause) -> sa.FromClause:
    """Return captures with the exams of patients whom they name, on days that they name.

    The patient of the capture's own exam is left out. Names give a patient's number without the
    issuer that headers may name; if that is the number of the exam's patient, `shared_numbers`
    finds the others who have it.
    """
    own = exam.alias()
    is_of_another = sa.and_(
        capture.c.patient_key.is_distinct_from(own.c.patient_key),
        capture.c.patient_key.is_distinct_from(own.c.bare_key),
    )
    is_named = sa.or_(
        claimant.c.patient_key == capture.c.other_patient_key,
        claimant.c.bare_key == capture.c.other_patient_key,
        sa.and_(claimant.c.patient_key == capture.c.patient_key, is_of_another),
        sa.and_(claimant.c.bare_key == capture.c.patient_key, is_of_another),
    )
    # its own exam may have been joined into one of another day
    own_day = sa.func.coalesce(capture.c.acquired_day, capture.c.local_day)
    is_day = claimant.c.day.in_([own.c.day, own_day, capture.c.other_acquired_day])
    is_other = claimant.c.patient_key.is_distinct_from(own.c.patient_key)
    is_of_two = sa.and_(capture.c.exam_id == own.c.id, capture.c.other_patient_key.is_not(None))
    return capture.join(own, is_of_two).join(claimant, sa.and_(is_named, is_day, is_other))
