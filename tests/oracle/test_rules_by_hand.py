"""Exams whose results were worked out by hand from docs/exams.md. No test here runs fundusd."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.oracle.events import Correction, Exam, File, Reading
from tests.oracle.kinds import BOTH_FIELDS, doubtful, graded, numbered, without_grade
from tests.oracle.rules import Expected, ExpectedEye, expected
from tests.oracle.sentences import NAMES
from tests.oracle.steps import (
    CHECK_ABSENT,
    CHECK_BOTH,
    CONFIRM,
    NOTHING_BEYOND,
    ON_NO_LIST,
)

GOOD, YES, BLUR = graded(0), graded(3), without_grade("ungradable", "blur")
CUT, MONTAGE = without_grade("failed", "truncated"), without_grade("refused", "montage")
RED_FREE = without_grade("refused", "redfree_or_fa")
SWAPPED, OF_TWO = graded(1, "eye_contradicted"), graded(0, "patient_conflict")
LEFT = replace(GOOD, eye="L")


def of_field(kind: File, field: str) -> File:
    """Return a photograph of this field."""
    return replace(kind, field=field)


def exam_of(*kinds: File) -> Exam:
    """Return an exam whose capture 1 is a good photograph of the left eye."""
    return Exam(numbered([LEFT, *kinds]))


def read_then(kinds: tuple[File, ...], reading: Reading, *corrections: Correction) -> Expected:
    """Return what follows if a reading is given after all files, and corrections come later."""
    exam = exam_of(*kinds)
    given = replace(reading, after=len(exam.files))
    return expected(replace(exam, readings=(given,), corrections=corrections))


def after(eye: ExpectedEye) -> tuple[str, str, int | None, str | None, str]:
    """Return what is expected of an eye after its readings."""
    return eye.state, eye.final_referable, eye.final_grade, eye.final_reason, eye.final_action


def says(verdict: str, grade: int | None = None, eye: str = "R", reader: str = "a") -> Reading:
    """Return a routine reading."""
    return Reading(reader, "routine", verdict, eye, grade)


def accompanying(*warnings: str) -> File:
    """Return a red-free picture with these warnings."""
    return doubtful("refused", "redfree_or_fa", *warnings)


UNCERTAIN_2 = ("indeterminate", None, "patient_uncertain", 2)
CONTRADICTED_3 = ("indeterminate", None, "eye_contradicted", 3)
CONTRADICTED_2 = ("indeterminate", None, "eye_contradicted", 2)


@pytest.mark.parametrize(
    ("kinds", "result"),
    [
        # Whose photograph it is: a warning, and a person who says that it belongs.
        ((OF_TWO,), UNCERTAIN_2),
        ((replace(OF_TWO, belongs=True),), ("no", 0, None, 2)),
        ((replace(SWAPPED, belongs=True),), CONTRADICTED_2),
        ((graded(0, "eye_contradicted", "patient_conflict"),), CONTRADICTED_2),
        ((graded(0, "patient_conflict", "eye_contradicted", eye_said=True),), UNCERTAIN_2),
        ((OF_TWO, GOOD), UNCERTAIN_2),
        # Evidence of nothing but the disc; one photograph of an unknown field is enough.
        ((of_field(GOOD, "disc"),), ("indeterminate", None, "field_missing", 2)),
        ((of_field(GOOD, "disc"), GOOD), ("no", 0, None, 3)),
        ((of_field(YES, "disc"),), ("yes", 3, None, 2)),
        (
            (of_field(BLUR, "disc"), of_field(GOOD, "disc")),
            ("indeterminate", None, "field_missing", 3),
        ),
        (
            (of_field(BLUR, "macula"), of_field(GOOD, "disc")),
            ("indeterminate", None, "blur", 2),
        ),
        # Nothing makes up for a montage, not even a retake of its field.
        (
            (of_field(MONTAGE, "macula"), of_field(GOOD, "macula")),
            ("indeterminate", None, "montage", 2),
        ),
        ((MONTAGE, YES), ("yes", 3, None, 3)),
        # Accompanying files: alone, beside evidence, and with an identity doubt.
        ((accompanying("eye_contradicted"), GOOD), CONTRADICTED_2),
        ((accompanying("not_a_patient"),), UNCERTAIN_2),
        ((replace(accompanying("not_a_patient"), belongs=True), GOOD), ("no", 0, None, 3)),
        ((accompanying("patient_conflict"), YES), ("yes", 3, None, 3)),
        ((accompanying("patient_conflict"), BLUR), ("indeterminate", None, "blur", 3)),
        ((accompanying("patient_conflict"), SWAPPED), CONTRADICTED_3),
        # A file that was overwritten: its doubt is resolved by the file that took its path.
        ((replace(CUT, path_taken_by=3), GOOD), ("no", 0, None, 3)),
        ((CUT, GOOD), ("indeterminate", None, "truncated", 2)),
        # Nor does an overwritten file make up for any other.
        (
            (replace(of_field(GOOD, "macula"), path_taken_by=3), of_field(BLUR, "macula")),
            ("indeterminate", None, "blur", 3),
        ),
    ],
)
def test_the_result_of_the_right_eye(kinds: tuple[File, ...], result: tuple[object, ...]) -> None:
    eye = expected(exam_of(*kinds)).eyes["R"]
    assert (eye.referable, eye.grade, eye.reason, eye.decisive) == result


def test_missing_fields_of_an_eye_of_which_there_is_only_the_disc() -> None:
    person = expected(exam_of(of_field(GOOD, "disc")))
    assert person.missing_fields == ("R/macula",)
    assert person.steps == ("Photograph the macula of the right eye (not seen yet).",)
    taken = expected(exam_of(of_field(BLUR, "macula"), of_field(GOOD, "disc")))
    assert taken.missing_fields == ()
    both = replace(exam_of(RED_FREE), expected_fields=BOTH_FIELDS)
    assert expected(both).eyes["R"].missing_fields == BOTH_FIELDS
    step = "Photograph the disc and the macula of the right eye (not seen yet)."
    assert expected(both).steps[0] == step


def test_sources_that_disagree_leave_an_eye_unknown_until_a_person_says_it() -> None:
    doubted = expected(exam_of(replace(GOOD, conflict=True)))
    assert (doubted.eyes["U"].reason, doubted.missing) == ("eye_unknown", ("R",))
    assert doubted.steps == (
        "Find out which eye capture 2 shows",
        "Photograph the right eye, unless it is the eye that is not known.",
    )
    cleared = expected(exam_of(replace(GOOD, conflict=True, eye_said=True)))
    assert (cleared.eyes["R"].referable, cleared.missing) == ("no", ())


def test_what_was_said_of_the_eye_survives_the_exclusion_of_its_file() -> None:
    files = numbered([LEFT, replace(GOOD, eye="R"), replace(GOOD, conflict=True)])
    together = (files[0], replace(files[1], photograph=2), replace(files[2], photograph=2))
    corrections = (Correction(2, "eye", 2, "R"), Correction(2, "exclude", 2))
    assert list(expected(Exam(together, corrections=corrections)).eyes) == ["R", "L"]
    assert list(expected(Exam(together, corrections=corrections[1:])).eyes) == ["L", "U"]


def test_an_unknown_eye_with_accompanying_files_only_counts_if_it_is_alone() -> None:
    unknown = replace(RED_FREE, eye="U")
    assert list(expected(exam_of(unknown)).eyes) == ["L"]
    alone = expected(Exam(numbered([unknown])))
    assert alone.eyes["U"].reason == "redfree_or_fa"
    assert alone.steps[:2] == (
        "Find out which eye capture 1 shows",
        "Have a reader look at the photograph of that eye.",
    )


def test_both_eyes_absent() -> None:
    exam = replace(exam_of(GOOD), absent=frozenset("RL"))
    person = expected(exam)
    assert (person.referable, person.grade, person.worst_grade) == ("indeterminate", None, None)
    assert (person.missing, person.missing_fields) == ((), ("L", "R"))
    assert (person.is_read, person.is_final, person.worklist) == (False, False, ())
    assert person.steps == (*(CHECK_ABSENT.format(NAMES[eye]) for eye in "RL"), CHECK_BOTH)
    read_as_yes = replace(exam, readings=(replace(says("override", 3), after=2),))
    person = expected(read_as_yes)
    assert (person.referable, person.grade, person.is_read) == ("yes", 3, True)
    assert not person.is_final
    assert person.steps == (
        "Refer to an eye specialist.",
        "Check which eye this is: the right eye is said to be absent, but was photographed.",
        "Check which eye this is: the left eye is said to be absent, but was photographed.",
        CHECK_BOTH,
    )


OUTDATED_YES = ("outdated", "yes", 3, "reading_outdated", "refer_reader")
OUTDATED = ("outdated", "indeterminate", None, "reading_outdated", "refer_reader")


@pytest.mark.parametrize(
    ("kinds", "reading", "correction", "result"),
    [
        # An exclusion after the reading: the set is smaller now.
        ((GOOD, GOOD), says("override", 3), Correction(2, "exclude", 3), OUTDATED_YES),
        ((GOOD, GOOD), says("agree"), Correction(2, "exclude", 3), OUTDATED),
        (
            (GOOD, BLUR),
            says("override", 0),
            Correction(2, "exclude", 3),
            ("outdated", "indeterminate", None, "blur", "retake"),
        ),
        ((GOOD, YES), says("override", 0), Correction(3, "exclude", 3), OUTDATED),
        # Failed files are not in the set; excluding one can leave the reading current.
        ((YES, CUT), says("agree"), Correction(3, "exclude", 3), ("read", "yes", 3, None, "none")),
        ((GOOD, CUT), says("override", 0), Correction(3, "exclude", 3), OUTDATED),
        # A correction of the eye: the other photograph remains.
        ((GOOD, GOOD), says("override", 3), Correction(2, "eye", 3, "L"), OUTDATED_YES),
        # A correction that confirms the eye changes the model's result.
        ((SWAPPED,), says("override", 0), Correction(2, "eye", 2, "R"), OUTDATED),
        ((OF_TWO,), says("override", 3), Correction(2, "belongs", 2), OUTDATED_YES),
        # A referable photograph with a doubt is referable without it, too.
        (
            (graded(3, "patient_conflict"),),
            says("agree"),
            Correction(2, "belongs", 2),
            ("read", "yes", 3, None, "none"),
        ),
    ],
)
def test_a_correction_after_the_reading(
    kinds: tuple[File, ...],
    reading: Reading,
    correction: Correction,
    result: tuple[object, ...],
) -> None:
    assert after(read_then(kinds, reading, correction).eyes["R"]) == result


def test_a_reading_follows_its_photographs() -> None:
    to_left = Correction(2, "eye", 2, "L")
    moved = read_then((GOOD,), says("override", 3), to_left)
    assert (list(moved.eyes), moved.missing) == (["L"], ("R",))
    assert after(moved.eyes["L"]) == OUTDATED_YES
    assert moved.headline == "A reader suggests: referable diabetic retinopathy"
    half = read_then((GOOD, GOOD), says("override", 3), replace(to_left, after=3))
    assert after(half.eyes["R"]) == after(half.eyes["L"]) == OUTDATED_YES
    back = read_then((GOOD,), says("agree"), to_left, replace(to_left, eye="R"))
    assert after(back.eyes["R"]) == ("read", "no", 0, None, "none")
    assert back.eyes["L"].state == "unread"


def test_a_reading_stays_with_an_excluded_photograph() -> None:
    excluded = Correction(2, "exclude", 3)
    stays = read_then((GOOD, GOOD), says("override", 3), excluded, Correction(3, "eye", 3, "L"))
    assert list(stays.eyes) == ["L"]
    assert after(stays.eyes["L"]) == OUTDATED_YES
    read_of_one = replace(exam_of(GOOD, GOOD).files[2], number=3)
    exam = Exam((*exam_of(GOOD).files, read_of_one), corrections=(excluded,))
    person = expected(replace(exam, readings=(replace(says("override", 3), after=2),)))
    assert after(person.eyes["R"]) == OUTDATED_YES


def test_a_failed_file_leaves_no_negative() -> None:
    person = read_then((GOOD, CUT), says("override", 0))
    failed = ("read", "indeterminate", None, "truncated", "contact_it")
    assert after(person.eyes["R"]) == failed
    assert (person.eyes["R"].on_list_as, person.referable) == ("undecided", "indeterminate")
    doubted = read_then((OF_TWO, CUT), says("override", 0))
    assert doubted.eyes["R"].final_reason == "patient_uncertain"
    resolved = read_then((of_field(CUT, "macula"), of_field(GOOD, "macula")), says("agree"))
    assert after(resolved.eyes["R"]) == ("read", "no", 0, None, "none")
    assert after(read_then((GOOD, CUT), says("override", 2)).eyes["R"])[1:3] == ("yes", 2)


def test_an_identity_doubt_leaves_no_negative_and_always_has_its_step() -> None:
    person = read_then((accompanying("eye_contradicted"), GOOD), says("override", 0))
    doubted = ("read", "indeterminate", None, "eye_contradicted", "refer_reader")
    assert after(person.eyes["R"]) == doubted
    assert person.steps == ("Find out which eye capture 2 shows",)
    person = read_then((OF_TWO, graded(3, "not_a_patient")), says("agree"))
    assert person.steps == (
        "Refer to an eye specialist.",
        "Find out whose photograph capture 2 or capture 3 is:",
    )


def test_the_steps_of_a_negative() -> None:
    person = expected(exam_of(GOOD))
    assert person.steps == (CONFIRM, ON_NO_LIST)
    assert expected(replace(exam_of(GOOD), confirm="all")).steps == (CONFIRM,)
    readings = (replace(says("agree"), after=2), replace(says("agree", eye="L"), after=2))
    read = replace(exam_of(GOOD), readings=readings)
    assert expected(read).steps == (NOTHING_BEYOND,)
    followed = replace(read, open_follow_ups=frozenset("L"))
    assert (expected(followed).steps, expected(followed).is_final) == (
        ("follow-up of the left eye",),
        False,
    )


def test_the_steps_of_an_eye_that_readers_could_not_grade() -> None:
    exam = replace(exam_of(GOOD), readings=(replace(says("retake"), after=2),))
    again = "Take the photograph of the right eye again:"
    assert expected(exam).steps == (again,)
    assert expected(exam).worklist == ("R",)
    followed = expected(replace(exam, open_follow_ups=frozenset("R")))
    assert followed.steps == ("follow-up of the right eye",)
    assert followed.worklist == ()


def test_readers_who_differ() -> None:
    readings = [says("agree"), says("override", 4, reader="b"), says("agree", eye="L")]
    exam = replace(exam_of(GOOD), readings=tuple(replace(given, after=2) for given in readings))
    person = expected(exam)
    assert (person.eyes_in_dispute, person.may_say_read_every_eye) == (("the right eye",), False)
    assert person.headline == "A reader suggests: referable diabetic retinopathy"
    assert person.steps == (
        "Refer to an eye specialist, unless a reader decides otherwise.",
        "Have another reader decide about the right eye:",
    )
    assert expected(replace(exam, readings=exam.readings[:2])).eyes_in_dispute == ()


def test_the_worst_grade_seen_of_an_undecided_person() -> None:
    assert expected(exam_of(BLUR)).worst_grade is None
    assert expected(exam_of(graded(1), BLUR)).worst_grade == 1
    assert expected(exam_of(graded(1), GOOD)).worst_grade == 1
    seen = read_then((GOOD, OF_TWO), says("override", 1))
    assert (seen.referable, seen.grade, seen.worst_grade) == ("indeterminate", None, 1)
