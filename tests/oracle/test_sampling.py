"""No exam of the enumeration has a reading that the page refuses."""

from __future__ import annotations

from itertools import islice

from tests.oracle.cases import enumerated, sampled
from tests.oracle.corrected_cases import corrected_after_readings
from tests.oracle.events import Exam, Reading
from tests.oracle.kinds import graded, numbered, without_grade
from tests.oracle.sampling import is_allowed

CUT, BLUR = without_grade("failed", "truncated"), without_grade("ungradable", "blur")


def is_allowed_of(reading: Reading, *outcomes: str) -> bool:
    """Say if a reading is allowed of a right eye whose files have these outcomes."""
    kinds = {"failed": CUT, "ungradable": BLUR, "graded": graded(0)}
    files = numbered([kinds[outcome] for outcome in outcomes])
    return is_allowed(Exam(files, (reading,)))


def test_what_is_refused() -> None:
    agree = Reading("a", "routine", "agree", "R", after=1)
    grade = Reading("a", "routine", "override", "R", 0, after=1)
    retake = Reading("a", "routine", "retake", "R", after=1)
    assert not is_allowed_of(agree, "ungradable")
    assert is_allowed_of(agree, "graded")
    assert not is_allowed_of(grade, "failed")
    assert is_allowed_of(grade, "ungradable")
    assert not is_allowed_of(grade, "failed", "graded")
    later = Reading("a", "routine", "override", "R", 0, after=2)
    assert is_allowed_of(later, "failed", "ungradable")
    assert is_allowed_of(retake, "failed")


def test_no_reading_of_the_enumeration_is_refused() -> None:
    for exam in enumerated(2003):
        assert is_allowed(exam)


def test_the_sample_has_all_that_the_rules_name() -> None:
    exams = list(sampled(1500, 3))
    assert sum(bool(exam.corrections and exam.readings) for exam in exams) > 200
    assert sum(exam.absent == {"R", "L"} for exam in exams) > 20
    early = [
        exam
        for exam in exams
        if any(reading.corrected < len(exam.corrections) for reading in exam.readings)
    ]
    assert len(early) > 100
    assert len(list(islice(corrected_after_readings(50), 1000))) == 1000
