"""The exams to which the rows of a table belong, as they are judged now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain.errors import LedgerForbidden

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundusd.cli.output import Row
    from fundusd.clinical.exam import Exam
    from fundusd.ledger import Ledger

_SLICE = 500  # exams in one query


def exams_of(ledger: Ledger, rows: Iterable[Row]) -> list[Exam] | None:
    """Return the exams that rows name, ordered by number, or None if this role may not read them.

    A role of PostgreSQL may be allowed to read the views only, or every table but a new one.
    """
    ids = sorted({row["exam_id"] for row in rows if row["exam_id"] is not None})
    exams: list[Exam] = []
    try:
        for start in range(0, len(ids), _SLICE):
            exams += ledger.judged_exams(ids[start : start + _SLICE])
    except LedgerForbidden:
        return None
    return exams
