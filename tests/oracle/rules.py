"""What docs/exams.md says follows from an exam.

Written from that page alone, to be read beside it; it shares no code with fundusd. The sections
of the page are in `eyes`, `readings`, `person`, `sentences` and `steps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.oracle.events import Exam
from tests.oracle.person import Person, on_list_as, person_of, worklist
from tests.oracle.sentences import eyes_in_dispute, headline, may_say_read_every_eye, worst_grade
from tests.oracle.steps import steps


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


@dataclass(frozen=True, slots=True)
class Expected:
    """The person, and each eye that has a result."""

    eyes: Mapping[str, ExpectedEye]
    referable: str
    grade: int | None
    missing: tuple[str, ...]
    missing_fields: tuple[str, ...]
    is_read: bool
    is_final: bool
    headline: str
    lesions: frozenset[str]
    may_say_read_every_eye: bool
    eyes_in_dispute: tuple[str, ...]  # as "the right eye", if it is said that readers differ
    worst_grade: int | None
    steps: tuple[str, ...]
    worklist: tuple[str, ...]


def expected_eye(person: Person, eye: str) -> ExpectedEye:
    """Everything about an eye."""
    model, after = person.models[eye], person.after[eye]
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
        on_list_as=on_list_as(person, eye),
    )


def expected(exam: Exam) -> Expected:
    """Everything that the page says follows from an exam."""
    person = person_of(exam)
    sentence, lesions = headline(person)
    return Expected(
        eyes={eye: expected_eye(person, eye) for eye in person.models},
        referable=person.referable,
        grade=person.grade,
        missing=person.missing,
        missing_fields=person.missing_fields,
        is_read=person.is_read,
        is_final=person.is_final,
        headline=sentence,
        lesions=lesions,
        may_say_read_every_eye=may_say_read_every_eye(person),
        eyes_in_dispute=eyes_in_dispute(person),
        worst_grade=worst_grade(person),
        steps=tuple(steps(person)),
        worklist=worklist(person),
    )
