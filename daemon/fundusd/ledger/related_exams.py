"""Exams that depend on photographs of other exams.

No camera takes a photograph twice. If two exams of a patient hold the same bytes, one of the files
was exported again under the name of another visit. And if the sources of a photograph name two
patients, it may belong to either of them. Until a person says more, both exams are in doubt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import claimed_photographs, joins, moved_files, shared_numbers, visits
from fundusd.ledger.same_patient import Keys, is_same_patient
from fundusd.ledger.tables import capture, exam

if TYPE_CHECKING:
    from collections.abc import Collection


def patient_of(of: sa.FromClause) -> sa.ColumnElement[str | None]:
    """Return the key of a capture's patient: that of its exam or, if it has none, its own."""
    return sa.func.coalesce(_of_exam(of, "patient_key"), of.c.patient_key)


def number_of(of: sa.FromClause) -> sa.ColumnElement[str | None]:
    """Return the key that the number of a capture's patient has without the issuer, or NULL."""
    return _of_exam(of, "bare_key")


def _of_exam(of: sa.FromClause, name: str) -> sa.ColumnElement[Any]:
    own = exam.alias()
    column = sa.select(own.c[name]).where(own.c.id == of.c.exam_id).correlate(of)
    return column.scalar_subquery()


def is_in_other_exam() -> sa.ColumnElement[bool]:
    """Return the condition that another exam of the patient holds the bytes of a capture, too."""
    copy = capture.alias()
    counts = sa.and_(copy.c.excluded.is_(None), moved_files.counts(copy))
    return sa.exists().where(_is_copy(copy), counts)


def is_disowned() -> sa.ColumnElement[bool]:
    """Return the condition that a person has said that a capture's bytes are not the patient's.

    That was said of a copy in another exam of the patient, wherever its file is now.
    """
    copy, now = capture.alias(), capture.alias()
    is_excluded = copy.c.excluded == ExclusionReason.NOT_THIS_PATIENT
    is_elsewhere = sa.exists().where(
        now.c.id == copy.c.moved_to, now.c.exam_id.is_distinct_from(copy.c.exam_id)
    )
    holds = sa.or_(moved_files.counts(copy), is_elsewhere)
    return sa.exists().where(_is_copy(copy), is_excluded, holds)


def related(connection: sa.Connection, exam_ids: Collection[int]) -> set[int]:
    """Return the exams whose results depend on the captures of these exams.

    Whether they are final also depends on their patients' other exams of the day (`same_day`).
    """
    copy = capture.alias()
    copies = sa.select(copy.c.exam_id).select_from(copy.join(capture, _is_copy(copy)))
    claimant, now = exam.alias(), capture.alias()
    named = claimed_photographs.with_claimants(claimant)
    claimants = sa.select(claimant.c.id).select_from(named)
    of_these = capture.c.exam_id.in_(exam_ids)
    pairs = capture.join(now, now.c.id == capture.c.moved_to)
    moved_here = sa.select(capture.c.exam_id).select_from(pairs).where(now.c.exam_id.in_(exam_ids))
    moved_away = sa.select(now.c.exam_id).select_from(pairs).where(of_these)
    own, other = exam.alias(), exam.alias()
    of_number = sa.select(other.c.id).join(
        own, sa.and_(shared_numbers.is_same_number(other, own), other.c.id != own.c.id)
    )
    of_number = of_number.where(own.c.id.in_(joins.members(connection, exam_ids)))
    query = sa.union(
        copies.where(of_these), claimants.where(of_these), moved_here, moved_away, of_number
    )
    ids = set(connection.scalars(query)) - {None}
    return {*ids, *visits.followed(connection, ids).values()}


def _is_copy(copy: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(
        copy.c.digest == capture.c.digest,
        is_same_patient(
            Keys(patient_of(copy), number_of(copy)), Keys(patient_of(capture), number_of(capture))
        ),
        copy.c.exam_id != capture.c.exam_id,
    )
