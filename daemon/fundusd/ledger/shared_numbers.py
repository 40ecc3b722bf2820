"""Photographs that name only a number which several persons of the day have.

Names give a patient's number without the issuer that headers may name. As long as one person has
the number, it means that person (see `bare_numbers`). If there are several on a day, a photograph
that gives the number alone may be of each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from fundusd.ledger import joins, moved_files, visits
from fundusd.ledger.tables import capture, exam

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    Row = Mapping[Any, Any]


class Question(NamedTuple):
    """A photograph that may be of the patient of another exam, who has the same number."""

    capture_id: int
    exam_id: int  # its own
    claimant_id: int
    is_answered: bool  # a person has said that it is of the patient of its own exam
    excluded: str | None


class Shared(NamedTuple):
    """The exams of a number on a day on which several persons have it; joins are followed."""

    number: str
    day: str
    of_persons: frozenset[int]
    of_number: frozenset[int]  # of which nobody knows whose they are


def is_same_number(first: sa.FromClause, second: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that two exams are of persons with the same number on the same day."""
    is_number = sa.or_(
        first.c.bare_key == second.c.bare_key,
        first.c.bare_key == second.c.patient_key,
        first.c.patient_key == second.c.bare_key,
    )
    return sa.and_(is_number, first.c.day == second.c.day)


def shared(connection: sa.Connection, exam_ids: Collection[int]) -> list[Shared]:
    """Return the numbers of these exams that several persons have on the same day."""
    members = joins.members(connection, exam_ids)
    own, other = exam.alias(), exam.alias()
    of_person = sa.select(own.c.bare_key, own.c.day).where(own.c.id.in_(members))
    of_number = sa.select(own.c.patient_key, own.c.day).where(own.c.id.in_(members))
    has_photographs = sa.or_(
        sa.exists().where(capture.c.exam_id == other.c.id), other.c.joined_into.is_not(None)
    )
    query = (
        sa.select(other.c.bare_key, other.c.day)
        .where(
            sa.tuple_(other.c.bare_key, other.c.day).in_(sa.union(of_person, of_number)),
            has_photographs,
        )
        .group_by(other.c.bare_key, other.c.day)
        .having(sa.func.count(other.c.patient_key.distinct()) > 1)
    )
    return [_exams_of(connection, row.bare_key, row.day) for row in connection.execute(query)]


def _exams_of(connection: sa.Connection, number: str, day: str) -> Shared:
    is_of_number = sa.or_(exam.c.bare_key == number, exam.c.patient_key == number)
    query = sa.select(exam.c.id).where(is_of_number, exam.c.day == day)
    final = set(visits.followed(connection, connection.scalars(query).all()).values())
    query = sa.select(exam.c.id).where(exam.c.id.in_(final), exam.c.patient_key == number)
    of_number = frozenset(connection.scalars(query))
    return Shared(number, day, frozenset(final) - of_number, of_number)


def questions(connection: sa.Connection, numbers: Sequence[Shared]) -> list[Question]:
    """Return the photographs that may be of several persons, once for each of the others."""
    asked: list[Question] = []
    for of_number in numbers:
        columns = capture.c["id", "exam_id", "belongs", "excluded"]
        # the exam may be one of another day, which has its own photographs
        is_of_day = sa.or_(
            exam.c.day == of_number.day,
            capture.c.acquired_day == of_number.day,
            sa.and_(
                capture.c.local_day == of_number.day,
                capture.c.acquired_day.is_distinct_from(exam.c.day),
            ),
        )
        query = sa.select(*columns).join(exam, exam.c.id == capture.c.exam_id)
        query = query.where(
            capture.c.exam_id.in_(of_number.of_persons | of_number.of_number),
            capture.c.patient_key == of_number.number,
            *(moved_files.counts(), is_of_day),
        )
        for row in connection.execute(query.order_by(capture.c.id)):
            is_answered = row.belongs and row.exam_id in of_number.of_persons
            for claimant_id in sorted(of_number.of_persons - {row.exam_id}):
                state = (is_answered, row.excluded)
                asked.append(Question(row.id, row.exam_id, claimant_id, *state))
    return asked
