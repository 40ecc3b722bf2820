"""Results in plain words, as pages and the terminal show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from fundusd.clinical.grading import unsafe_rules
from fundusd.domain.capture_warnings import in_words
from fundusd.domain.clinical_terms import Eye, Grade, Outcome, Reason, Referable
from fundusd.domain.exams import DayDoubt
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import AbsenceReason, Maculopathy, ReadingState
from fundusd.reports.terminal_table import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from fundusd.clinical.exam import Absence, Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.referral import Assessment
    from fundusd.domain.inference import Release

MEDSIGLIP = "google/medsiglip-448"

EYES = {Eye.RIGHT: "Right eye (OD)", Eye.LEFT: "Left eye (OS)", Eye.UNKNOWN: "Eye not known"}
THE_EYE = {Eye.RIGHT: "the right eye", Eye.LEFT: "the left eye", Eye.UNKNOWN: "that eye"}
VERDICTS = {
    Referable.YES: "Referable",
    Referable.NO: "Not referable",
    Referable.INDETERMINATE: "Undecided",
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


def field(name: str | None) -> str:
    """Return the field of a photograph in words.

    >>> field("disc"), field(None)
    ('optic disc', 'field not known')
    """
    if name is None:
        return "field not known"
    return {"disc": "optic disc"}.get(name, name)


def quality_of_eye(eye: EyeResult) -> str:
    """Return a phrase that says whether an eye could be graded and, if it is undecided, why."""
    if eye.final.referable is Referable.INDETERMINATE:
        if eye.open_reason is EyeReason.FIELD_MISSING and eye.missing_fields:
            fields = " and the ".join(eye.missing_fields)
            return f"Not enough for a result: no photograph is known to show the {fields}"
        return quality(eye.outcome, eye.open_reason)
    return quality(eye.outcome, eye.reason)


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
    """Return the person's result in the words of docs/exams.md, "What is said"."""
    match exam.final.referable:
        case Referable.INDETERMINATE:
            return "Undecided: referable diabetic retinopathy is not ruled out"
        case Referable.NO if exam.is_reviewed:
            return "No referable diabetic retinopathy"
        case Referable.NO:
            return "The model suggests: no referable diabetic retinopathy"
        case Referable.YES:
            return _referable_person(referred(exam))
        case _:
            assert_never(exam.final.referable)


def _referable_person(eyes: Sequence[EyeResult]) -> str:
    if all(eye.lesions for eye in eyes):
        names = dict.fromkeys(lesion.wording for eye in eyes for lesion in eye.lesions)
        return f"Referable: another lesion ({', '.join(names)})"
    maculopathy = " with maculopathy M1" if any(_has_maculopathy(eye) for eye in eyes) else ""
    if any(eye.is_read and not eye.lesions for eye in eyes):
        return f"Referable diabetic retinopathy{maculopathy}"
    if any(eye.referable is Referable.YES for eye in eyes):
        return "The model suggests: referable diabetic retinopathy"
    return f"A reader suggests: referable diabetic retinopathy{maculopathy}"


def _has_maculopathy(eye: EyeResult) -> bool:
    """Return whether a reading on which the referral of an eye rests says maculopathy."""
    return any(reading.maculopathy is Maculopathy.PRESENT for reading in eye.readings.decisive)


def referred(exam: Exam) -> list[EyeResult]:
    """Return the eyes for which the person is to be referred."""
    return [eye for eye in exam.counting if eye.final.referable is Referable.YES]


def standing(exam: Exam) -> str:
    """Return a sentence that says whether a human has read every eye, and what is open."""
    if not exam.is_reviewed or exam.missing:
        return f"Preliminary: {_what_is_unread(exam)}."
    every = "A human has read every eye."
    if any(stated.reason is not AbsenceReason.PROSTHESIS for stated in exam.absences):
        every = "A human has read every eye that was judged."
    return every if exam.is_final else f"{every} Preliminary: {_what_is_open(exam)}."


