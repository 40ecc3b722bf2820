"""Record reviews, which are graders' verdicts on the results for eyes.

Recorded reviews are never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.clinical.grading import ALWAYS_REFERABLE, Rule
from fundusd.domain.clinical_terms import Eye, Grade, Referable, ReviewReason, ReviewVerdict
from fundusd.domain.errors import RequestError
from fundusd.ledger import audit, exam_queries, exams
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import picked
from fundusd.ledger.tables import release, storable
from fundusd.ledger.tables import review as review_table

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam, EyeResult
    from fundusd.ledger.transactions import Recording


_AUDITED = ("eye", "verdict", "grade", "referable", "reason", "reviewer", "role", "blinded")


@dataclass(frozen=True, slots=True)
class Review:
    """A grader's verdict on an eye.

    `shown` is the decisive capture that the grader looked at. None means the current decisive
    capture.
    """

    exam_id: int
    eye: Eye
    verdict: ReviewVerdict
    reviewer: str
    role: str
    grade: Grade | None = None
    reason: ReviewReason | None = None
    is_blinded: bool = False
    shown: int | None = None


def review(recording: Recording, given: Review) -> Exam:
    """Record a review, and return the updated exam.

    Raises RequestError if the review is incomplete or does not fit the exam.
    """
    connection = recording.connection
    eye = _reviewed_eye(connection, given)
    _require_override_complete(given)
    row = _row(connection, given, eye)
    inserted = sa.insert(review_table).values(row).returning(review_table.c.id)
    review_id = connection.scalar(inserted)
    exams.rejudge(recording, [given.exam_id])
    [after] = exam_queries.judged(connection, [given.exam_id])
    detail = picked(row, _AUDITED) | {"review_id": review_id}
    entry = audit.Entry(
        AuditEvent.REVIEW_RECORDED,
        "exam",
        given.exam_id,
        after.patient_key,
        eye.decisive.release_id,
        eye.decisive.digest,
        detail,
    )
    audit.append(connection, entry)
    return after


def _reviewed_eye(connection: sa.Connection, given: Review) -> EyeResult:
    exams_read = exam_queries.judged(connection, [given.exam_id])
    if not exams_read:
        raise RequestError(
            f"There is no exam {given.exam_id}.",
            hint="fundusd review list shows the exams that are waiting for a review.",
        )
    eyes = {eye.eye: eye for eye in exams_read[0].eyes}
    if given.eye not in eyes:
        raise RequestError(
            f"Exam {given.exam_id} has no result for eye {given.eye}.",
            hint=f"Eyes of this exam with a result: {', '.join(eyes) or 'none'}.",
        )
    eye = eyes[given.eye]
    if given.shown not in {None, eye.decisive.capture_id}:
        raise RequestError(
            f"The result of exam {given.exam_id}, eye {given.eye}, has changed.",
            hint="A new capture has arrived. Look at it, then review it.",
        )
    return eye


def _require_override_complete(given: Review) -> None:
    is_override = given.verdict is ReviewVerdict.OVERRIDE
    if is_override != (given.grade is not None):
        raise RequestError(
            "An override needs the right grade, and no other verdict takes one.",
            hint="Use --grade 0 to 4.",
        )
    if is_override and given.reason is None:
        raise RequestError(
            "An override needs a reason.",
            hint=f"Use --reason with one of: {', '.join(ReviewReason)}.",
        )


def _row(connection: sa.Connection, given: Review, eye: EyeResult) -> dict[str, Any]:
    grade, referable = _final(connection, given, eye)
    return {
        "exam_id": given.exam_id,
        "eye": given.eye,
        "capture_id": eye.decisive.capture_id,
        "release_id": eye.decisive.release_id,
        "model_outcome": eye.outcome,
        "model_grade": eye.grade,
        "model_referable": eye.referable,
        "verdict": given.verdict,
        "grade": grade,
        "referable": referable,
        "reason": given.reason,
        "reviewer": storable(given.reviewer),
        "role": storable(given.role),
        "blinded": given.is_blinded,
        "created_at": datetime.now(UTC),
    }


def _final(
    connection: sa.Connection, given: Review, eye: EyeResult
) -> tuple[Grade | None, Referable]:
    """Return the final grade and referral decision after a review."""
    match given.verdict:
        case ReviewVerdict.OVERRIDE if given.grade is not None:
            query = sa.select(release.c.referable_rule)
            query = query.where(release.c.id == eye.decisive.release_id)
            rule = Rule.parse(connection.execute(query).scalar_one())
            return given.grade, rule.of_grade(given.grade)
        case ReviewVerdict.AGREE if eye.grade is not None and eye.grade >= ALWAYS_REFERABLE:
            return eye.grade, Referable.YES
        case ReviewVerdict.UNGRADABLE | ReviewVerdict.RETAKE:
            return None, Referable.INDETERMINATE
        case _:
            return eye.grade, eye.referable
