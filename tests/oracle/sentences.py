"""The section "What is said" of docs/exams.md."""

from __future__ import annotations

from tests.oracle.person import Person, grades_seen, none_below_1
from tests.oracle.readings import highest_grade, refers

LESION = "Referable: another lesion"  # and its name, which stands in Expected.lesions
READ_YES = "Referable diabetic retinopathy"
MODEL_YES = "The model suggests: referable diabetic retinopathy"
READER_YES = "A reader suggests: referable diabetic retinopathy"
MACULOPATHY = " with maculopathy M1"  # behind what readers say
UNDECIDED = "Undecided: referable diabetic retinopathy is not ruled out"
MODEL_NO = "The model suggests: no referable diabetic retinopathy"
READ_NO = "No referable diabetic retinopathy"
NAMES = {"R": "the right eye", "L": "the left eye", "U": "that eye"}


def lesions_if_only(person: Person, eye: str) -> frozenset[str]:
    """Return the lesions because of which alone an eye is `yes`; none if it is not so."""
    result = person.after[eye]
    saying = [statement for statement in result.rests_on if statement.referable == "yes"]
    if result.state not in {"read", "disputed"} and person.models[eye].referable == "yes":
        return frozenset()
    for statement in saying:
        reading = statement.reading
        if reading.lesion is None or reading.maculopathy or refers(statement.grade):
            return frozenset()
    return frozenset(str(statement.reading.lesion) for statement in saying)


def headline(person: Person) -> tuple[str, frozenset[str]]:
    """Return the sentence about the person, and the lesions that it names."""
    if person.referable == "indeterminate":
        return UNDECIDED, frozenset()
    if person.referable == "no":
        return (READ_NO if person.is_read else MODEL_NO), frozenset()
    lesions = {eye: lesions_if_only(person, eye) for eye in person.saying_yes}
    if all(lesions.values()):
        return LESION, frozenset().union(*lesions.values())
    with_maculopathy = MACULOPATHY if any(rests_on_m1(person, eye) for eye in lesions) else ""
    if any(person.after[eye].state == "read" and not lesions[eye] for eye in lesions):
        return READ_YES + with_maculopathy, frozenset()
    if any(person.models[eye].referable == "yes" for eye in lesions):
        return MODEL_YES, frozenset()
    return READER_YES + with_maculopathy, frozenset()


def rests_on_m1(person: Person, eye: str) -> bool:
    """Say if a reading that the final result of an eye rests on says maculopathy."""
    return any(statement.reading.maculopathy for statement in person.after[eye].rests_on)


def may_say_read_every_eye(person: Person) -> bool:
    """Say if "A human has read every eye." is true of the person."""
    was_judged = not person.exam.absent or person.exam.absence == "prosthesis"
    return person.is_read and not person.missing and was_judged


def eyes_in_dispute(person: Person) -> tuple[str, ...]:
    """Return the names of the eyes about which readers are said to differ, if that is said."""
    states = [person.after[eye].state for eye in person.counting]
    if person.missing or not set(states) <= {"read", "disputed"}:
        return ()
    return tuple(NAMES[eye] for eye in person.counting if person.after[eye].state == "disputed")


def worst_grade(person: Person) -> int | None:
    """Return the worst grade seen."""
    if person.referable == "no":
        return person.grade
    if person.referable == "yes":
        return none_below_1(person.grade)
    seen = [grade for eye in person.counting for grade in grades_seen(person, eye)]
    return none_below_1(highest_grade(seen))
