"""What docs/exams.md says follows from an exam: the sections "A person", "Lists", "What is said".

Written from that page alone, to be read beside it; it shares no code with fundusd.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.oracle.events import Exam
from tests.oracle.eyes import ModelResult, model_results
from tests.oracle.readings import (
    MOST_SEVERE_FIRST,
    ReadResult,
    highest_grade,
    result_after_readings,
)

MODEL_YES = "The model suggests: referable diabetic retinopathy"
READER_YES = "A reader suggests: referable diabetic retinopathy"
IDENTITY_DOUBTS = ("eye_contradicted", "patient_uncertain", "eye_unknown")
READ_YES = "Referable diabetic retinopathy"
LESION = "Referable: another lesion"  # and its name, which stands in Expected.lesions
UNDECIDED = "Undecided: referable diabetic retinopathy is not ruled out"
MODEL_NO = "The model suggests: no referable diabetic retinopathy"
READ_NO = "No referable diabetic retinopathy"
GROUPS = ("yes", "indeterminate", "no")  # of the worklist: the last are the confirmations


@dataclass(frozen=True, slots=True)
class ExpectedEye:
    """An eye that has a result: the model's, then the one after the readings."""

    referable: str
    grade: int | None
    reason: str | None
    action: str
    decisive: int
    missing_fields: tuple[str, ...]
    state: str
    final_referable: str
    final_grade: int | None
    final_reason: str | None
    final_action: str
    on_list_as: str | None
    list_rank: tuple[int, int]  # lower comes first; equal ranks have no order on the page


@dataclass(frozen=True, slots=True)
class Expected:
    """The person, and each eye that has a result."""

    eyes: Mapping[str, ExpectedEye]
    referable: str
    grade: int | None
    missing: tuple[str, ...]
    is_read: bool
    is_final: bool
    headline: str
    lesions: frozenset[str]
    may_say_nothing_beyond: bool
    must_say_confirm: bool
    may_say_read_every_eye: bool
    worklist: tuple[str, ...]


def list_name(
    state: str, final: str, confirm: str, *, absent: bool, doubted: bool, followed_up: bool
) -> str | None:
    """Return the table of the worklist."""
    if absent and final != "yes":
        return None
    if state == "disputed":
        return "arbitration"
    if state == "outdated":
        return "read_again"
    if state == "read":
        return None if final != "indeterminate" or (followed_up and not doubted) else "undecided"
    confirmation = "confirmation" if confirm == "all" else None
    return {"yes": "referable", "indeterminate": "undecided", "no": confirmation}[final]


def list_rank(model: ModelResult, after: ReadResult) -> tuple[int, int]:
    """First the group, then the highest grade among the photographs and the readings."""
    grades = [one.file.grade for one in model.files] + [one.grade for one in after.remaining]
    highest = highest_grade(grades)
    return GROUPS.index(after.referable), -(highest or 0)


def expected_eye(exam: Exam, eye: str, model: ModelResult, after: ReadResult) -> ExpectedEye:
    """Everything about one eye."""
    absent = eye in exam.absent
    return ExpectedEye(
        referable=model.referable,
        grade=model.grade,
        reason=model.reason,
        action=model.action,
        decisive=model.decisive,
        missing_fields=model.missing_fields,
        state=after.state,
        final_referable=after.referable,
        final_grade=after.grade,
        final_reason=after.reason,
        final_action=after.action,
        on_list_as=list_name(
            after.state,
            after.referable,
            exam.confirm,
            absent=absent,
            doubted=after.reason in IDENTITY_DOUBTS,
            followed_up=eye in exam.open_follow_ups,
        ),
        list_rank=list_rank(model, after),
    )


def missing_eyes(exam: Exam, eyes: Mapping[str, ExpectedEye]) -> tuple[str, ...]:
    """Return the right or left eye without a result that is not said to be absent."""
    return tuple(eye for eye in ("R", "L") if eye not in eyes and eye not in exam.absent)


def eyes_that_count(exam: Exam, eyes: Mapping[str, ExpectedEye]) -> list[ExpectedEye]:
    """All but absent ones; those only if they are `yes`."""
    return [
        one for eye, one in eyes.items() if eye not in exam.absent or one.final_referable == "yes"
    ]