def _what_is_unread(exam: Exam) -> str:
    states = {eye.state for eye in exam.counting}
    if not exam.missing and states and states <= {ReadingState.READ, ReadingState.DISPUTED}:
        disputed = [eye.eye for eye in exam.counting if eye.state is ReadingState.DISPUTED]
        return f"readers differ about {' and '.join(THE_EYE[eye] for eye in disputed)}"
    return "a human has not read every eye"


def _what_is_open(exam: Exam) -> str:
    """Return why the result of an exam is not final although every eye has been read."""
    if exam.follow_ups:
        return "a follow-up is open"
    if exam.lacks_both_eyes:
        return "both eyes are said to be absent"
    if exam.impossible:
        return "an eye that was photographed is said to be absent"
    if exam.final.referable is Referable.NO and exam.open_others:
        return "another exam of the day is not negative"
    if exam.claims:
        return "it is not certain whose photograph another one is"
    doubts = []
    for eye in exam.counting:
        if eye.identity_doubt is not None:
            doubts.append(f"{THE_EYE[eye.eye]}: {eye.identity_doubt.wording}")
    return ", ".join(doubts) or "an eye is still undecided"


def result_line(exam: Exam) -> str:
    """Return the result of an exam with its patient and day, so that a mistyped number is seen."""
    who = printable(patient(exam.patient_id, exam.patient_key))
    result = f"{person(exam)}. {standing(exam)}"
    return f"Exam {exam.exam_id} (patient {who}, {day(exam.day)}): {result}"


def worst_grade(exam: Exam) -> str:
    """Return the worst grade seen in an exam, also if the person is undecided."""
    return grade_name(exam.worst_grade_seen)


def absence(stated: Absence) -> str:
    """Return a sentence that says which eye is said to be absent, why and until when.

    >>> from fundusd.clinical.exam import Absence
    >>> from fundusd.domain.readings import AbsenceReason
    >>> absence(Absence(Eye.LEFT, AbsenceReason.NO_VIEW))
    'A person has said that the left eye is absent: no view, for good.'
    """
    last = "for good" if stated.until is None else f"until {day(stated.until)}"
    why = stated.reason.replace("_", " ")
    return f"A person has said that {THE_EYE[stated.eye]} is absent: {why}, {last}."


def grade_of_eye(eye: EyeResult) -> str:
    """Return the final grade of an eye or, if it is undecided, the worst grade seen in it."""
    if eye.final.referable is Referable.YES and eye.final.grade in {Grade.NO_DR, Grade.MILD}:
        findings = dict.fromkeys(text for each in eye.readings.decisive for text in each.findings)
        return ", ".join([grade_name(eye.final.grade), *findings])
    if eye.final.referable is not Referable.INDETERMINATE:
        return grade_name(eye.final.grade)
    worst = eye.worst_grade_seen
    if not worst:  # "No DR" would be said of an eye that nobody could see
        return "No result for this eye"
    return f"No result; worst grade in a photograph: {grade_name(worst)}"


def warnings_of_row(row: Mapping[str, Any]) -> list[str]:
    """Return the warnings of a capture, given its row of v_result, as sentences."""
    texts = in_words((row["warnings"] or "").split(", "))
    return [f"{text[0].upper()}{text[1:]}." for text in texts]


def warnings_of_eye(eye: EyeResult) -> list[str]:
    """Return the warnings of an eye's captures as sentences, each with the captures it concerns."""
    codes: set[str] = set()
    for shot in eye.shots:
        codes.update(shot.open_warnings)
    sentences: list[str] = []
    for text in in_words(codes):
        numbers = [
            str(shot.capture_id) for shot in eye.shots if text in in_words(shot.open_warnings)
        ]
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
    """Return the result of an exam, keyed by caption."""
    return {
        "Result": person(exam),
        "Worst grade seen": worst_grade(exam),
        "Status": standing(exam),
    }


def warning(releases: Sequence[Release]) -> str | None:
    """Return a warning about unsafe rules, and models other than MedSigLIP, otherwise None."""
    sentences = []
    if release_warning := unsafe_rules(release.referable_rule for release in releases):
        sentences.append(release_warning)
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
