"""Exams that people joined into others: those that are members of an exam."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from fundusd.ledger.tables import exam

if TYPE_CHECKING:
    from collections.abc import Collection


def members(connection: sa.Connection, exam_ids: Collection[int]) -> dict[int, int]:
    """Return, by exam, into which of these exams it was joined; each of them is its own member.

    An exam that was joined into another one has no members any more.
    """
    query = sa.select(exam.c.id).where(exam.c.id.in_(exam_ids), exam.c.joined_into.is_(None))
    into = {number: number for number in connection.scalars(query)}
    last = dict(into)
    while last:
        joined = sa.select(exam.c.id, exam.c.joined_into).where(exam.c.joined_into.in_(last))
        last = {number: last[at] for number, at in connection.execute(joined).all()}
        into |= last
    return into
