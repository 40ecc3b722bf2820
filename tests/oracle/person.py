"""The sections "A person" and "Lists" of docs/exams.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.oracle.events import Exam
from tests.oracle.eyes import ModelResult
from tests.oracle.moments import files_at, places_of, results_at
from tests.oracle.readings import (
    MOST_SEVERE_FIRST,
    ReadResult,
    highest_grade,
    identity_of_eye,
    readings_of,
    result_after_readings,
)

BOTH = frozenset({"R", "L"})
READERS_ASKED = ("reader_asks_retake", "reader_ungradable")
GROUPS = ("yes", "indeterminate", "no")  # of the worklist: the last are the confirmations


@dataclass(frozen=True, slots=True)
class Person:
    """The eyes of an exam that have a result: the model's of today, and after the readings."""

    exam: Exam
    models: Mapping[str, ModelResult]
    after: Mapping[str, ReadResult]

    @property
    def counting(self) -> list[str]:
        """All eyes but absent ones; those only if they are `yes`."""
        return [
            eye
            for eye, result in self.after.items()
            if eye not in self.exam.absent or result.referable == "yes"
        ]

    @property
    def saying_yes(self) -> list[str]:
        """The eyes that are `yes`; they count even if they are said to be absent."""
        return [eye for eye, result in self.after.items() if result.referable == "yes"]

    @property
    def lacks_both(self) -> bool:
        """Whether both eyes are said to be absent."""
        return self.exam.absent >= BOTH

    @property
    def impossible(self) -> tuple[str, ...]:
        """The eyes of which a photograph was graded, although each is said to be a prosthesis."""
        if self.exam.absence != "prosthesis":
            return ()
        return tuple(
            eye
            for eye in "RL"
            if eye in self.exam.absent and eye in self.models
            if any(placed.file.outcome == "graded" for placed in self.models[eye].files)
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """The right or left eye without a result that is not said to be absent."""
        return tuple(eye for eye in "RL" if eye not in self.models and eye not in self.exam.absent)

    @property
    def missing_fields(self) -> tuple[str, ...]:
        """What was not photographed: eyes, and fields of eyes that count."""
        eyes = ("R", "L") if self.lacks_both else self.missing
        fields = [
            f"{eye}/{field}" for eye in self.counting for field in self.models[eye].missing_fields
        ]
        return tuple(sorted((*eyes, *fields)))

    @property
    def referable(self) -> str:
        """The most severe result of the eyes that count, with undecided for what is missing."""
        words = {self.after[eye].referable for eye in self.counting}
        if self.missing or self.lacks_both or self.exam.claimed or self.impossible:
            words.add("indeterminate")
        return next(word for word in MOST_SEVERE_FIRST if word in words)

    @property
    def grade(self) -> int | None:
        """The highest final grade of the eyes that count, but none below 1 if undecided."""
        grade = highest_grade([self.after[eye].grade for eye in self.counting])
        return grade if self.referable != "indeterminate" else none_below_1(grade)

    @property
    def is_read(self) -> bool:
        """Every eye that counts is read, and there is one."""
        states = [self.after[eye].state for eye in self.counting]
        return bool(states) and all(state == "read" for state in states)

    @property
    def is_final(self) -> bool:
        """Read, nothing on the worklist, no eye missing, none unknown, nothing open."""
        return (
            self.is_read
            and all(on_list_as(self, eye) is None for eye in self.counting)
            and not self.missing
            and not self.lacks_both
            and "U" not in self.models
            and not any(identity_of_eye(eye, self.models[eye]) for eye in self.counting)
            and not self.exam.open_follow_ups
            and not self.exam.claimed
            and not self.impossible
            and not (self.referable == "no" and self.exam.other_exam in {"yes", "indeterminate"})
        )


def none_below_1(grade: int | None) -> int | None:
    """Return a grade that may be said of an undecided person."""
    return grade if grade is not None and grade >= 1 else None


def on_list_as(person: Person, eye: str) -> str | None:
    """Return the table of the worklist."""
    exam, result = person.exam, person.after[eye]
    if eye in exam.absent and result.referable != "yes":
        return None
    if result.state == "disputed":
        return "arbitration"
    if result.state == "outdated":
        return "read_again"
    if result.state == "read":
        if result.referable == "yes":
            return "referable" if identity_of_eye(eye, person.models[eye]) else None
        waits = result.reason in READERS_ASKED and eye in exam.open_follow_ups
        return "undecided" if result.referable == "indeterminate" and not waits else None
    confirmation = "confirmation" if exam.confirm == "all" else None
    names = {"yes": "referable", "indeterminate": "undecided", "no": confirmation}
    return names[result.referable]


def list_rank(person: Person, eye: str) -> tuple[int, int]:
    """First the group, then the highest grade among the photographs and the readings.

    A lower rank comes first; equal ranks have no order on the page.
    """
    after = person.after[eye]
    return GROUPS.index(after.referable), -(highest_grade(grades_seen(person, eye)) or 0)


def grades_seen(person: Person, eye: str) -> list[int | None]:
    """Return the grades of the photographs of an eye and of its remaining readings."""
    of_files = [placed.file.grade for placed in person.models[eye].files]
    return of_files + [statement.grade for statement in person.after[eye].remaining]


def worklist(person: Person) -> tuple[str, ...]:
    """Return the eyes on the list in their order; equal ones stay in the order R, L, U."""
    listed = [eye for eye in person.models if on_list_as(person, eye) is not None]
    return tuple(sorted(listed, key=lambda eye: list_rank(person, eye)))


def person_of(exam: Exam) -> Person:
    """Return the model's results of today, and those after the readings."""
    at = {
        moment: results_at(exam, moment)
        for moment in {exam.now, *(reading.moment for reading in exam.readings)}
    }
    places = places_of(files_at(exam, exam.now)) if exam.readings else {}
    models = at[exam.now]
    after = {
        eye: result_after_readings(
            eye, readings_of(eye, exam.readings, at, places), at, models[eye]
        )
        for eye in models
    }
    return Person(exam, models, after)
