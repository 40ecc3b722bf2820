"""What a report says of an exam besides the results of its eyes: photographs and readings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.domain.capture_warnings import in_words
from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Grade, Outcome, Referable
from fundusd.reports import next_steps, panel, photograph_words, reading_words, wording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.shot import Shot
    from fundusd.domain.inference import Release

_VERSION_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Form:
    """What the settings say of the clinic: its name, whom to ask, and when to screen again."""

    site: str = ""
    contact: str = ""
    recall_months: Mapping[Grade, int] = field(default_factory=dict)


NO_FORM = Form()


def facts(exam: Exam, form: Form) -> dict[str, str]:
    """Return the patient, day, exam and site of a report, keyed by caption."""
    named = wording.facts(exam)
    if form.site:
        named["Site"] = form.site
    return named


def report_id(exam: Exam, form: Form, releases: Mapping[int, Release]) -> str:
    """Return the number of the exam with a short digest of all that the report says of it."""
    content = _content(exam, form, releases) | {
        "facts": facts(exam, form),
        "panels": panel.of_exam(exam, {}),
    }
    digest = hashlib.sha256(orjson.dumps(content)).hexdigest()
    return f"{exam.exam_id}-{digest[:_VERSION_DIGITS]}"


def shots(exam: Exam) -> list[Shot]:
    """Return every file of an exam: those of each eye, and those that count for none."""
    every = [shot for eye in exam.eyes for shot in eye.shots]
    return [*every, *exam.others]


def photograph(exam: Exam, shot: Shot) -> list[str]:
    """Return sentences about a file: what it shows, when it was taken, and what it counts for.

    The file is named only if somebody has to find out whose photograph it is, or which eye it
    shows: a page may leave the clinic, and a name may say who the patient is.
    """
    shown = f"Capture {shot.capture_id}: {wording.EYES[shot.eye]}, {wording.field(shot.field)}."
    taken = photograph_words.taken(shot)
    source = f"{taken[0].upper()}{taken[1:]}, camera {shot.camera_id}"
    if shot.path and (exam.patient_key is None or shot.eye is Eye.UNKNOWN):
        source += f", file {shot.path}"
    sentences = [f"{shown} {source}.", _quality(exam, shot)]
    if shot.is_overwritten:
        sentences.append("Another file has taken its path, so it cannot be looked at any more.")
    elif shot.is_gone:
        sentences.append("Its file is no longer in the camera's folder.")
    if shot.is_eye_said:
        is_known = shot.eye is not Eye.UNKNOWN
        what = "which eye it shows" if is_known else "that its eye is not known"
        sentences.append(f"A person has said {what}.")
    if shot.is_patient_said:
        sentences.append("A person has said that it belongs to this exam.")
    sentences += [f"{text[0].upper()}{text[1:]}." for text in in_words(shot.open_warnings)]
    return sentences


def _quality(exam: Exam, shot: Shot) -> str:
    quality = wording.quality(shot.outcome, shot.reason)
    if shot.outcome is Outcome.GRADED:
        quality = f"Graded by the model: {wording.grade_name(shot.grade)}"
    if shot.is_excluded:
        return f"Excluded by a person, so it counts for no eye. {quality}."
    if shot in exam.others:
        return f"It counts for no eye. {quality}."
    return f"{quality}."


def readings(exam: Exam) -> list[str]:
    """Return sentences about all readings of all eyes, each with the name of the eye."""
    sentences: list[str] = []
    for eye in exam.eyes:
        name = wording.EYES[eye.eye]
        sentences += [f"{name}: {text}" for text in reading_words.of_eye(eye)]
    return sentences


def remarks(exam: Exam, form: Form) -> list[str]:
    """Return what else is known: absent eyes, the day, macular oedema, recall and contact."""
    texts = [wording.absence(stated) for stated in exam.absences]
    if exam.day_doubt.wording:
        texts.append(f"Day of the exam: {exam.day_doubt.wording}.")
    for shot in (*exam.others, *(shot for eye in exam.eyes for shot in eye.shots)):
        if shot.is_placed and shot.acquired_day not in {None, exam.day}:
            when = photograph_words.taken(shot).removeprefix("taken on ")
            texts.append(f"Capture {shot.capture_id} is of {when}; a person has put it here.")
    if any(eye.reading is not None and eye.reading.maculopathy is not None for eye in exam.eyes):
        texts.append("Macular oedema was assessed only by the readers who say M0 or M1.")
    texts += recall(exam, form)
    if form.contact:
        texts.append(f"Contact: {form.contact}")
    return texts


def recall(exam: Exam, form: Form) -> list[str]:
    """Return when to screen again, if the settings say so and nothing about the exam is open."""
    grade = exam.final.grade
    is_done = exam.final.referable is Referable.NO and exam.is_final
    if not is_done or not next_steps.is_complete(exam) or grade is None:
        return []
    months = form.recall_months.get(grade)
    return [f"Screen again in {months} months."] if months else []


def as_dict(exam: Exam, form: Form, releases: Mapping[int, Release]) -> dict[str, Any]:
    """Return a report for programs."""
    identity = {"exam_id": exam.exam_id, "report": report_id(exam, form, releases)}
    return identity | _content(exam, form, releases)


def _content(exam: Exam, form: Form, releases: Mapping[int, Release]) -> dict[str, Any]:
    final = exam.final
    return {
        "day": exam.day,
        "day_doubt": exam.day_doubt,
        "patient_id": exam.patient_id,
        "patient_key": exam.patient_key,
        "site": form.site,
        "result": wording.person(exam),
        "referable": final.referable,
        "grade": final.grade,
        "worst_grade_seen": exam.worst_grade_seen,
        "standing": wording.standing(exam),
        "is_final": exam.is_final,
        "next": next_steps.steps(exam),
        "missing": exam.missing,
        "absent": exam.absences,
        "eyes": [_eye(eye) for eye in exam.eyes],
        "photographs": [_photograph(exam, shot) for shot in shots(exam)],
        "remarks": remarks(exam, form),
        "provenance": [wording.provenance(*release) for release in sorted(releases.items())],
        "warning": wording.warning(list(releases.values())),
        "notice": SAFETY_WORDS,
    }


def _eye(eye: EyeResult) -> dict[str, Any]:
    return {
        "eye": eye.eye,
        "referable": eye.final.referable,
        "grade": eye.final.grade,
        "reason": eye.open_reason,
        "action": eye.action,
        "reading_state": eye.state,
        "waits_for": eye.waits_for,
        "by_the_model": {"referable": eye.referable, "grade": eye.grade, "reason": eye.reason},
        "decisive_capture": eye.decisive.capture_id,
        "photographs": eye.photographs,
        "missing_fields": eye.missing_fields,
        "readings": reading_words.of_eye(eye),
        "next": next_steps.steps_of_eye(eye),
    }


def _photograph(exam: Exam, shot: Shot) -> dict[str, Any]:
    return {
        "capture_id": shot.capture_id,
        "camera_id": shot.camera_id,
        "path": shot.path,
        "eye": shot.eye,
        "field": shot.field,
        "digest": shot.digest,
        "outcome": shot.outcome,
        "reason": shot.reason,
        "grade": shot.grade,
        "scores": shot.scores,
        "in_words": photograph(exam, shot),
    }
