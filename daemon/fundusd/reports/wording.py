"""Results in plain words, as pages and the terminal show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from fundusd.clinical.grading import unsafe_rules
from fundusd.domain.capture_warnings import in_words
from fundusd.domain.clinical_terms import Action, Eye, Outcome, Reason, Referable, ReviewVerdict
from fundusd.domain.exams import DayDoubt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from fundusd.clinical.exam import Exam, EyeResult
    from fundusd.clinical.reading import Reading
    from fundusd.clinical.referral import Assessment
    from fundusd.domain.clinical_terms import Grade
    from fundusd.domain.eye_reasons import EyeReason
    from fundusd.domain.inference import Release

MEDSIGLIP = "google/medsiglip-448"
REFER = "Refer to an eye specialist."
READ_FIRST = "Have a human reader look at it; if the reader agrees, refer to an eye specialist."

EYES = {Eye.RIGHT: "Right eye (OD)", Eye.LEFT: "Left eye (OS)", Eye.UNKNOWN: "Eye not known"}
_THE_EYE = {Eye.RIGHT: "the right eye", Eye.LEFT: "the left eye", Eye.UNKNOWN: "that eye"}
VERDICTS = {
    Referable.YES: "Referable",
    Referable.NO: "Not referable",
    Referable.INDETERMINATE: "Undecided",
}
_PERSON = {
    Referable.YES: "Referable diabetic retinopathy",
    Referable.NO: "No referable diabetic retinopathy",
    Referable.INDETERMINATE: "Undecided: referable diabetic retinopathy is not ruled out",
}
_ACTIONS = {
    Action.RETAKE: "Take the photograph of {eye} again while the patient is still there.",
    Action.REFER_READER: "Have a reader look at the photograph of {eye}.",
    Action.CONTACT_IT: (
        "Contact IT about the photograph of {eye}: "
        "the camera, the file or this service is at fault."
    ),
}


def grade_name(grade: Grade | None) -> str:
    """Return the name of a grade with its number.

    >>> from fundusd.domain.clinical_terms import Grade
    >>> grade_name(Grade.SEVERE)
    'Severe DR (ICDR grade 3)'
    """
    if grade is None:
        return "No grade"
    return f"{grade.label} (ICDR grade {int(grade)})"


def overruled(by_model: Assessment) -> str:
    """Return a sentence that states the model's result, which a reader overruled."""
    return f"The model said: {grade_name(by_model.grade)}, {VERDICTS[by_model.referable].lower()}."


def reason(code: Reason) -> str:
    """Return a reason in the words that staff read."""
    return code.wording


def quality(outcome: Outcome, why: Reason | EyeReason | None) -> str:
    """Return a phrase that says whether a photograph could be graded and, if not, why."""
    if outcome is Outcome.GRADED:
        if why is not None:
            return f"Graded, but not enough for a result: {why.wording}"
        return "Good enough to grade"
    kind = {Outcome.UNGRADABLE: "Ungradable", Outcome.REFUSED: "Not graded"}.get(outcome, "Failed")
    if why is None:
        return kind
    return f"{kind}: {why.wording}"


def day(when: date) -> str:
    """Return a date with the month as a word, so that the month and the day cannot be confused.

    >>> from datetime import date
    >>> day(date(2026, 11, 3))
    '3 November 2026'
    """
    return f"{when.day} {when:%B %Y}"


def patient(patient_id: str | None, patient_key: str | None) -> str:
    """Return the patient's identifier or, if there is none, the beginning of the pseudonym.

    If there is neither, return "not known".
    """
    if patient_id:
        return patient_id
    if patient_key:
        return f"key {patient_key[:12]}"
    return "not known"


def person(exam: Exam) -> str:
    """Return the person's result in words."""
    return _PERSON[exam.final.referable]


def standing(exam: Exam) -> str:
    """Return a sentence that says whether a human has read every eye."""
    if exam.is_reviewed:
        return "A human has read every eye: see below."
    return "Preliminary: a human has not read every eye."


def reading_result(reading: Reading) -> str:
    """Return a sentence that says who read an eye, when, and with what result."""
    blinded = why = ""
    if reading.is_blinded:
        blinded = ", without seeing the model's result"
    if reading.reason:
        why = f" ({reading.reason.replace('_', ' ')})"
    when = day(reading.at.astimezone())
    return f"{reading.reviewer}, {reading.role}, on {when}{blinded}: {_verdict(reading)}{why}."


def _verdict(reading: Reading) -> str:
    match reading.verdict:
        case ReviewVerdict.AGREE:
            return "agrees with the model"
        case ReviewVerdict.OVERRIDE:
            return f"says {grade_name(reading.grade)}, {VERDICTS[reading.referable].lower()}"
        case ReviewVerdict.UNGRADABLE:
            return "finds it ungradable"
        case ReviewVerdict.RETAKE:
            return "asks for another photograph"
        case ReviewVerdict.DEFER:
            return "has put it off"
        case _:
            assert_never(reading.verdict)


def whose_eye(capture_id: int, *, is_conflict: bool) -> str:
    """Return an instruction to find out which eye a capture shows."""
    why = "neither the file nor its name says which"
    if is_conflict:
        why = "the sources disagree"
    return f"Find out which eye capture {capture_id} shows: {why}."


