"""What results are called on paper: the trade's codes in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from fundusd.domain.clinical_terms import Action, Eye, Outcome, Reason, Referable, ReviewVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from fundusd.clinical.exam import Exam, EyeResult, Reading
    from fundusd.clinical.referral import Assessment
    from fundusd.domain.clinical_terms import Grade
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
    Action.CONTACT_IT: "Contact IT about the photograph of {eye}: the camera, the file or this service is at fault.",
}


def grade(one: Grade | None) -> str:
    """Name a grade with its number.

    >>> from fundusd.domain import Grade
    >>> grade(Grade.SEVERE)
    'Severe DR (ICDR grade 3)'
    """
    return "No grade" if one is None else f"{one.label} (ICDR grade {int(one)})"


def overruled(by_model: Assessment) -> str:
    """Say what the model said, where a human has said something else."""
    return f"The model said: {grade(by_model.grade)}, {VERDICTS[by_model.referable].lower()}."


def reason(one: Reason) -> str:
    """Say why there is no grade."""
    return one.wording


def quality(outcome: Outcome, why: Reason | None) -> str:
    """Say whether the photograph could be graded."""
    if outcome is Outcome.GRADED:
        return "Good enough to grade"
    kind = {Outcome.UNGRADABLE: "Ungradable", Outcome.REFUSED: "Not graded"}.get(outcome, "Failed")
    return f"{kind}: {reason(why)}" if why else kind


def day(one: date) -> str:
    """Write a date so that nobody takes the month for the day.

    >>> from datetime import date
    >>> day(date(2026, 11, 3))
    '3 November 2026'
    """
    return f"{one.day} {one:%B %Y}"


def patient(patient_id: str | None, patient_key: str | None) -> str:
    """Name a patient as the site allows: by the identifier, else by the start of the pseudonym."""
    return patient_id or (f"key {patient_key[:12]}" if patient_key else "not known")


def person(exam: Exam) -> str:
    """Say what the visit comes to for the person."""
    return _PERSON[exam.final.referable]


def standing(exam: Exam) -> str:
    """Say whether a human has confirmed it."""
    if exam.is_reviewed:
        return "A human has read every eye: see below."
    return "Preliminary: a human has not read every eye."


def read(one: Reading) -> str:
    """Say what a human said of an eye."""
    match one.verdict:
        case ReviewVerdict.AGREE:
            said = "agrees with the model"
        case ReviewVerdict.OVERRIDE:
            said = f"says {grade(one.grade)}, {VERDICTS[one.referable].lower()}"
        case ReviewVerdict.UNGRADABLE:
            said = "finds it ungradable"
        case ReviewVerdict.RETAKE:
            said = "asks for another photograph"
        case ReviewVerdict.DEFER:
            said = "has put it off"
        case _:
            assert_never(one.verdict)
    why = f" ({one.reason.replace('_', ' ')})" if one.reason else ""
    blinded = ", without seeing the model's result" if one.is_blinded else ""
    return f"{one.reviewer}, {one.role}, on {day(one.at.astimezone())}{blinded}: {said}{why}."


def whose_eye(capture_id: int, *, is_conflict: bool) -> str:
    """Say that somebody has to find out which eye it is."""
    why = "the sources disagree" if is_conflict else "neither the file nor its name says so"
    return f"Find out which eye capture {capture_id} shows: {why}."


def step(action: Action, eye: Eye) -> list[str]:
    """Say what an action asks for."""
    return [_ACTIONS[action].format(eye=_THE_EYE[eye])] if action in _ACTIONS else []


def steps_of_eye(eye: EyeResult) -> list[str]:
    """Say what to do next about an eye."""
    name = _THE_EYE[eye.eye]
    if eye.is_read and eye.reading is not None:
        return {
            ReviewVerdict.RETAKE: [f"Take the photograph of {name} again: the reader asks for it."],
            ReviewVerdict.UNGRADABLE: [
                f"Have {name} examined in another way: the reader cannot grade it either."
            ],
        }.get(eye.reading.verdict, [])
    is_conflict = any(shot.is_conflict for shot in eye.shots)
    steps = (
        [whose_eye(eye.decisive.capture_id, is_conflict=is_conflict)]
        if eye.eye is Eye.UNKNOWN
        else []
    )
    steps += step(eye.action, eye.eye)
    if eye.missing_fields:
        steps.append(f"Photograph the {' and the '.join(eye.missing_fields)} of {name}.")
    return steps


def steps(exam: Exam) -> list[str]:
    """Say what to do next about the person, the weightiest first."""
    is_referred = exam.final.referable is Referable.YES
    found = [REFER if exam.is_reviewed else READ_FIRST] if is_referred else []
    unless = (
        ", unless it is the eye that is not known"
        if any(one.eye is Eye.UNKNOWN for one in exam.eyes)
        else ""
    )
    found = [*found, *(step for eye in exam.eyes for step in steps_of_eye(eye))]
    found += [f"Photograph {_THE_EYE[eye]}{unless}." for eye in exam.missing]
    if not exam.is_reviewed and not is_referred:
        found.append("Have a human reader confirm the result before it counts.")
    return found or ["Nothing beyond the clinic's usual screening interval."]


def facts(exam: Exam) -> dict[str, str]:
    """Say whose visit it was, and when."""
    return {
        "Patient": patient(exam.patient_id, exam.patient_key),
        "Clinic day": day(exam.day),
        "Exam": str(exam.exam_id),
    }


def result(exam: Exam) -> dict[str, str]:
    """Say what it came to."""
    return {
        "Result": person(exam),
        "Worst grade": grade(exam.final.grade),
        "Standing": standing(exam),
        "Next": " ".join(steps(exam)),
    }


def warning(releases: Sequence[Release]) -> str | None:
    """Say so where a model other than MedSigLIP gave the scores."""
    others = sorted({one.model for one in releases} - {MEDSIGLIP})
    return f"The scores are not MedSigLIP's. Model: {'; '.join(others)}" if others else None


def provenance(release_id: int, one: Release) -> str:
    """Say what made the scores."""
    return (
        f"Release {release_id}: {one.model}, revision {one.revision[:12]}, prompts {one.prompt_set}, "
        f"{one.preprocessing}, referable by {one.referable_rule}, {one.dtype}, fundusd {one.program_version}."
    )
