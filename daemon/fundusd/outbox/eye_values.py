"""What documents say about an eye: its grades, why it has none, and the photographs' warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from fundusd.domain import capture_warnings
from fundusd.domain.clinical_terms import Action, Grade, Referable, ReviewVerdict
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import AbsenceReason, ReadingState
from fundusd.outbox import codes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.clinical.exam import Absence, Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.reading import Reading
    from fundusd.domain.clinical_terms import Reason
    from fundusd.outbox.codes import Code

_NO_GRADE = {ReviewVerdict.UNGRADABLE, ReviewVerdict.RETAKE}


def model_grade(eye: EyeResult) -> Grade | None:
    """Return the model's grade of an eye, or None if the model has not decided about it."""
    if eye.referable is Referable.INDETERMINATE:
        return None
    return eye.grade


def reading(eye: EyeResult) -> Reading | None:
    """Return the reading that documents state: the most severe one, or the one that defers the eye.

    A former reading is stated only if it refers the eye.
    """
    deciding = eye.readings.deciding
    is_former = eye.state is ReadingState.OUTDATED
    if is_former and deciding is not None and deciding.referable is not Referable.YES:
        return None
    return deciding


def stated_readings(eye: EyeResult) -> list[Reading]:
    """Return the reading that documents state, and those that refer the eye as it does."""
    first = reading(eye)
    if first is None:
        return []
    others = [each for each in eye.readings.decisive if each.referable is first.referable]
    return [first, *(each for each in others if each is not first)]


def reader_grade(eye: EyeResult) -> Grade | None:
    """Return a reader's grade of an eye, or None if no reader has decided about it.

    "No DR" is not stated as long as readers differ, the eye has to be read again or is said to be
    absent, or it is not certain whose eye, or which one, was photographed. Of an earlier reading,
    which is of other photographs, only a grade that refers the eye is stated.
    """
    if eye.state is ReadingState.UNREAD or eye.final.referable is Referable.INDETERMINATE:
        return None
    grade = eye.final.grade
    if eye.state is ReadingState.OUTDATED:
        stated = reading(eye)
        is_referred = stated is not None and stated.is_for_retinopathy
        grade = stated.grade if stated is not None and is_referred else None
    is_open = not eye.is_read or eye.is_absent or eye.identity_doubt is not None
    return None if grade is Grade.NO_DR and is_open else grade


def final_grade(eye: EyeResult) -> Grade | None:
    """Return the grade of an eye after its readings, or None if nobody has decided about it."""
    if eye.final.referable is Referable.INDETERMINATE:
        return None
    return eye.final.grade


def is_withheld(eye: EyeResult) -> bool:
    """Return whether documents keep back what the model says for a negative result of an eye.

    Nobody has decided about the eye, or it is said to be absent.
    """
    referable = eye.final.referable
    is_undecided = referable is Referable.INDETERMINATE
    return is_undecided or (eye.is_absent and referable is Referable.NO)


def scores(eye: EyeResult) -> tuple[float, ...]:
    """Return the scores that documents state; those of an undecided eye would be its result."""
    if is_withheld(eye) or model_grade(eye) is None:
        return ()
    return eye.decisive.scores or ()


def model_referable(eye: EyeResult) -> Referable | None:
    """Return whether the model refers an eye, or None if that must not be stated."""
    if is_withheld(eye) and eye.referable is Referable.NO:
        return None
    return eye.referable


def absence(stated: Absence) -> str:
    """Return why an eye is not judged and until when, after the name of the eye.

    >>> from fundusd.clinical.exam import Absence
    >>> from fundusd.domain.clinical_terms import Eye
    >>> from datetime import date
    >>> absence(Absence(Eye.LEFT, AbsenceReason.NO_VIEW, date(2026, 12, 31)))
    'left eye (OS): not judged: no view, until 31 December 2026'
    """
    name = codes.NAMES[stated.eye]
    last = "" if stated.until is None else f", until {stated.until.day} {stated.until:%B %Y}"
    if stated.reason is AbsenceReason.PROSTHESIS:
        return f"{name}: absent: prosthesis{last}"
    return f"{name}: not judged: {stated.reason.replace('_', ' ')}{last}"


