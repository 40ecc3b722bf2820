"""What humans say of an eye's result: each time a new row, never an edit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from fundusd.clinical.grading import Rule
from fundusd.domain.clinical_terms import Eye, Grade, Referable, ReviewReason, ReviewVerdict
from fundusd.domain.errors import RequestError
from fundusd.ledger import audit, exams
from fundusd.ledger.tables import release, review, storable

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam, EyeResult


_AUDITED = ("eye", "verdict", "grade", "referable", "reason", "reviewer", "role", "blinded")


@dataclass(frozen=True, slots=True)
class Said:
    """What a reader says of an eye; `shown` is the decisive capture that was looked at, None for the present one."""

    exam_id: int
    eye: Eye
    verdict: ReviewVerdict
    reviewer: str
    role: str
    grade: Grade | None = None
    reason: ReviewReason | None = None
    is_blinded: bool = False
    shown: int | None = None


def record(connection: sa.Connection, said: Said) -> Exam:
    """Write a review down, with the result it is about, and what the exam comes to since; raises RequestError."""
    eye = _shown(connection, said)
    grade, referable = _counts(connection, said, eye)
    row = {
        "exam_id": said.exam_id,
        "eye": said.eye,
        "capture_id": eye.decisive.capture_id,
        "release_id": eye.decisive.release_id,
        "model_outcome": eye.outcome,
        "model_grade": eye.grade,
        "model_referable": eye.referable,
        "verdict": said.verdict,
        "grade": grade,
        "referable": referable,
        "reason": said.reason,
        "reviewer": storable(said.reviewer),
        "role": storable(said.role),
        "blinded": said.is_blinded,
        "created_at": datetime.now(UTC),
    }
    review_id = connection.scalar(sa.insert(review).values(row).returning(review.c.id))
    exams.rejudge(connection, [said.exam_id])
    [after] = exams.read(connection, [said.exam_id])
    detail = {name: row[name] for name in _AUDITED} | {"review_id": review_id}
    seen = eye.decisive
    entry = audit.Entry(
        "review.recorded",
        "exam",
        said.exam_id,
        after.patient_key,
        seen.release_id,
        seen.digest,
        detail,
    )
    audit.append(connection, entry)
    return after


def _shown(connection: sa.Connection, said: Said) -> EyeResult:
    found = exams.read(connection, [said.exam_id])
    if not found:
        raise RequestError(
            f"There is no exam {said.exam_id}.", hint="fundusd review list names those that wait."
        )
    eye = next((one for one in found[0].eyes if one.eye is said.eye), None)
    if eye is None:
        there = ", ".join(one.eye for one in found[0].eyes) or "none"
        raise RequestError(
            f"Exam {said.exam_id} has no eye {said.eye} (it has: {there}).",
            hint="Name one that it has.",
        )
    if said.shown not in {None, eye.decisive.capture_id}:
        raise RequestError(
            f"The result of exam {said.exam_id}, eye {said.eye}, is another one by now.",
            hint="A new capture came in: look at it again, then review it.",
        )
    if (said.verdict is ReviewVerdict.OVERRIDE) != (said.grade is not None):
        raise RequestError(
            "An override names the right grade, and nothing else does.", hint="Use --grade 0 to 4."
        )
    if said.verdict is ReviewVerdict.OVERRIDE and said.reason is None:
        raise RequestError(
            "An override says why.", hint=f"Use --reason with one of: {', '.join(ReviewReason)}."
        )
    return eye


def _counts(
    connection: sa.Connection, said: Said, eye: EyeResult
) -> tuple[Grade | None, Referable]:
    """Return the grade and referral that count of the eye from now on."""
    match said.verdict:
        case ReviewVerdict.OVERRIDE if said.grade is not None:
            rules = sa.select(release.c.referable_rule).where(
                release.c.id == eye.decisive.release_id
            )
            least = Rule.parse(connection.execute(rules).scalar_one()).least
            return said.grade, Referable.YES if said.grade >= least else Referable.NO
        case ReviewVerdict.UNGRADABLE | ReviewVerdict.RETAKE:
            return None, Referable.INDETERMINATE
        case _:
            return eye.grade, eye.referable
