"""What documents say about an eye: its grades, why it has none, and the photographs' warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain import capture_warnings
from fundusd.domain.clinical_terms import Action, Referable, ReviewVerdict
from fundusd.domain.eye_reasons import EyeReason
from fundusd.outbox import codes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.clinical.exam import EyeResult
    from fundusd.clinical.reading import Reading
    from fundusd.domain.clinical_terms import Grade
    from fundusd.outbox.codes import Code

_NO_GRADE = {ReviewVerdict.UNGRADABLE, ReviewVerdict.RETAKE}


def model_grade(eye: EyeResult) -> Grade | None:
    """Return the model's grade of an eye, or None if the model has not decided about it."""
    if eye.referable is Referable.INDETERMINATE:
        return None
    return eye.grade


def reader_grade(eye: EyeResult) -> Grade | None:
    """Return a reader's grade of an eye, or None if no reader has decided about it."""
    if not eye.is_read or eye.final.referable is Referable.INDETERMINATE:
        return None
    return eye.final.grade


def final_grade(eye: EyeResult) -> Grade | None:
    """Return the grade of an eye after its readings, or None if nobody has decided about it."""
    if eye.final.referable is Referable.INDETERMINATE:
        return None
    return eye.final.grade


def of_reading(reading: Reading) -> Iterator[tuple[Code, Code]]:
    """Yield what a reader found besides the grade, as pairs of a question and an answer."""
    yield codes.VERDICT, codes.private_code(reading.verdict)
    yield codes.READER_REFERABLE, codes.private_code(reading.referable)
    if reading.reason:
        yield codes.DISAGREES, codes.private_code(reading.reason)
    if reading.lesion is not None:
        yield codes.LESION, codes.private_code(reading.lesion)
    if reading.maculopathy is not None:
        yield codes.MACULOPATHY, codes.private_code(reading.maculopathy)
    if reading.photocoagulation is not None:
        yield codes.PHOTOCOAGULATION, codes.private_code(reading.photocoagulation)
    if reading.is_stable_treated:
        yield codes.STABLE_TREATED, codes.private_code("yes")


def warnings(eye: EyeResult) -> list[str]:
    """Return the warnings about the photographs of an eye that concern its reader, in words."""
    codes_of_eye: list[str] = []
    for shot in eye.shots:
        codes_of_eye += shot.warnings
    return capture_warnings.in_words(codes_of_eye)


def why_ungraded(eye: EyeResult) -> str:
    """Return why documents state no grade for an eye."""
    if eye.is_read and eye.reading is not None and eye.reading.verdict in _NO_GRADE:
        verdict = codes.private_code(eye.reading.verdict)
        return f"Not gradable according to the reader: {verdict.meaning.lower()}"
    reason = eye.open_reason or eye.reason
    if reason is None:
        return codes.private_code(eye.outcome).meaning
    if reason is EyeReason.FIELD_MISSING:
        return f"Not photographed: {', '.join(eye.missing_fields)}"
    return f"{reason.wording[0].upper()}{reason.wording[1:]}"


def in_words(eye: EyeResult) -> str:
    """Return the result of an eye in words that say whether it is the model's or a reader's."""
    grade = final_grade(eye)
    if eye.is_read:
        if grade is None:
            return f"no grade, {why_ungraded(eye).lower()} (read by a person)"
        return f"{codes.SEVERITY[grade].meaning} (read by a person)"
    action = ""
    if eye.action is not Action.NONE:
        action = f"; {codes.private_code(eye.action).meaning.lower()}"
    if grade is None:
        return f"no grade, {why_ungraded(eye).lower()} (not read by a person){action}"
    return f"the model suggests {codes.SEVERITY[grade].meaning} (not read by a person){action}"
