"""Other exams of the same person and day. A `no` is final only if all of them are `no`.

An exam of a number without an issuer counts as one of each patient who has the number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from fundusd.clinical.exam import OtherExam
from fundusd.domain.clinical_terms import Referable
from fundusd.ledger import visits
from fundusd.ledger.tables import capture, exam

if TYPE_CHECKING:
    from collections.abc import Collection

    Number = tuple[str, str]  # "patient" or, for a key of theirs without the issuer, "number"
    PatientDay = tuple[Number, str]


def others(connection: sa.Connection, exam_ids: Collection[int]) -> dict[int, list[OtherExam]]:
    """Return, by exam, the other exams of the same known person and day that have photographs.

    An exam that was joined into one of another day counts with its own day there.
    """
    by_exam = _others(connection, exam_ids)
    query = sa.select(*exam.c["id", "final_referable"]).where(
        exam.c.id.in_(set().union(*by_exam.values())),
        sa.exists().where(capture.c.exam_id == exam.c.id),
    )
    results: dict[int, str] = dict(connection.execute(query).all()) if by_exam else {}
    known: dict[int, list[OtherExam]] = {}
    for number, ids in by_exam.items():
        with_photographs = sorted(ids & results.keys())
        known[number] = [OtherExam(other, Referable(results[other])) for other in with_photographs]
    return known


def related(connection: sa.Connection, exam_ids: Collection[int]) -> set[int]:
    """Return the exams of the same persons and days as these exams."""
    final = visits.followed(connection, exam_ids)
    return set().union(*_others(connection, set(final.values())).values())


def _others(connection: sa.Connection, exam_ids: Collection[int]) -> dict[int, set[int]]:
    """Return the numbers of the other exams of the person and day, by exam, where there are any."""
    days = _days(connection, exam_ids)
    exams = _exams_of(connection, {day for of_exam in days.values() for day in of_exam})
    by_exam: dict[int, set[int]] = {}
    for number, of_exam in days.items():
        same = set().union(*(exams.get(day, ()) for day in of_exam)) - {number}
        if same:
            by_exam[number] = same
    return by_exam


def _days(connection: sa.Connection, exam_ids: Collection[int]) -> dict[int, set[PatientDay]]:
    """Return the patient and the days of exams, those of the exams joined into them included.

    Exams of unknown patients, and those that were joined into others, have none.
    """
    keys = exam.c["patient_key", "bare_key"]
    own = sa.select(exam.c.id, *keys, exam.c.day, exam.c.id.label("final_id")).where(
        exam.c.id.in_(exam_ids), exam.c.joined_into.is_(None), exam.c.patient_key.is_not(None)
    )
    members = own.cte("member", recursive=True)
    # not "union all": exams may have been joined in a circle
    members = members.union(
        sa.select(
            *(exam.c.id, members.c.patient_key, members.c.bare_key, exam.c.day, members.c.final_id)
        ).join_from(members, exam, exam.c.joined_into == members.c.id)
    )
    days: dict[int, set[PatientDay]] = {}
    for row in connection.execute(sa.select(members)):
        if row.bare_key is None:
            same = {("patient", row.patient_key), ("number", row.patient_key)}
        else:
            same = {("patient", row.patient_key), ("patient", row.bare_key)}
        days.setdefault(row.final_id, set()).update((of_same, row.day) for of_same in same)
    return days


def _exams_of(
    connection: sa.Connection, days: Collection[PatientDay]
) -> dict[PatientDay, set[int]]:
    """Return the exams that hold the photographs of patients and days."""
    patients, of_days = {patient for (_, patient), _ in days}, {day for _, day in days}
    columns = exam.c["id", "day", "joined_into"]
    is_of_these = sa.or_(exam.c.patient_key.in_(patients), exam.c.bare_key.in_(patients))
    known = sa.select(*columns).where(is_of_these, exam.c.day.in_(of_days))
    # an exam of an unknown patient may have been joined into that of a known one
    joined = sa.select(*columns).where(
        exam.c.patient_key.is_(None), exam.c.joined_into.is_not(None), exam.c.day.in_(of_days)
    )
    rows = connection.execute(sa.union(known, joined)).all() if days else []
    final = visits.followed(connection, [row.id for row in rows if row.joined_into is not None])
    numbers = {final.get(row.id, row.id) for row in rows}
    query = sa.select(*exam.c["id", "patient_key", "bare_key"]).where(exam.c.id.in_(numbers))
    keys = {row.id: row for row in connection.execute(query)} if rows else {}
    exams: dict[PatientDay, set[int]] = {}
    for row in rows:
        number = final.get(row.id, row.id)
        of_exam = keys[number]
        exams.setdefault((("patient", of_exam.patient_key), row.day), set()).add(number)
        exams.setdefault((("number", of_exam.bare_key), row.day), set()).add(number)
    return exams
