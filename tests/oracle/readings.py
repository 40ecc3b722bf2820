"""The section "Readings" of docs/exams.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.oracle.events import Reading
from tests.oracle.eyes import ModelResult, deciding_doubt, newest, shows_only_the_disc

ARBITRATION = "arbitration"
MINIMUM_GRADE = 2  # from which the rule of the release refers
ALWAYS_REFERRED = (3, 4)
MOST_SEVERE_FIRST = ("yes", "indeterminate", "no")
Results = Mapping[str, ModelResult]


@dataclass(frozen=True, slots=True)
class Statement:
    """What a reading says of an eye, and whether it is current there."""

    reading: Reading
    referable: str
    grade: int | None
    current: bool


@dataclass(frozen=True, slots=True)
class ReadResult:
    """The result of an eye after its readings."""

    state: str
    referable: str
    grade: int | None
    reason: str | None
    action: str
    remaining: tuple[Statement, ...] = ()

    @property
    def rests_on(self) -> tuple[Statement, ...]:
        """The current readings or, if the eye is outdated, all of them."""
        current = tuple(statement for statement in self.remaining if statement.current)
        return self.remaining if self.state == "outdated" else current


def refers(grade: int | None) -> bool:
    """Say if this grade is referred, by the rule of the release or always."""
    return grade is not None and (grade >= MINIMUM_GRADE or grade in ALWAYS_REFERRED)


def is_refused(reading: Reading, results: Results) -> bool:
    """Say if the page refuses a reading of an eye that has these results at the time."""
    model = results.get(reading.eye)
    if model is None:
        return True
    if reading.verdict == "agree" and model.referable == "indeterminate":
        return True
    shows_nothing = all(
        placed.file.outcome == "failed"
        or placed.file.reason == "wrong_modality"
        or placed.file.path_taken_by is not None
        for placed in model.files
    )
    return reading.verdict in {"agree", "override"} and shows_nothing


def photographs_of(model: ModelResult) -> frozenset[int]:
    """Return the set of photographs that a reading is about, failed files left out."""
    return frozenset(
        placed.file.number for placed in model.files if placed.file.outcome != "failed"
    )


def subject(model: ModelResult) -> tuple[frozenset[int], str, int | None, str]:
    """Return what a reading is about: the photographs and the model's result."""
    return photographs_of(model), model.outcome, model.grade, model.referable


def follows_to(reading: Reading, then: ModelResult, places: Mapping[int, str]) -> set[str]:
    """Return the eyes for which a reading counts, by where its photographs are now."""
    at = {places[placed.file.number] for placed in then.files}  # failed ones included
    others = at - {reading.eye}
    return others | {reading.eye} if reading.eye in at or not others else others


