"""The section "Readings" of docs/exams.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.oracle.events import Reading
from tests.oracle.eyes import ModelResult

MINIMUM_GRADE = 2  # from which the rule of the release refers
ALWAYS_REFERRED = (3, 4)
MOST_SEVERE_FIRST = ("yes", "indeterminate", "no")


@dataclass(frozen=True, slots=True)
class Said:
    """What a reading says, and whether the eye is still the one that it is about."""

    reading: Reading
    referable: str
    grade: int | None
    only_lesion: bool  # it is `yes` for no other reason than another lesion
    current: bool


@dataclass(frozen=True, slots=True)
class ReadResult:
    """The result of an eye after its readings."""

    state: str
    referable: str
    grade: int | None
    reason: str | None
    action: str
    lesions: frozenset[str]  # not empty only if the eye is `yes` only because of them
    remaining: tuple[Said, ...]


def remaining(readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings that count: not for quality assurance, not replaced, not taken back."""
    counting = [one for one in readings if one.purpose != "quality_assurance"]
    last_of = {one.reader: place for place, one in enumerate(counting)}
    latest = [one for place, one in enumerate(counting) if last_of[one.reader] == place]
    given = [one for one in latest if one.verdict != "defer"]
    arbitrations = [place for place, one in enumerate(given) if one.purpose == "arbitration"]
    return given[arbitrations[-1] :] if arbitrations else given


def verdict_says(reading: Reading, model: ModelResult) -> tuple[str, int | None]:
    """Return the table of verdicts, without its last row."""
    if reading.verdict == "agree":
        return model.referable, model.grade
    if reading.verdict == "override":
        grade = reading.grade
        refers = grade is not None and (grade >= MINIMUM_GRADE or grade in ALWAYS_REFERRED)
        return ("yes" if refers else "no"), grade
    return "indeterminate", None


def says(reading: Reading, then: ModelResult, now: ModelResult) -> Said:
    """Return what a reading says; `then` is the model's result when it was given."""
    referable, grade = verdict_says(reading, then)
    only_lesion = referable != "yes" and reading.lesion is not None and not reading.maculopathy
    if reading.lesion is not None or reading.maculopathy:
        referable = "yes"
    return Said(reading, referable, grade, only_lesion, is_about(then) == is_about(now))


def is_about(model: ModelResult) -> tuple[frozenset[int], str, str | None, int | None]:
    """Return what a reading is about: the photographs and the model's result."""
    numbers = frozenset(one.file.number for one in model.files)
    return numbers, model.referable, model.reason, model.grade


def highest_grade(grades: Sequence[int | None]) -> int | None:
    """Return the highest of those that are known."""
    return max((grade for grade in grades if grade is not None), default=None)


def lesions_if_only(saying_yes: Sequence[Said]) -> frozenset[str]:
    """Return the lesions, if all of these are `yes` for no other reason."""
    if not all(one.only_lesion for one in saying_yes):
        return frozenset()
    return frozenset(str(one.reading.lesion) for one in saying_yes)


def disputed(current: Sequence[Said], left: tuple[Said, ...]) -> ReadResult:
    """Row 1: current readings that differ in referral."""
    worst = next(word for word in MOST_SEVERE_FIRST if word in {one.referable for one in current})
    saying = [one for one in current if one.referable == worst]
    grade = highest_grade([one.grade for one in saying])
    lesions = lesions_if_only(saying) if worst == "yes" else frozenset()
    return ReadResult("disputed", worst, grade, "readings_differ", "refer_reader", lesions, left)


def identity_of_eye(eye: str, model: ModelResult) -> str | None:
    """Return the identity doubt of an eye: that of the newest file with one, or of the name U."""
    doubtful = [one for one in model.files if one.identity is not None]
    if doubtful:
        return max(doubtful, key=lambda one: one.file.number).identity
    return "eye_unknown" if eye == "U" else None


def read(current: Sequence[Said], left: tuple[Said, ...], identity: str | None) -> ReadResult:
    """Row 2: current readings that agree in referral."""
    last, grade = current[-1], highest_grade([one.grade for one in current])
    if last.referable == "no" and identity is not None:
        return ReadResult(
            "read", "indeterminate", None, identity, "refer_reader", frozenset(), left
        )
    reason, action = None, "none"
    if last.referable == "indeterminate" and last.reading.verdict == "retake":
        reason, action = "reader_asks_retake", "retake"
    elif last.referable == "indeterminate":
        reason, action = "reader_ungradable", "refer_reader"
    lesions = lesions_if_only(current) if last.referable == "yes" else frozenset()
    return ReadResult("read", last.referable, grade, reason, action, lesions, left)


def outdated(formers: Sequence[Said], model: ModelResult, left: tuple[Said, ...]) -> ReadResult:
    """Row 3: no current reading, but former ones."""
    saying = [one for one in formers if one.referable == "yes"]
    grades = [one.grade for one in saying]
    if model.referable == "yes":
        grades.append(model.grade)
    if grades:
        only = bool(saying) and model.referable != "yes"
        lesions = lesions_if_only(saying) if only else frozenset()
        grade = highest_grade(grades)
        return ReadResult(
            "outdated", "yes", grade, "reading_outdated", "refer_reader", lesions, left
        )
    reason, action = "reading_outdated", "refer_reader"
    if model.reason is not None:
        reason, action = model.reason, model.action
    return ReadResult("outdated", "indeterminate", None, reason, action, frozenset(), left)


def result_after_readings(
    eye: str,
    readings: Sequence[Reading],
    at: Mapping[int, Mapping[str, ModelResult]],
    now: ModelResult,
) -> ReadResult:
    """Return the table of states; `at` has the model's results after so many files."""
    of_eye = [one for one in readings if one.eye == eye]
    left = tuple(says(one, at[one.after][eye], now) for one in remaining(of_eye))
    current = [one for one in left if one.current]
    if len({one.referable for one in current}) > 1:
        return disputed(current, left)
    if current:
        return read(current, left, identity_of_eye(eye, now))
    if left:
        return outdated(left, now, left)
    reason, action = now.reason, now.action
    return ReadResult("unread", now.referable, now.grade, reason, action, frozenset(), left)
