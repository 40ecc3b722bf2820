"""Exams of one patient that hold the same bytes: no camera takes a photograph twice.

One of these files was exported again under the name of another visit, so which visit it belongs to
is uncertain until a person says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from fundusd.ledger.tables import capture

if TYPE_CHECKING:
    from collections.abc import Collection


def is_in_other_exam() -> sa.ColumnElement[bool]:
    """Return the condition that another exam of the patient holds the bytes of a capture, too."""
    copy = capture.alias()
    return sa.exists().where(_is_copy(copy), copy.c.excluded.is_(None), copy.c.moved_to.is_(None))


def exams_with_copies(connection: sa.Connection, exam_ids: Collection[int]) -> set[int]:
    """Return the other exams of the same patients that hold bytes of these exams."""
    copy = capture.alias()
    query = sa.select(copy.c.exam_id).join(capture, _is_copy(copy))
    return set(connection.scalars(query.where(capture.c.exam_id.in_(exam_ids)).distinct()))


def _is_copy(copy: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(
        copy.c.digest == capture.c.digest,
        copy.c.patient_key == capture.c.patient_key,
        copy.c.exam_id != capture.c.exam_id,
    )
