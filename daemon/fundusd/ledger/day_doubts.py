"""Store whether the days of exams are in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.clinical import visit
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.exams import DayDoubt
from fundusd.ledger.tables import capture, exam

if TYPE_CHECKING:
    from collections.abc import Sequence


def update(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Store whether the days of exams are doubtful, according to the exams' current captures."""
    query = (
        sa.select(*exam.c["id", "day", "day_doubt"], capture.c.acquired_day, capture.c.warnings)
        .join(capture, capture.c.exam_id == exam.c.id)
        .where(exam.c.id.in_(ids), capture.c.superseded.is_(False), capture.c.excluded.is_(None))
    )
    stored: dict[int, str] = {}
    doubts: dict[int, set[DayDoubt]] = {}
    for row in connection.execute(query):
        stored[row.id] = row.day_doubt
        doubts.setdefault(row.id, set()).add(_doubt(row))
    changed = []
    for number, of_exam in doubts.items():
        doubt = visit.doubt_of_day(of_exam)
        if doubt != stored[number]:
            changed.append({"at_id": number, "day_doubt": doubt})
    if changed:
        connection.execute(sa.update(exam).where(exam.c.id == sa.bindparam("at_id")), changed)


def _doubt(row: Any) -> DayDoubt:
    """Return the doubt about the day of an exam, given one of its captures."""
    if row.acquired_day is None:
        return DayDoubt.RECEIVED
    if CaptureWarning.CLOCK_SKEW in orjson.loads(row.warnings or "[]"):
        return DayDoubt.CLOCK_SKEW
    # a photograph of another day, which a person has put here, says nothing of this one
    return DayDoubt.NONE if row.acquired_day == row.day else DayDoubt.RECEIVED
