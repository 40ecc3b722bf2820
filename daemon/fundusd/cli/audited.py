"""Record in the audit trail what a command shows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fundusd.domain.errors import LedgerForbidden, LedgerReadOnly

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.ledger import Ledger

NOT_WRITABLE = (LedgerForbidden, LedgerReadOnly)
AS_THE_SERVICE = "Run the command as the user that fundusd runs as: sudo -u fundusd fundusd …"
_NOT_RECORDED = (
    "The audit trail does not record that exam {exam} was shown, because this user may not write"
    " the database. To have it recorded, run the command as the user that fundusd runs as."
)


def record_shown(ledger: Ledger, exam: Exam, *, to_file: bool) -> None:
    """Record that an exam is shown or, if `to_file` is true, written to a file.

    A user who may only read the database sees the exam nevertheless, and is warned that this is not
    recorded. Raises LedgerForbidden if such a user wants a file.
    """
    try:
        ledger.shown(exam, exported=to_file)
    except NOT_WRITABLE:
        if to_file:
            raise LedgerForbidden(
                f"Exam {exam.exam_id} is written to a file only if the audit trail records it,"
                " and this user may not write the database.",
                hint=AS_THE_SERVICE,
            ) from None
        print_not_recorded(exam.exam_id)


def print_not_recorded(exam_id: int) -> None:
    """Say that an exam is shown without a record."""
    print(_NOT_RECORDED.format(exam=exam_id), file=sys.stderr)
