"""Record reviews, which are graders' verdicts on the results for eyes.

Recorded reviews are never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.clinical.grading import ALWAYS_REFERABLE, Rule
from fundusd.domain.clinical_terms import (
    Eye,
    Grade,
    Referable,
    ReviewReason,
    ReviewVerdict,
)
from fundusd.domain.errors import RequestError
from fundusd.domain.readings import (
    FollowUpKind,
    Maculopathy,
    OtherLesion,
    Photocoagulation,
    ReadingPurpose,
)
from fundusd.ledger import audit, exam_queries, exam_reviews, exams, follow_ups, review_checks
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import picked
from fundusd.ledger.tables import release, review_photograph, storable
from fundusd.ledger.tables import review as review_table

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.ledger.transactions import Recording


_AUDITED = (
    *("eye", "verdict", "grade", "referable", "reason", "reviewer", "role", "blinded", "purpose"),
    *("photographs", "lesion", "maculopathy", "photocoagulation", "stable_treated"),
)
MARK_LENGTH = 8  # digits of the digest of a set of photographs, which identify it
_ASKS_FOR_MORE = (ReviewVerdict.RETAKE, ReviewVerdict.UNGRADABLE)


@dataclass(frozen=True, slots=True)
class Review:
    """A grader's verdict on an eye.

    `shown` is the decisive capture that the grader looked at. None means the current decisive
    capture. `follow_up` says what `ungradable` leads to; None means the slit lamp.
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
    purpose: ReadingPurpose = ReadingPurpose.ROUTINE
    lesion: OtherLesion | None = None
    maculopathy: Maculopathy | None = None
    photocoagulation: Photocoagulation | None = None
    is_stable_treated: bool = False
    photographs: str | None = None  # the digest of the set that was read, or its first digits
    is_seen_elsewhere: bool = False  # the reader has seen photographs that left the inbox
    is_without_lesion: bool = False  # a lesion that another reader has named is not there
    follow_up: FollowUpKind | None = None


def review(recording: Recording, given: Review) -> Exam:
    """Record a review, and return the updated exam.

    Raises RequestError if the review is incomplete or does not fit the exam.
    """
    connection = recording.connection
    exam, eye = _reviewed_eye(connection, given)
    review_checks.require_complete(given, eye)
    review_checks.require_entitled(connection, given, exam, eye)
    review_checks.require_fitting(given, eye)
    review_checks.require_seen(given, eye)
    review_checks.require_answers(given, eye)
    row = _row(connection, given, eye)
    inserted = sa.insert(review_table).values(row).returning(review_table.c.id)
    review_id: int = connection.execute(inserted).scalar_one()
    digests = {shot.digest for shot in eye.shots}  # it also follows those that nobody can see yet
    if digests:
        photographs = [{"review_id": review_id, "digest": digest} for digest in sorted(digests)]
        connection.execute(sa.insert(review_photograph), photographs)
    if given.purpose is not ReadingPurpose.QUALITY_ASSURANCE:
        _follow(recording, given, review_id)
    exams.rejudge(recording, {given.exam_id, *exam_reviews.exams_with(connection, digests)})
    [after] = exam_queries.judged(connection, [given.exam_id])
    detail = picked(row, _AUDITED) | {"review_id": review_id}
    if given.is_seen_elsewhere:
        detail["seen_elsewhere"] = True
    if given.is_without_lesion:
        detail["without_lesion"] = True
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


def _follow(recording: Recording, given: Review, review_id: int) -> None:
    """Open the follow-up that a review asks for, or close those that it settles.

    A follow-up is also opened if a reader takes back a grade, so that another reader's request for
    a retake counts again.
    """
    connection = recording.connection
    place = follow_ups.Place(given.exam_id, given.eye)
    [judged] = exam_queries.judged(connection, [given.exam_id], anew=True)
    [eye] = [result for result in judged.eyes if result.eye is given.eye]
    reading = eye.reading if eye.is_read else None
    has_follow_up = any(open_one.eye is given.eye for open_one in judged.follow_ups)
    if given.verdict in _ASKS_FOR_MORE:
        follow_ups.open_for(connection, place, _kind(given.verdict, given.follow_up), review_id)
    elif reading is not None and eye.final.referable is not Referable.INDETERMINATE:
        follow_ups.close_read(connection, place, given.reviewer)
    elif reading is not None and reading.verdict in _ASKS_FOR_MORE and not has_follow_up:
        follow_ups.open_for(connection, place, _kind(reading.verdict, None), reading.review_id)


