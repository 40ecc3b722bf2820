"""Photographs of other exams that may be of the same patient, because they name this one, too.

docs/exams.md, "A person", holds the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.clinical.exam import Claim
from fundusd.domain.readings import CorrectionKind, ExclusionReason
from fundusd.ledger import file_places, joins, moved_files, visits
from fundusd.ledger.tables import capture, correction, exam

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from fundusd.clinical.same_photograph import Place
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
    one, they are in question there. Another file of the photograph, in the patient's exam, is in
    question then, because what is said of the first file, or its new name, says nothing of it.
    """
    members = joins.members(connection, exam_ids)
    rows = _naming(connection, members)
    claimed: dict[int, dict[int, Claim]] = {}
    for row in rows:
        of_exam = claimed.setdefault(members[row["claimant_id"]], {})
        if row["is_in_question"]:
            of_exam[row["id"]] = Claim(row["id"], row["exam_id"])
    settled = [row for row in rows if row["now_id"] not in claimed[members[row["claimant_id"]]]]
    open_files = _open_files(connection, {members[row["claimant_id"]] for row in settled})
    for row in settled:
        number = members[row["claimant_id"]]
        for twin, places in open_files.get(number, {}).items():
            if row["is_in"] != number and file_places.place(row).is_shared_with(places):
                claimed[number][twin] = Claim(twin, number)
    for question in questions:
        if not question.is_answered and question.excluded in {None, *_OF_SOMEBODY}:
            claim = Claim(question.capture_id, question.exam_id)
            claimed.setdefault(question.claimant_id, {})[claim.capture_id] = claim
    return {number: tuple(of_exam.values()) for number, of_exam in claimed.items()}


def _naming(connection: sa.Connection, claimant_ids: Collection[int]) -> list[Row]:
    """Return the photographs that name, or once named, patients of exams (`claimant_id`).

    `now_id` and `is_in` are the capture of the file and the exam in which it is now.
    """
    candidates = _candidates(connection, claimant_ids)
    if not candidates:
        return []
    claimant, now = exam.alias(), capture.alias()
    counts = moved_files.counts()
    is_somebodys = sa.or_(now.c.excluded.is_(None), now.c.excluded.in_(_OF_SOMEBODY))
    query = (
        sa.select(
            *capture.c["id", "exam_id", "camera_id", "path_text", "superseded", "moved_to"],
            claimant.c.id.label("claimant_id"),
            file_places.ended_by().label("ended_by"),
            now.c.id.label("now_id"),
            now.c.exam_id.label("is_in"),
            sa.and_(counts, now.c.belongs.is_(False), is_somebodys).label("is_in_question"),
        )
        .select_from(with_claimants(claimant))
        .join(now, now.c.id == sa.case((counts, capture.c.id), else_=capture.c.moved_to))
        .where(claimant.c.id.in_(claimant_ids), capture.c.id.in_(candidates))
        .order_by(capture.c.id)
    )
    return list(connection.execute(query).mappings())


def _candidates(connection: sa.Connection, claimant_ids: Collection[int]) -> set[int]:
    """Return photographs that may name patients of exams: the rows that are worth reading."""
    keys: set[str] = set()
    days: set[str] = set()
    query = sa.select(*exam.c["patient_key", "bare_key", "day"])
    for row in connection.execute(query.where(exam.c.id.in_(claimant_ids))):
        keys |= {row.patient_key, row.bare_key} - {None}
        days.add(row.day)
    named = sa.select(capture.c.id).where(capture.c.other_patient_key.in_(keys))
    candidates = set(connection.scalars(named)) if keys else set()
    # what a person gave to the other patient names this one in its own columns
    given = sa.select(correction.c.other_exam_id).where(
        correction.c.patient_key.in_(keys),
        correction.c.kind == CorrectionKind.BELONGS,
        correction.c.other_exam_id.is_not(None),
    )
    # and what was put into an exam before it was read may name two others, see `note_conflicts`
    is_of_nobody = sa.and_(exam.c.patient_key.is_(None), exam.c.joined_into.is_not(None))
    placed = sa.select(exam.c.joined_into).where(exam.c.day.in_(days), is_of_nobody)
    in_exams = {*connection.scalars(given), *connection.scalars(placed)} if keys else set()
    at = visits.followed(connection, in_exams) if in_exams else {}
    if at:
        in_these = capture.c.exam_id.in_(set(at.values()))
        is_of_two = capture.c.other_patient_key.is_not(None)
        candidates |= set(connection.scalars(sa.select(capture.c.id).where(in_these, is_of_two)))
    return candidates


def _open_files(
    connection: sa.Connection, exam_ids: Collection[int]
) -> dict[int, dict[int, list[Place]]]:
    """Return files of which no person has said anything, by exam, with their places."""
    files: dict[int, dict[int, list[Place]]] = {}
    if not exam_ids:
        return files
    query = sa.select(
        *capture.c["id", "exam_id", "camera_id", "path_text", "superseded", "moved_to"],
        file_places.ended_by().label("ended_by"),
    ).where(
        capture.c.exam_id.in_(exam_ids),
        capture.c.belongs.is_(False),
        capture.c.excluded.is_(None),
        moved_files.counts(),
    )
    former = file_places.moved(connection, exam_ids).places
    for row in connection.execute(query.order_by(capture.c.id)).mappings():
        places = [file_places.place(row), *former.get(row["id"], ())]
        files.setdefault(row["exam_id"], {})[row["id"]] = places
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
    is_elsewhere = own.c.day.is_distinct_from(capture.c.acquired_day)
    days = (own.c.day, capture.c.acquired_day, capture.c.other_acquired_day)
    is_day = claimant.c.day.in_([*days, sa.case((is_elsewhere, _day_received()))])
    is_other = claimant.c.patient_key.is_distinct_from(own.c.patient_key)
    is_of_two = sa.and_(capture.c.exam_id == own.c.id, capture.c.other_patient_key.is_not(None))
    return capture.join(own, is_of_two).join(claimant, sa.and_(is_named, is_day, is_other))


def _day_received() -> sa.ScalarSelect[str]:
    """Return the day on which the bytes came first: that of the exam if the clock is wrong."""
    first = capture.alias()
    query = sa.select(sa.func.min(first.c.local_day)).where(first.c.digest == capture.c.digest)
    return query.correlate(capture).scalar_subquery()