def why_not_final(eye: EyeResult) -> str | None:
    """Return why an eye that has been read keeps its exam from being final, or None."""
    if eye.identity_doubt is not None:
        return eye.identity_doubt.wording
    if eye.final.referable is not Referable.INDETERMINATE:
        return None
    return _lower(_because(eye, eye.open_reason or eye.reason))


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
        codes_of_eye += shot.open_warnings
    return capture_warnings.in_words(codes_of_eye)


def remarks(exam: Exam, eye: EyeResult) -> list[str]:
    """Return why an eye is said to be absent, if it is, and the warnings about its photographs."""
    absences = [
        f"A person has said: {absence(stated)}."
        for stated in exam.absences
        if stated.eye is eye.eye
    ]
    return [*absences, *warnings(eye)]


def why_ungraded(eye: EyeResult) -> str:
    """Return why documents state no grade for an eye."""
    if eye.is_read and eye.reading is not None and eye.reading.verdict in _NO_GRADE:
        verdict = codes.private_code(eye.reading.verdict)
        return f"Not gradable according to the reader: {verdict.meaning.lower()}"
    return _because(eye, eye.open_reason or eye.identity_doubt or eye.reason)


def why_not_by_model(eye: EyeResult) -> str:
    """Return why the model has stated no grade for an eye, whatever readers have said since."""
    return _because(eye, eye.reason)


def _because(eye: EyeResult, reason: Reason | EyeReason | None) -> str:
    if reason is None:
        return codes.private_code(eye.outcome).meaning
    if reason is EyeReason.FIELD_MISSING:
        fields = " and ".join(eye.missing_fields)
        return f"The {fields} of this eye {_WERE[len(eye.missing_fields) > 1]} not photographed"
    return f"{reason.wording[0].upper()}{reason.wording[1:]}"


def in_words(eye: EyeResult) -> str:
    """Return the result of an eye in words that say whether it is the model's or a reader's."""
    grade = final_grade(eye)
    what = f"no grade, {_lower(why_ungraded(eye))}"
    if grade is not None:
        what = codes.SEVERITY[grade].meaning
    findings = dict.fromkeys(text for each in eye.readings.decisive for text in each.findings)
    what = ", ".join([what, *findings])
    is_field_missing = grade is None and eye.open_reason is EyeReason.FIELD_MISSING
    match eye.state:
        case ReadingState.READ if is_field_missing:
            return f"{what} (a person has read what was photographed)"
        case ReadingState.READ:
            return f"{what} (read by a person)"
        case ReadingState.DISPUTED:
            return f"{what} (readers differ, and the most severe reading counts until one decides)"
        case ReadingState.OUTDATED if eye.final.referable is Referable.INDETERMINATE:
            return f"{what} (to be read again)"
        case ReadingState.OUTDATED:
            return f"{what} ({_OF_FORMER[_is_of_reader(eye)]}; to be read again)"
        case ReadingState.UNREAD:
            who = "" if grade is None else "the model suggests "
            return f"{who}{what} (not read by a person){_to_do(eye)}"
        case _:
            assert_never(eye.state)


_WERE = {False: "was", True: "were"}
_OF_FORMER = {
    True: "according to an earlier reading, of other photographs or another result",
    False: "according to the model",
}


def _is_of_reader(eye: EyeResult) -> bool:
    """Return whether the final result of an eye is a reader's."""
    stated = reading(eye)
    return stated is not None and stated.grade == eye.final.grade


def _to_do(eye: EyeResult) -> str:
    if eye.action is Action.NONE:
        return ""
    return f"; {_lower(codes.private_code(eye.action).meaning)}"


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