def _kind(verdict: ReviewVerdict, asked: FollowUpKind | None) -> FollowUpKind:
    if verdict is ReviewVerdict.RETAKE:
        return FollowUpKind.RETAKE
    return asked or FollowUpKind.SLIT_LAMP


def _reviewed_eye(connection: sa.Connection, given: Review) -> tuple[Exam, EyeResult]:
    # by the settings as they are now, by which the exam is judged after the reading
    exams_read = exam_queries.judged(connection, [given.exam_id], anew=True)
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
    if given.photographs is not None and len(given.photographs) < MARK_LENGTH:
        raise RequestError(
            f"The mark of the photographs has at least {MARK_LENGTH} characters.",
            hint=f"fundusd report exam {given.exam_id} shows it beside the eye.",
        )
    if given.photographs and not eye.photographs.startswith(given.photographs.lower()):
        raise RequestError(
            f"Exam {given.exam_id}, eye {given.eye}, has other photographs by now.",
            hint=f"Look at fundusd report exam {given.exam_id} again, then record the review.",
        )
    if given.shown not in {None, *(shot.capture_id for shot in eye.shots)}:
        raise RequestError(
            f"Capture {given.shown} is not a photograph of exam {given.exam_id}, eye {given.eye}.",
            hint=f"Check the numbers: fundusd report exam {given.exam_id} names its photographs.",
        )
    if given.shown not in {None, eye.decisive.capture_id}:
        raise RequestError(
            f"The result of exam {given.exam_id}, eye {given.eye}, has changed.",
            hint="A new capture has arrived. Look at it, then review it.",
        )
    return exams_read[0], eye


def _row(connection: sa.Connection, given: Review, eye: EyeResult) -> dict[str, Any]:
    return {
        "exam_id": given.exam_id,
        "eye": given.eye,
        "capture_id": eye.decisive.capture_id,
        "release_id": eye.decisive.release_id,
        "model_outcome": eye.outcome,
        "model_grade": eye.grade,
        "model_referable": eye.referable,
        "verdict": given.verdict,
        "grade": review_checks.grade(given, eye),
        "referable": _referable(connection, given, eye),
        "reason": given.reason,
        "reviewer": storable(given.reviewer),
        "role": storable(given.role),
        "blinded": given.is_blinded,
        "purpose": given.purpose,
        "photographs": eye.photographs,
        "lesion": given.lesion,
        "maculopathy": given.maculopathy,
        "photocoagulation": given.photocoagulation,
        "stable_treated": given.is_stable_treated,
        "created_at": datetime.now(UTC),
    }


def _referable(connection: sa.Connection, given: Review, eye: EyeResult) -> Referable:
    """Return the referral of the eye according to a review.

    Another lesion and maculopathy are always referred.
    """
    has_more = given.lesion is not None or given.maculopathy is Maculopathy.PRESENT
    if has_more and given.verdict.is_settled:
        return Referable.YES
    match given.verdict:
        case ReviewVerdict.OVERRIDE if given.grade is not None:
            query = sa.select(release.c.referable_rule)
            query = query.where(release.c.id == eye.decisive.release_id)
            return Rule.parse(connection.execute(query).scalar_one()).of_grade(given.grade)
        case ReviewVerdict.AGREE if eye.grade is not None and eye.grade >= ALWAYS_REFERABLE:
            return Referable.YES
        case ReviewVerdict.UNGRADABLE | ReviewVerdict.RETAKE:
            return Referable.INDETERMINATE
        case _:
            return eye.referable
