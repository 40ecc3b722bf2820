"""Whether two exams are of one patient, whose number is given with and without its issuer."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa


class Keys(NamedTuple):
    """The key of an exam's patient, and the key that the number has without its issuer."""

    patient: sa.ColumnElement[Any]
    number: sa.ColumnElement[Any]


def keys_of(exam: sa.FromClause) -> Keys:
    """Return the columns of an exam, or of an alias, that name its patient."""
    return Keys(exam.c.patient_key, exam.c.bare_key)


def is_same_patient(first: Keys, second: Keys) -> sa.ColumnElement[bool]:
    """Return the condition that two exams are of one patient; NULL if a patient is not known.

    An exam of a number without an issuer is one of every patient who has the number.
    """
    is_number = sa.or_(first.number == second.patient, first.patient == second.number)
    return sa.or_(first.patient == second.patient, sa.func.coalesce(is_number, sa.false()))
