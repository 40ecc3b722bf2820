"""The oracle beside the page: its tables row by row, and what must hold of every exam.

No test here runs fundusd.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.oracle.cases import Exam, File, Reading, sampled
from tests.oracle.eyes import placed
from tests.oracle.kinds import BOTH_FIELDS, graded, numbered, without_grade
from tests.oracle.moments import files_at
from tests.oracle.rules import Expected, ExpectedEye, expected
from tests.oracle.steps import CONFIRM, NOTHING_BEYOND

GOOD, YES, BLUR = graded(0), graded(3), without_grade("ungradable", "blur")
HAZE, CUT = without_grade("ungradable", "media_opacity"), without_grade("failed", "truncated")
RED_FREE = without_grade("refused", "redfree_or_fa")
SWAPPED = graded(1, "eye_contradicted")
SAMPLE = tuple(sampled(5_000, 7))


def macula(kind: File) -> File:
    """Return a photograph of the macula."""
    return replace(kind, field="macula")


def exam_of(*kinds: File, readings: tuple[Reading, ...] = (), fields: tuple[str, ...] = ()) -> Exam:
    """Return an exam whose left eye has a good photograph, which arrived first."""
    left = replace(GOOD, eye="L", field="macula")
    disc = replace(left, field="disc")
    files = numbered([left, *([disc] if fields else []), *kinds])
    return Exam(files, readings, fields)


def right(exam: Exam) -> ExpectedEye:
    """Return what is expected of the right eye."""
    return expected(exam).eyes["R"]


@pytest.mark.parametrize(
    ("kinds", "result"),
    [
        ((GOOD, YES, BLUR), ("yes", 3, None, "none", 3)),
        ((graded(4, "patient_conflict"),), ("yes", 4, None, "none", 2)),
        ((GOOD, BLUR), ("indeterminate", None, "blur", "retake", 3)),
        ((macula(GOOD), macula(BLUR)), ("no", 0, None, "none", 2)),
        ((BLUR, CUT), ("indeterminate", None, "blur", "retake", 2)),
        ((HAZE, CUT), ("indeterminate", None, "truncated", "contact_it", 3)),
        ((GOOD, SWAPPED), ("indeterminate", None, "eye_contradicted", "refer_reader", 3)),
        ((replace(SWAPPED, eye_said=True),), ("no", 1, None, "none", 2)),
        ((GOOD, RED_FREE), ("no", 0, None, "none", 2)),
        ((RED_FREE,), ("indeterminate", None, "redfree_or_fa", "refer_reader", 2)),
        ((graded(1), replace(YES, excluded=True)), ("no", 1, None, "none", 2)),
    ],
)
def test_the_rows_of_an_eye(kinds: tuple[File, ...], result: tuple[object, ...]) -> None:
    eye = right(exam_of(*kinds))
    assert (eye.referable, eye.grade, eye.reason, eye.action, eye.decisive) == result


def test_an_expected_field_without_evidence_is_missing() -> None:
    eye = right(exam_of(macula(GOOD), fields=BOTH_FIELDS))
    assert (eye.reason, eye.action, eye.missing_fields) == ("field_missing", "retake", ("disc",))


def test_another_field_does_not_make_up_for_a_doubt() -> None:
    assert right(exam_of(macula(BLUR), replace(GOOD, field="disc"))).reason == "blur"


def test_one_photograph_that_names_two_eyes_is_of_neither() -> None:
    exam = exam_of(GOOD, replace(GOOD, eye="L"))
    files = (*exam.files[:1], *(replace(file, photograph=9) for file in exam.files[1:]))
    person = expected(replace(exam, files=files))
    assert person.eyes["U"].reason == "eye_unknown"
    assert (person.missing, person.referable) == (("R",), "indeterminate")


def says(reader: str, verdict: str, grade: int | None = None, purpose: str = "routine") -> Reading:
    """Return a reading of the right eye, given after two files."""
    return Reading(reader, purpose, verdict, "R", grade, after=2)


NO_BY_A, YES_BY_B, ZERO_BY_B = (
    says("a", "agree"),
    says("b", "override", 4),
    says("b", "override", 0),
)
SETTLED = says("c", "override", 1, "arbitration")


@pytest.mark.parametrize(
    ("readings", "result"),
    [
        ((), ("unread", "no", 0, None)),
        ((NO_BY_A,), ("read", "no", 0, None)),
        ((NO_BY_A, YES_BY_B), ("disputed", "yes", 4, "readings_differ")),
        (
            (NO_BY_A, says("b", "ungradable")),
            ("disputed", "indeterminate", None, "readings_differ"),
        ),
        ((NO_BY_A, YES_BY_B, SETTLED), ("read", "no", 1, None)),
        (
            (NO_BY_A, YES_BY_B, SETTLED, says("c", "defer")),
            ("disputed", "yes", 4, "readings_differ"),
        ),
        ((YES_BY_B, ZERO_BY_B), ("read", "no", 0, None)),
        ((NO_BY_A, replace(YES_BY_B, purpose="quality_assurance")), ("read", "no", 0, None)),
        ((YES_BY_B, says("b", "defer")), ("unread", "no", 0, None)),
        ((says("a", "retake"),), ("read", "indeterminate", None, "reader_asks_retake")),
        ((says("a", "ungradable"),), ("read", "indeterminate", None, "reader_ungradable")),
        ((replace(says("a", "ungradable"), lesion="x"),), ("read", "yes", None, None)),
        ((replace(NO_BY_A, maculopathy=True),), ("read", "yes", 0, None)),
    ],
)
def test_the_states_of_an_eye(readings: tuple[Reading, ...], result: tuple[object, ...]) -> None:
    eye = right(exam_of(GOOD, readings=readings))
    assert (eye.state, eye.final_referable, eye.final_grade, eye.final_reason) == result


@pytest.mark.parametrize(
    ("reading", "later", "result"),
    [
        (NO_BY_A, GOOD, ("indeterminate", None, "reading_outdated", "refer_reader")),
        (NO_BY_A, BLUR, ("indeterminate", None, "blur", "retake")),
        (YES_BY_B, BLUR, ("yes", 4, "reading_outdated", "refer_reader")),
        (NO_BY_A, YES, ("yes", 3, "reading_outdated", "refer_reader")),
    ],
)
def test_a_later_photograph_outdates(
    reading: Reading, later: File, result: tuple[object, ...]
) -> None:
    eye = right(exam_of(GOOD, later, readings=(reading,)))
    assert (eye.state, eye.on_list_as) == ("outdated", "read_again")
    assert (eye.final_referable, eye.final_grade, eye.final_reason, eye.final_action) == result


def test_absent_eyes_count_only_if_yes() -> None:
    exam = replace(exam_of(BLUR), absent=frozenset("R"))
    assert expected(exam).referable == "no"
    assert expected(exam).worklist == ()
    assert expected(replace(exam_of(YES), absent=frozenset("R"))).referable == "yes"
    assert expected(replace(exam_of(GOOD), absent=frozenset("RL"))).referable == "indeterminate"


def test_the_sentences() -> None:
    left = Reading("a", "routine", "agree", "L", after=2)
    assert expected(exam_of(YES)).headline.startswith("The model suggests: referable")
    assert expected(exam_of(GOOD)).headline.startswith("The model suggests: no")
    assert expected(exam_of(BLUR)).headline.startswith("Undecided")
    assert expected(exam_of(GOOD, readings=(NO_BY_A, left))).headline.startswith("No referable")
    assert expected(exam_of(GOOD, readings=(YES_BY_B,))).headline.startswith("Referable diabetic")
    lesion = expected(exam_of(GOOD, readings=(replace(NO_BY_A, lesion="x"),)))
    assert (lesion.headline, sorted(lesion.lesions)) == ("Referable: another lesion", ["x"])


def evidence_free(exam: Exam, person: Expected) -> list[str]:
    """Return the eyes that count, are `no`, and that no reader and no good photograph answers."""
    files = placed(files_at(exam, exam.now), one_field=exam.one_field)
    good = {file.eye for file in files if file.counts_as == "evidence" and file.identity is None}
    return [
        name
        for name, eye in person.eyes.items()
        if name not in exam.absent and eye.state != "read" and name not in good
    ]


def test_a_person_is_no_only_if_somebody_could_know_it() -> None:
    persons = [(exam, expected(exam)) for exam in SAMPLE]
    of_no = [(exam, person) for exam, person in persons if person.referable == "no"]
    assert len(of_no) > 150
    for exam, person in of_no:
        assert {"R", "L"} <= set(person.eyes) | exam.absent
        assert {"R", "L"} - exam.absent
        assert not evidence_free(exam, person)
        for name, eye in person.eyes.items():
            if name not in exam.absent:
                assert (eye.state, eye.final_referable) in {("read", "no"), ("unread", "no")}
                assert name != "U"
                assert eye.state == "read" or eye.reason is None


def test_what_is_undecided_has_a_next_step() -> None:
    for exam in SAMPLE:
        person = expected(exam)
        open_eyes = [
            eye
            for name, eye in person.eyes.items()
            if eye.final_referable == "indeterminate" and name not in exam.absent
        ]
        assert all(eye.final_reason and eye.final_action != "none" for eye in open_eyes)
        if person.referable == "indeterminate":
            is_of_person = exam.claimed or exam.absent
            assert open_eyes or person.missing or is_of_person
            assert person.steps


def test_yes_of_any_file_or_reading_is_never_lost_by_a_doubt() -> None:
    for exam in SAMPLE:
        for eye in expected(exam).eyes.values():
            if eye.referable == "yes" and eye.state != "read":
                assert eye.final_referable == "yes" or eye.state == "disputed"


def test_nothing_beyond_the_interval_only_if_read_and_no() -> None:
    for exam in SAMPLE:
        person = expected(exam)
        assert not {NOTHING_BEYOND, CONFIRM} <= set(person.steps)
        assert (CONFIRM in person.steps) == person.headline.startswith("The model suggests: no")
        assert NOTHING_BEYOND not in person.steps or person.may_say_read_every_eye
        assert not person.is_final or person.may_say_read_every_eye or exam.absent


def test_the_worst_grade_seen_is_at_least_that_of_the_person() -> None:
    for exam in SAMPLE:
        person = expected(exam)
        assert (person.grade or 0) <= (person.worst_grade or 0)
        assert person.worst_grade != 0 or person.referable == "no"