def person_referable(exam: Exam, eyes: Mapping[str, ExpectedEye]) -> str:
    """Return the most severe result of the eyes, with undecided added for what is missing."""
    said = {one.final_referable for one in eyes_that_count(exam, eyes)}
    if missing_eyes(exam, eyes) or exam.absent >= {"R", "L"}:
        said.add("indeterminate")
    return next(word for word in MOST_SEVERE_FIRST if word in said)


def person_grade(exam: Exam, eyes: Mapping[str, ExpectedEye], referable: str) -> int | None:
    """Return the highest grade of the eyes that count, but none below 1 if undecided."""
    grade = highest_grade([one.final_grade for one in eyes_that_count(exam, eyes)])
    if referable == "indeterminate" and grade is not None and grade < 1:
        return None
    return grade


def person_is_read(exam: Exam, eyes: Mapping[str, ExpectedEye]) -> bool:
    """Every eye that counts is read, and there is one."""
    states = [one.state for one in eyes_that_count(exam, eyes)]
    return bool(states) and all(state == "read" for state in states)


def person_is_final(exam: Exam, eyes: Mapping[str, ExpectedEye]) -> bool:
    """Read, no eye missing, no eye `U`, no follow-up open."""
    return (
        person_is_read(exam, eyes)
        and all(one.on_list_as is None for one in eyes_that_count(exam, eyes))
        and not missing_eyes(exam, eyes)
        and "U" not in eyes
        and not exam.absent >= {"R", "L"}
        and not exam.open_follow_ups
    )


def lesions_of(after: Mapping[str, ReadResult]) -> frozenset[str]:
    """Return the lesions, if every eye that is `yes` is so only because of one."""
    saying_yes = [one for one in after.values() if one.referable == "yes"]
    if not all(one.lesions for one in saying_yes):
        return frozenset()
    return frozenset().union(*(one.lesions for one in saying_yes))


def headline(
    referable: str,
    eyes: Mapping[str, ExpectedEye],
    after: Mapping[str, ReadResult],
    lesions: frozenset[str],
    *,
    is_read: bool,
) -> str:
    """Return the sentence; the row of the lesion comes before those of retinopathy."""
    if referable == "indeterminate":
        return UNDECIDED
    if referable == "no":
        return READ_NO if is_read else MODEL_NO
    if lesions:
        return LESION
    saying = {eye: one for eye, one in eyes.items() if one.final_referable == "yes"}
    if any(one.state == "read" and not after[eye].lesions for eye, one in saying.items()):
        return READ_YES
    return MODEL_YES if any(one.referable == "yes" for one in saying.values()) else READER_YES


def worklist(eyes: Mapping[str, ExpectedEye]) -> tuple[str, ...]:
    """Return the eyes on the list in their order; equal ones stay in the order R, L, U."""
    listed = [eye for eye, one in eyes.items() if one.on_list_as is not None]
    return tuple(sorted(listed, key=lambda eye: eyes[eye].list_rank))


def after_readings(exam: Exam) -> tuple[dict[str, ModelResult], dict[str, ReadResult]]:
    """Return the model's results of today, and those after the readings."""
    moments = {len(exam.files), *(one.after for one in exam.readings)}
    at = {
        moment: model_results(exam.files[:moment], exam.expected_fields, one_field=exam.one_field)
        for moment in moments
    }
    now = at[len(exam.files)]
    after = {
        eye: result_after_readings(eye, exam.readings, at, model) for eye, model in now.items()
    }
    return now, after


def expected(exam: Exam) -> Expected:
    """Everything that the page says follows from an exam."""
    now, after = after_readings(exam)
    eyes = {eye: expected_eye(exam, eye, now[eye], after[eye]) for eye in now}
    referable = person_referable(exam, eyes)
    is_final = person_is_final(exam, eyes)
    is_read = person_is_read(exam, eyes)
    missing = missing_eyes(exam, eyes)
    lesions = lesions_of(after) if referable == "yes" else frozenset()
    return Expected(
        eyes=eyes,
        referable=referable,
        grade=person_grade(exam, eyes, referable),
        missing=missing,
        is_read=is_read,
        is_final=is_final,
        headline=headline(referable, eyes, after, lesions, is_read=is_read),
        lesions=lesions,
        may_say_nothing_beyond=referable == "no" and is_final,
        must_say_confirm=referable == "no" and not is_read,
        may_say_read_every_eye=is_read and not missing,
        worklist=worklist(eyes),
    )