def remaining(readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings that count: not for quality assurance, not replaced, not taken back."""
    counting = [reading for reading in readings if reading.purpose != "quality_assurance"]
    last_of = {(reading.reader, reading.eye): place for place, reading in enumerate(counting)}
    latest = [counting[place] for place in sorted(last_of.values())]
    given = [reading for reading in latest if reading.verdict != "defer"]
    return [
        reading
        for place, reading in enumerate(given)
        if not any(
            later.purpose == ARBITRATION and later.eye == reading.eye
            for later in given[place + 1 :]
        )
    ]


def verdict_says(reading: Reading, then: ModelResult) -> tuple[str, int | None]:
    """Return the table of verdicts; `then` is the model's result when the reading was given."""
    if reading.verdict == "agree":
        referable, grade = then.referable, then.grade
    elif reading.verdict == "override":
        referable, grade = ("yes" if refers(reading.grade) else "no"), reading.grade
    else:
        referable, grade = "indeterminate", None
    if reading.lesion is not None or reading.maculopathy:
        referable = "yes"
    return referable, grade


def highest_grade(grades: Sequence[int | None]) -> int | None:
    """Return the highest of those that are known."""
    return max((grade for grade in grades if grade is not None), default=None)


def disputed(current: Sequence[Statement], left: tuple[Statement, ...]) -> ReadResult:
    """Row 1: current readings that differ in referral."""
    referrals = {statement.referable for statement in current}
    worst = next(word for word in MOST_SEVERE_FIRST if word in referrals)
    grade = highest_grade(
        [statement.grade for statement in current if statement.referable == worst]
    )
    return ReadResult("disputed", worst, grade, "readings_differ", "refer_reader", left)


def identity_of_eye(eye: str, model: ModelResult) -> str | None:
    """Return the identity doubt of an eye: that of the newest file with one, or of the name U."""
    doubtful = [placed for placed in model.files if placed.identity is not None]
    if doubtful:
        return newest(doubtful).identity
    return "eye_unknown" if eye == "U" else None


def what_forbids_no(eye: str, model: ModelResult) -> tuple[str, str] | None:
    """Return the reason and the action that leave a reading that says `no` undecided."""
    identity = identity_of_eye(eye, model)
    if identity is not None:
        return identity, "refer_reader"
    failed = [doubt for doubt in model.doubts if doubt.file.outcome == "failed"]
    if failed:
        return str(deciding_doubt(failed).doubt), "contact_it"
    matters = [
        *model.doubts,
        *(placed for placed in model.files if placed.counts_as == "referable"),
    ]
    if any(placed.file.path_taken_by is not None for placed in matters):
        return "overwritten", "contact_it"
    return ("field_missing", "retake") if shows_only_the_disc(model.files) else None


def read(
    eye: str, current: Sequence[Statement], model: ModelResult, left: tuple[Statement, ...]
) -> ReadResult:
    """Row 2: current readings that agree in referral."""
    last = current[-1]
    grade = highest_grade([statement.grade for statement in current])
    forbidden = what_forbids_no(eye, model)
    if last.referable == "no" and forbidden is not None:
        return ReadResult("read", "indeterminate", None, *forbidden, left)
    if last.referable != "indeterminate":
        return ReadResult("read", last.referable, grade, None, "none", left)
    if last.reading.verdict == "retake":
        return ReadResult("read", "indeterminate", grade, "reader_asks_retake", "retake", left)
    return ReadResult("read", "indeterminate", grade, "reader_ungradable", "refer_reader", left)


def outdated(model: ModelResult, left: tuple[Statement, ...]) -> ReadResult:
    """Row 3: no current reading, but former ones."""
    grades = [statement.grade for statement in left if statement.referable == "yes"]
    if model.referable == "yes":
        grades.append(model.grade)
    if grades:
        grade = highest_grade(grades)
        return ReadResult("outdated", "yes", grade, "reading_outdated", "refer_reader", left)
    reason, action = "reading_outdated", "refer_reader"
    if model.reason is not None:
        reason, action = model.reason, model.action
    return ReadResult("outdated", "indeterminate", None, reason, action, left)


def readings_of(
    eye: str,
    readings: Sequence[Reading],
    at: Mapping[tuple[int, int], Results],
    places: Mapping[int, str],
) -> list[Reading]:
    """Return the readings that count for an eye, those that followed a photograph included."""
    return [
        reading
        for reading in readings
        if eye in follows_to(reading, at[reading.moment][reading.eye], places)
    ]


def result_after_readings(
    eye: str,
    readings: Sequence[Reading],
    at: Mapping[tuple[int, int], Results],
    now: ModelResult,
) -> ReadResult:
    """Return the table of states; `at` has the model's results of each moment."""
    statements = []
    for reading in remaining(readings):
        then = at[reading.moment][reading.eye]
        is_current = reading.eye == eye and subject(then) == subject(now)
        statements.append(Statement(reading, *verdict_says(reading, then), is_current))
    left = tuple(statements)
    current = [statement for statement in left if statement.current]
    if len({statement.referable for statement in current}) > 1:
        return disputed(current, left)
    later = left[left.index(current[-1]) + 1 :] if current else ()
    if current and all(statement.referable == current[-1].referable for statement in later):
        return read(eye, current, now, left)
    if left:
        return outdated(now, left)
    return ReadResult("unread", now.referable, now.grade, now.reason, now.action)
