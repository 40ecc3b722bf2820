"""The next steps for a photograph, an eye and a person, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.clinical.eye_result import FOLLOWED_UP
from fundusd.domain.clinical_terms import Action, Eye, Outcome, Reason, Referable
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import AbsenceReason, FollowUpKind, ReadingState
from fundusd.reports import photograph_words
from fundusd.reports.wording import THE_EYE, day, referred

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.clinical.exam import Exam, FollowUp
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.shot import Shot

REFER = "Refer to an eye specialist."
READ_FIRST = "Have a human reader look at it; if the reader agrees, refer to an eye specialist."

_WHOSE = "Find out whose photographs these are ({files})."
_STILL_MISSING = "When that is known, photograph the eye that is still missing."
_ABSENT_BUT_SEEN = "Check which eye this is: {eye} is said to be absent, but was photographed."
_IF_RETAKEN = (
    "If a later photograph shows the same part of the eye, exclude capture {capture} as retaken."
)
_OTHER_EXAM = "Look at exam {number}, too: it is of the same patient and day."
_CLAIM = (
    "Find out whose photograph capture {capture} of exam {exam} is: "
    "its file or its name names this patient, too."
)
_REFER_UNLESS = "Refer to an eye specialist, unless a reader decides otherwise."
_FOLLOW_UPS = {
    FollowUpKind.RETAKE: "Take the photograph of {eye} again",
    FollowUpKind.SLIT_LAMP: "Have {eye} examined at the slit lamp",
    FollowUpKind.REFERRAL: "Have {eye} seen by an eye specialist",
}
_TAKEN_SINCE = (
    "Check whether {eye} has been photographed again since a reader asked for it; "
    "if so, close follow-up {number}."
)
_ACTIONS = {
    Action.RETAKE: "Take the photograph of {eye} again while the patient is still there.",
    Action.REFER_READER: "Have a reader look at the photograph of {eye}.",
    Action.CONTACT_IT: (
        "Contact IT about the photograph of {eye}: "
        "the camera, the file or this service is at fault."
    ),
}
_STEPS = {
    EyeReason.EYE_CONTRADICTED: "Find out which eye {captures} shows",
    EyeReason.PATIENT_UNCERTAIN: "Find out whose photograph {captures} is",
    EyeReason.DAY_UNCERTAIN: "Find out when {captures} was taken",
    EyeReason.OVERWRITTEN: "Export {captures} again under a new name, or exclude it as retaken",
    EyeReason.READING_OUTDATED: "Have a reader read {eye} again",
    EyeReason.READINGS_DIFFER: "Have another reader decide about {eye}",
    EyeReason.READER_ASKS_RETAKE: "Take the photograph of {eye} again",
    EyeReason.READER_UNGRADABLE: "Have {eye} examined in another way",
}
_HOW_TO_SAY = {
    EyeReason.PATIENT_UNCERTAIN: (
        "then say it with fundusd correct belongs, belongs --other-patient, join or exclude"
    ),
}
_ABOUT_THE_EYE = {EyeReason.EYE_CONTRADICTED, EyeReason.EYE_UNKNOWN}


def which_eye(captures: Sequence[int], *, is_conflict: bool) -> str:
    """Return an instruction to find out which eye these captures show."""
    why = "the sources disagree" if is_conflict else "neither the file nor its name says which"
    return f"Find out which eye {_named(captures)} shows: {why}."


def _which_eye(shots: Sequence[Shot]) -> str:
    """Return an instruction to find out which eye these files of an unknown eye show."""
    captures = [shot.capture_id for shot in shots]
    conflicts = [shot for shot in shots if shot.is_conflict]
    if len({shot.digest for shot in conflicts}) < len(conflicts):
        why = "the same picture has the names of different eyes"
    elif not conflicts and all(shot.is_eye_said for shot in shots):
        why = "a person has said that it is not known"
    else:
        return which_eye(captures, is_conflict=bool(conflicts))
    return f"Find out which eye {_named(captures)} shows: {why}."


def _named(captures: Sequence[int]) -> str:
    return " or ".join(f"capture {capture_id}" for capture_id in captures)


def identity_of_shot(shot: Shot) -> list[str]:
    """Return the step for a file that may show another eye, patient or visit."""
    if shot.eye is Eye.UNKNOWN and shot.outcome is not Outcome.REFUSED:
        return [_which_eye([shot])]
    doubt = shot.identity_doubt
    return [] if doubt is None else [identity(doubt, [shot.capture_id])]


def step(action: Action, eye: Eye) -> list[str]:
    """Return a list with the step that an action requires; it is empty if no step is required."""
    if action not in _ACTIONS:
        return []
    return [_ACTIONS[action].format(eye=THE_EYE[eye])]


def steps_of_eye(eye: EyeResult) -> list[str]:
    """Return the next steps for an eye; the list is empty if nothing about it is open."""
    steps = _steps_by_reason(eye)
    if eye.is_absent:
        steps.insert(0, _ABSENT_BUT_SEEN.format(eye=THE_EYE[eye.eye]))
    doubt = eye.identity_doubt
    identity = [] if doubt is None else [_identity_step(eye, doubt)]
    named = {_before_colon(step) for step in steps}
    return [*steps, *(added for added in identity if _before_colon(added) not in named)]


def _before_colon(sentence: str) -> str:
    return sentence.partition(":")[0]


def _steps_by_reason(eye: EyeResult) -> list[str]:
    """Return the steps that follow from why the result of an eye is undecided.

    An open follow-up of the eye says what a reader has asked for, so that it is not said twice.
    """
    reason = eye.open_reason
    if reason is None:
        return []
    if reason in FOLLOWED_UP and eye.has_follow_up:
        return []
    steps = []
    if isinstance(reason, Reason):
        steps = [*_unknown_eye(eye), *step(eye.action, eye.eye)]
        if eye.action is Action.RETAKE and any(shot.is_evidence for shot in eye.shots):
            steps.append(_IF_RETAKEN.format(capture=eye.decisive.capture_id))
    elif reason in _STEPS:
        return [_identity_step(eye, reason)]
    else:  # a field is missing, or the eye is not known
        steps = _unknown_eye(eye)
    if eye.missing_fields:
        fields = " and the ".join(eye.missing_fields)
        steps.append(f"Photograph the {fields} of {THE_EYE[eye.eye]} (not seen yet).")
    return steps


def _identity_step(eye: EyeResult, reason: EyeReason) -> str:
    if reason in _ABOUT_THE_EYE and eye.eye is Eye.UNKNOWN:
        return _which_eye(eye.shots)
    return identity(reason, _concerned(eye, reason), eye.eye)


def identity(reason: EyeReason, captures: Sequence[int], eye: Eye = Eye.UNKNOWN) -> str:
    """Return the step for captures that may show another eye, patient or visit."""
    sentence = _STEPS[reason].format(eye=THE_EYE[eye], captures=_named(captures))
    return f"{sentence}: {_HOW_TO_SAY.get(reason, reason.wording)}."


def _unknown_eye(eye: EyeResult) -> list[str]:
    if eye.eye is not Eye.UNKNOWN:
        return []
    return [_which_eye(eye.shots)]


def _concerned(eye: EyeResult, reason: EyeReason) -> list[int]:
    """Return the captures of an eye with an identity doubt, or those that were overwritten."""
    captures = []
    for shot in eye.shots:
        is_overwritten = reason is EyeReason.OVERWRITTEN and shot.is_overwritten
        if is_overwritten or shot.identity_doubt is reason:
            captures.append(shot.capture_id)
    return captures


def steps(exam: Exam) -> list[str]:
    """Return the next steps for the person, with the most important one first."""
    todo = whose(exam)
    if exam.final.referable is Referable.YES:
        todo.append(_referral(referred(exam)))
    for eye in exam.counting:
        todo += steps_of_eye(eye)
    todo += _missing(exam)
    counting = {eye.eye for eye in exam.counting}
    for impossible in exam.impossible:
        if impossible not in counting:  # otherwise it is among the steps of the eye
            todo.append(_ABSENT_BUT_SEEN.format(eye=THE_EYE[impossible]))
    todo += _not_judged(exam)
    if exam.lacks_both_eyes:
        todo.append("Check which eyes the patient lacks: both are said to be absent.")
    for claim in exam.claims:
        todo.append(_CLAIM.format(capture=claim.capture_id, exam=claim.exam_id))
    todo += [_follow_up(open_one, exam) for open_one in exam.follow_ups]
    return todo + _about_the_result(exam)


def whose(exam: Exam) -> list[str]:
    """Return the step for an exam whose patient is not known."""
    shots = [shot for eye in exam.eyes for shot in eye.shots] or exam.others
    if exam.patient_key is not None or not shots:
        return []
    in_order = sorted(shots, key=lambda shot: shot.capture_id)
    return [_WHOSE.format(files=photograph_words.files(in_order))]


def _missing(exam: Exam) -> list[str]:
    """Return the steps for the eyes that were not photographed."""
    if len(exam.missing) > 1 and _has_unknown(exam):
        return [_STILL_MISSING]
    return [photograph(exam, eye) for eye in exam.missing]


def photograph(exam: Exam, eye: Eye) -> str:
    """Return the step for an eye that was not photographed."""
    unless = ", unless it is the eye that is not known" if _has_unknown(exam) else ""
    return f"Photograph {THE_EYE[eye]}{unless}."


def _has_unknown(exam: Exam) -> bool:
    return any(eye.eye is Eye.UNKNOWN for eye in exam.counting)


def _about_the_result(exam: Exam) -> list[str]:
    """Return what is to be done about the result as a whole."""
    todo = []
    is_negative = exam.final.referable is Referable.NO
    if is_negative and not exam.is_reviewed:
        todo.append("Have a human reader confirm the result before it counts.")
        if all(eye.waits_for is None for eye in exam.counting):
            todo.append("The clinic's settings put it on no list (confirm_negatives).")
    todo += [_OTHER_EXAM.format(number=other.exam_id) for other in exam.others_of_day]
    if is_negative and exam.is_final and is_complete(exam):
        todo.append("Nothing beyond the clinic's usual screening interval.")
    return todo


def is_complete(exam: Exam) -> bool:
    """Return whether the exam says all there is to say about the person and the day."""
    return not (_not_judged(exam) or exam.others_of_day)


def _not_judged(exam: Exam) -> list[str]:
    """Return the steps for eyes that are said to be absent, but may exist."""
    todo = []
    for stated in exam.absences:
        if stated.reason is not AbsenceReason.PROSTHESIS:
            last = "" if stated.until is None else f", until {day(stated.until)}"
            why = f"{stated.reason.replace('_', ' ')}{last}"
            eye = THE_EYE[stated.eye]
            todo.append(f"Have {eye} examined in another way: it was not judged ({why}).")
    return todo


def _follow_up(open_one: FollowUp, exam: Exam) -> str:
    """Return the step for an open follow-up; a retake may have been taken already."""
    since = day(open_one.opened_at.astimezone())
    outdated = {eye.eye for eye in exam.eyes if eye.state is ReadingState.OUTDATED}
    if open_one.kind is FollowUpKind.RETAKE and open_one.eye in outdated:
        return _TAKEN_SINCE.format(eye=THE_EYE[open_one.eye], number=open_one.follow_up_id)
    what = _FOLLOW_UPS[open_one.kind].format(eye=THE_EYE[open_one.eye])
    return f"{what} (follow-up {open_one.follow_up_id}, open since {since})."


def _referral(eyes: Sequence[EyeResult]) -> str:
    """Return the step for a person who is to be referred because of these eyes."""
    states = {eye.state for eye in eyes}
    if ReadingState.READ in states:
        return REFER
    if not states.isdisjoint({ReadingState.DISPUTED, ReadingState.OUTDATED}):
        return _REFER_UNLESS
    return READ_FIRST
