"""Refuse reviews that are incomplete, or do not fit the eye or the reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Grade, Referable, ReviewReason, ReviewVerdict
from fundusd.domain.errors import RequestError
from fundusd.domain.readings import Maculopathy, OtherLesion, ReadingPurpose, ReadingState
from fundusd.ledger import exam_reviews

if TYPE_CHECKING:
    import sqlalchemy as sa

    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.ledger.reviews import Review


def grade(given: Review, eye: EyeResult) -> Grade | None:
    """Return the grade of the eye according to a review."""
    match given.verdict:
        case ReviewVerdict.OVERRIDE:
            return given.grade
        case ReviewVerdict.UNGRADABLE | ReviewVerdict.RETAKE:
            return None
        case _:
            return eye.grade


def require_complete(given: Review, eye: EyeResult) -> None:
    """Raise RequestError if a review lacks something that its verdict needs."""
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
    is_graded = is_override or given.verdict is ReviewVerdict.AGREE
    if is_graded and not any(shot.shows_retina for shot in eye.shots):
        raise RequestError(
            "No photograph of this eye can be looked at, so it cannot be graded.",
            hint="Say retake or ungradable, or export the photographs again under new names.",
        )
    if given.lesion and given.is_without_lesion:
        raise RequestError(
            "A reading with a lesion cannot be one without.",
            hint="Leave out --lesion or --without-lesion.",
        )
    is_undecided = eye.referable is Referable.INDETERMINATE
    if given.verdict is ReviewVerdict.AGREE and is_undecided:
        raise RequestError(
            "There is nothing to agree with, because the model's result for this eye is undecided.",
            hint="Give a grade (override --grade --reason), or say ungradable or retake.",
        )


def require_seen(given: Review, eye: EyeResult) -> None:
    """Raise RequestError if an eye is graded of which a photograph is no longer in the inbox."""
    is_graded = given.verdict in {ReviewVerdict.AGREE, ReviewVerdict.OVERRIDE}
    if not is_graded or given.is_seen_elsewhere or not eye.gone:
        return
    numbers = ", ".join(str(shot.capture_id) for shot in eye.gone)
    raise RequestError(
        f"The files of these captures are no longer in the camera's folder: {numbers}.",
        hint="Put them back or, if you have looked at these photographs elsewhere, for example in "
        "the archive, add --seen-elsewhere.",
    )


def require_answers(given: Review, eye: EyeResult) -> None:
    """Raise RequestError if a reading would drop what another reader found without a word.

    An arbitration replaces the readings before it, and any reading replaces former ones. Neither
    the model nor whoever agrees with it looks for another lesion or for maculopathy.
    """
    is_arbitration = given.purpose is ReadingPurpose.ARBITRATION
    replaces = is_arbitration or eye.state is ReadingState.OUTDATED
    is_reading = given.verdict.is_settled and given.purpose is not ReadingPurpose.QUALITY_ASSURANCE
    if not replaces or not is_reading:
        return
    for reading in eye.readings.decisive:
        if reading.reviewer == given.reviewer:
            continue
        if reading.lesion and not (given.lesion or given.is_without_lesion):
            raise RequestError(
                f"{reading.reviewer} has found another lesion in this eye: "
                f"{reading.lesion.wording}.",
                hint="Say that you see it (--lesion), or that it is not there (--without-lesion).",
            )
        if reading.maculopathy is Maculopathy.PRESENT and given.maculopathy is None:
            raise RequestError(
                f"{reading.reviewer} has found maculopathy (M1) in this eye.",
                hint="Say what you see: --maculopathy M1 or M0.",
            )


def require_entitled(connection: sa.Connection, given: Review, exam: Exam, eye: EyeResult) -> None:
    """Raise RequestError if the reader may not read this eye for this purpose.

    A second reader and an arbiter must not have read it, or one of its photographs elsewhere, for
    another purpose before, even if they took that back. What an arbiter has decided, only an
    arbiter changes.
    """
    purposes = exam_reviews.purposes_of(connection, given.reviewer, exam, eye)
    is_independent = given.purpose in {ReadingPurpose.SECOND, ReadingPurpose.ARBITRATION}
    if is_independent and purposes - {given.purpose}:
        raise RequestError(
            f"{given.reviewer} has read this eye for another purpose, so another reader has to "
            "read it now.",
            hint="To replace your own reading, give the same --purpose as before.",
        )
    of_current = {reading.purpose for reading in eye.readings.current}
    is_subordinate = given.purpose in {ReadingPurpose.ROUTINE, ReadingPurpose.SECOND}
    if is_subordinate and ReadingPurpose.ARBITRATION in of_current:
        raise RequestError(
            "An arbiter has decided about this eye.",
            hint="Only a reader who may arbitrate changes that: --purpose arbitration.",
        )


def require_fitting(given: Review, eye: EyeResult) -> None:
    """Raise RequestError if the findings do not fit the verdict."""
    if given.reason is ReviewReason.NON_DR_PATHOLOGY and given.lesion is None:
        raise RequestError(
            "The reason non_dr_pathology needs the lesion that was seen.",
            hint=f"Use --lesion with one of: {', '.join(OtherLesion)}.",
        )
    if given.follow_up is not None and given.verdict is not ReviewVerdict.UNGRADABLE:
        raise RequestError(
            "Only an eye that is ungradable needs to be told what follows.",
            hint="Leave out --follow-up, or say ungradable. The verdict retake asks for a retake.",
        )
    says_nothing = given.verdict is ReviewVerdict.DEFER
    if says_nothing and (given.lesion or given.maculopathy or given.photocoagulation):
        raise RequestError(
            "A deferred reading says nothing about the eye.",
            hint="Leave out the findings, or choose another verdict.",
        )
    if given.is_stable_treated and grade(given, eye) is not Grade.PDR:
        raise RequestError(
            "Only proliferative retinopathy can be treated and stable (R3S).",
            hint="Override with --grade 4, or leave out --stable-treated.",
        )