def step(action: Action, eye: Eye) -> list[str]:
    """Return a list with the step that an action requires; it is empty if no step is required."""
    if action not in _ACTIONS:
        return []
    return [_ACTIONS[action].format(eye=_THE_EYE[eye])]


def steps_of_eye(eye: EyeResult) -> list[str]:
    """Return the next steps for an eye."""
    name = _THE_EYE[eye.eye]
    if eye.is_read and eye.reading is not None:
        return _steps_of_reading(eye.reading, name)
    steps = []
    if eye.eye is Eye.UNKNOWN:
        is_conflict = any(shot.is_conflict for shot in eye.shots)
        steps.append(whose_eye(eye.decisive.capture_id, is_conflict=is_conflict))
    steps += step(eye.action, eye.eye)
    if eye.missing_fields:
        steps.append(f"Photograph the {' and the '.join(eye.missing_fields)} of {name}.")
    return steps


def warnings_of_row(row: Mapping[str, Any]) -> list[str]:
    """Return the warnings of a capture, given its row of v_result, as sentences."""
    texts = in_words((row["warnings"] or "").split(", "))
    return [f"{text[0].upper()}{text[1:]}." for text in texts]


def warnings_of_eye(eye: EyeResult) -> list[str]:
    """Return the warnings of an eye's captures as sentences, each with the captures it concerns."""
    codes: set[str] = set()
    for shot in eye.shots:
        codes.update(shot.warnings)
    sentences: list[str] = []
    for text in in_words(codes):
        numbers = [str(shot.capture_id) for shot in eye.shots if text in in_words(shot.warnings)]
        noun = "Capture" if len(numbers) == 1 else "Captures"
        sentences.append(f"{noun} {', '.join(numbers)}: {text}.")
    return sentences


def warnings_of_exam(exam: Exam) -> str:
    """Return the most important warnings of an exam's eyes, for a page without room for all.

    Return "" if there are no warnings.
    """
    sentences: list[str] = []
    for eye in exam.eyes:
        sentences += [f"{EYES[eye.eye]}: {text}" for text in warnings_of_eye(eye)[:1]]
    others = sum(len(warnings_of_eye(eye)) for eye in exam.eyes) - len(sentences)
    if others:
        sentences.append(f"Other warnings: {others}; see fundusd report exam.")
    return " ".join(sentences)


def _steps_of_reading(reading: Reading, name: str) -> list[str]:
    if reading.verdict is ReviewVerdict.RETAKE:
        return [f"Take the photograph of {name} again: the reader asks for it."]
    if reading.verdict is ReviewVerdict.UNGRADABLE:
        return [f"Have {name} examined in another way: the reader cannot grade it either."]
    return []


def steps(exam: Exam) -> list[str]:
    """Return the next steps for the person, with the most important one first."""
    is_referred = exam.final.referable is Referable.YES
    todo = []
    if is_referred:
        todo.append(_referral(is_reviewed=exam.is_reviewed))
    unless = ""
    for eye in exam.eyes:
        todo += steps_of_eye(eye)
        if eye.eye is Eye.UNKNOWN:
            unless = ", unless it is the eye that is not known"
    todo += [f"Photograph {_THE_EYE[eye]}{unless}." for eye in exam.missing]
    if not exam.is_reviewed and not is_referred:
        todo.append("Have a human reader confirm the result before it counts.")
    if not todo:
        todo.append("Nothing beyond the clinic's usual screening interval.")
    return todo


def _referral(*, is_reviewed: bool) -> str:
    if is_reviewed:
        return REFER
    return READ_FIRST


def facts(exam: Exam) -> dict[str, str]:
    """Return the patient, day and number of an exam, keyed by caption."""
    return {
        "Patient": patient(exam.patient_id, exam.patient_key),
        "Clinic day": _day_of_visit(exam),
        "Exam": str(exam.exam_id),
    }


def _day_of_visit(exam: Exam) -> str:
    if exam.day_doubt is DayDoubt.NONE:
        return day(exam.day)
    return f"{day(exam.day)} ({exam.day_doubt.wording})"


def result(exam: Exam) -> dict[str, str]:
    """Return the result of an exam and the next steps, keyed by caption."""
    return {
        "Result": person(exam),
        "Worst grade": grade_name(exam.final.grade),
        "Status": standing(exam),
        "Next": " ".join(steps(exam)),
    }


def warning(releases: Sequence[Release]) -> str | None:
    """Return a warning about unsafe rules, and models other than MedSigLIP, otherwise None."""
    sentences = []
    if rule_warning := unsafe_rules(release.referable_rule for release in releases):
        sentences.append(rule_warning)
    others = sorted({release.model for release in releases} - {MEDSIGLIP})
    if others:
        sentences.append(f"The scores are not MedSigLIP's. Model: {'; '.join(others)}")
    return " ".join(sentences) or None


def provenance(release_id: int, release: Release) -> str:
    """Return a sentence that names the model and the settings of a release."""
    return (
        f"Release {release_id}: {release.model}, revision {release.revision[:12]}, "
        f"prompts {release.prompt_set}, {release.preprocessing}, "
        f"referable by {release.referable_rule}, {release.dtype}, "
        f"fundusd {release.program_version}."
    )
