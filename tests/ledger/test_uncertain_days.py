"""A photograph of another day, or of another visit, does not make up for one that is missing."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.reading_cases import BY, exam_of, number, photograph, read, the_eye
from tests.visit_cases import NOW, TODAY

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, Grade, Reason, Referable, ReviewVerdict
from fundusd.domain.errors import RequestError
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import ExclusionReason, ReadingState
from fundusd.ledger import Ledger
from fundusd.reports import next_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

RESET, AHEAD = date(2019, 1, 1), date(2091, 3, 4)
OPEN, NO = Referable.INDETERMINATE, Referable.NO


@pytest.mark.parametrize("day", [RESET, AHEAD])
def test_b27_a_photograph_with_a_wrong_clock_does_not_supply_a_missing_eye(
    ledger: Ledger, day: date
) -> None:
    photograph(ledger, "od.dcm", acquired_at=NOW, acquired_day=TODAY)
    exam = photograph(ledger, "os.dcm", Eye.LEFT, acquired_day=day)
    left = the_eye(exam, Eye.LEFT)
    assert (exam.final.referable, left.reason) == (OPEN, EyeReason.DAY_UNCERTAIN)
    assert "Find out when capture 2 was taken: it may have been taken on another day." in (
        next_steps.steps(exam)
    )
    after = ledger.belongs(number(ledger, "os.dcm"), BY)
    assert after.final.referable is NO


def test_b27_nor_does_it_make_up_for_an_ungradable_one(ledger: Ledger) -> None:
    photograph(ledger, "1.dcm", reason=Reason.BLUR, field="macula", acquired_day=TODAY)
    exam = photograph(ledger, "2.dcm", field="macula", acquired_day=RESET)
    assert (the_eye(exam).referable, the_eye(exam).reason) == (OPEN, Reason.BLUR)


def test_b27_a_reader_cannot_see_from_a_photograph_when_it_was_taken(ledger: Ledger) -> None:
    photograph(ledger, "od.dcm", acquired_at=NOW, acquired_day=TODAY)
    exam = photograph(ledger, "os.dcm", Eye.LEFT, acquired_day=RESET)
    after = read(ledger, exam, ReviewVerdict.OVERRIDE, Eye.LEFT, grade=Grade.NO_DR)
    left = the_eye(after, Eye.LEFT)
    assert (left.state, left.final.referable) == (ReadingState.READ, OPEN)
    assert left.open_reason is EyeReason.DAY_UNCERTAIN


def test_b27_if_the_clock_is_wrong_for_all_photographs_their_exam_is_judged(
    ledger: Ledger,
) -> None:
    photograph(ledger, "od.dcm", acquired_day=RESET)
    exam = photograph(ledger, "os.dcm", Eye.LEFT, acquired_day=RESET)
    assert exam.final.referable is NO


def with_a_reset_clock(ledger: Ledger) -> None:
    """Record a dated right eye, a copy of it without a date, and a left eye with a wrong clock."""
    photograph(ledger, "od.dcm", acquired_at=NOW, acquired_day=TODAY)
    photograph(ledger, "od_copy.jpg")
    exam = photograph(ledger, "os.dcm", Eye.LEFT, acquired_day=RESET)
    assert the_eye(exam, Eye.LEFT).reason is EyeReason.DAY_UNCERTAIN


def test_a_photograph_that_was_overwritten_still_makes_its_day_certain(ledger: Ledger) -> None:
    with_a_reset_clock(ledger)
    photograph(ledger, "od.dcm", word="of somebody else", patient="PATIENT-8")
    exam = exam_of(ledger, "os.dcm")
    assert the_eye(exam, Eye.LEFT).reason is EyeReason.DAY_UNCERTAIN
    read(ledger, exam)
    after = read(ledger, exam, ReviewVerdict.OVERRIDE, Eye.LEFT, grade=Grade.NO_DR)
    assert (after.final.referable, after.is_final) == (OPEN, False)
    assert ledger.verify().problem == ""


@pytest.mark.parametrize("reason", list(ExclusionReason))
def test_so_does_one_that_was_excluded_unless_it_is_of_somebody_else(
    ledger: Ledger, reason: ExclusionReason
) -> None:
    with_a_reset_clock(ledger)
    after = ledger.exclude(number(ledger, "od.dcm"), reason, BY)
    is_uncertain = the_eye(after, Eye.LEFT).reason is EyeReason.DAY_UNCERTAIN
    assert is_uncertain is (reason is not ExclusionReason.NOT_THIS_PATIENT)


@pytest.fixture
def named(store_url: str) -> Iterator[Ledger]:
    """Yield a ledger with a camera whose names give the patient, the day and the eye."""
    pattern = r"(?P<patient>P\d)_(?P<date>\d{8})_(?P<eye>OD|OS)"
    ledger = Ledger(
        store_url,
        site_key=cases.SITE_KEY,
        naming={cases.CAMERA: Naming.of("generic", pattern)},
    )
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    yield ledger
    ledger.close()


def record(ledger: Ledger, name: str, word: str) -> None:
    """Record a photograph of the backlog about which only its name says anything."""
    ledger.admit(cases.found(name, word, backlog=True))
    for claim in ledger.claim(1):
        ledger.record([cases.finding(claim, cases.CONTENT_OF_JPEG, (5.0, 0.0, 0.0, 0.0, 0.0))])


OLD, NEW, LEFT = "P1_20250310_OD.jpg", "P1_20261101_OD.jpg", "P1_20261101_OS.jpg"


def exported_again(ledger: Ledger) -> None:
    """Record two visits, and the photograph of the first one again under the day of the second."""
    record(ledger, OLD, "the right eye in 2025")
    record(ledger, LEFT, "the left eye in 2026")
    record(ledger, NEW, "the right eye in 2025")


def test_b38_the_bytes_of_another_visit_do_not_supply_a_missing_eye(named: Ledger) -> None:
    exported_again(named)
    exam = exam_of(named, NEW)
    assert exam.exam_id == exam_of(named, LEFT).exam_id
    assert (exam.final.referable, the_eye(exam).reason) == (OPEN, EyeReason.DAY_UNCERTAIN)
    # nobody knows which of the two names is right
    assert the_eye(exam_of(named, OLD)).reason is EyeReason.DAY_UNCERTAIN


def test_b38_a_person_says_to_which_visit_the_bytes_belong(named: Ledger) -> None:
    exported_again(named)
    named.belongs(number(named, OLD), BY)
    with pytest.raises(RequestError, match="holds the same photograph"):
        named.belongs(number(named, NEW), BY)
    after = named.exclude(number(named, NEW), ExclusionReason.OTHER, BY)
    assert after.missing == (Eye.RIGHT,)
    assert the_eye(exam_of(named, OLD)).reason is None


def test_b38_excluding_the_copy_settles_the_first(named: Ledger) -> None:
    exported_again(named)
    named.exclude(number(named, NEW), ExclusionReason.OTHER, BY)
    assert the_eye(exam_of(named, OLD)).reason is None
    named.include(number(named, NEW), BY)
    assert the_eye(exam_of(named, OLD)).reason is EyeReason.DAY_UNCERTAIN


def test_a_file_that_was_renamed_to_the_right_day_leaves_no_doubt(named: Ledger) -> None:
    record(named, OLD, "the right eye")
    renamed(named, OLD, NEW, "the right eye")
    assert the_eye(exam_of(named, NEW)).reason is None


def test_a_parted_photograph_that_comes_again_is_in_doubt(ledger: Ledger) -> None:
    photograph(ledger, "od.jpg", word="right")
    photograph(ledger, "os.jpg", Eye.LEFT, word="left")
    ledger.part_exam(number(ledger, "os.jpg"), BY)
    ledger.admit(cases.found("again/os.jpg", "left"))
    exam = exam_of(ledger, "od.jpg")
    assert exam.final.referable is OPEN


def test_what_was_said_of_one_visit_does_not_hold_for_another_name(named: Ledger) -> None:
    exported_again(named)
    named.belongs(number(named, NEW), BY)
    record(named, "P1_20261102_OS.jpg", "the left eye a day later")
    moved = "P1_20261102_OD.jpg"
    renamed(named, NEW, moved, "the right eye in 2025")
    assert the_eye(exam_of(named, moved)).reason is EyeReason.DAY_UNCERTAIN


def renamed(ledger: Ledger, old: str, new: str, word: str) -> None:
    stat = cases.found(old, word).stat
    ledger.mark_missing(cases.CAMERA, [old.encode()])
    ledger.admit(cases.found(new, word, inode=stat.inode, mtime_ns=stat.mtime_ns))


def test_a_photograph_excluded_as_another_patients_counts_under_that_patients_name(
    named: Ledger,
) -> None:
    record(named, "P1_20261101_OS.jpg", "left")
    record(named, "P1_20261101_OD.jpg", "right")
    named.exclude(number(named, "P1_20261101_OD.jpg"), ExclusionReason.NOT_THIS_PATIENT, BY)
    renamed(named, "P1_20261101_OD.jpg", "P2_20261101_OD.jpg", "right")
    assert the_eye(exam_of(named, "P2_20261101_OD.jpg")).referable is NO
    assert exam_of(named, "P1_20261101_OS.jpg").missing == (Eye.RIGHT,)
    assert named.verify().problem == ""


def test_b38_a_joined_photograph_has_the_bytes_of_another_visit(named: Ledger) -> None:
    record(named, LEFT, "left")
    record(named, "unknown.jpg", "the right eye in 2025")
    unknown = exam_of(named, "unknown.jpg").exam_id
    named.join_exams(unknown, exam_of(named, LEFT).exam_id, BY)
    record(named, OLD, "the right eye in 2025")
    assert EyeReason.DAY_UNCERTAIN in {eye.reason for eye in exam_of(named, LEFT).eyes}
    assert the_eye(exam_of(named, OLD)).reason is EyeReason.DAY_UNCERTAIN


def test_bytes_that_are_said_not_to_be_the_patients_are_in_doubt_in_every_visit(
    named: Ledger,
) -> None:
    exported_again(named)
    record(named, "P1_20250310_OS.jpg", "the left eye in 2025")
    named.exclude(number(named, NEW), ExclusionReason.NOT_THIS_PATIENT, BY)
    exam = exam_of(named, OLD)
    assert (exam.final.referable, the_eye(exam).reason) == (OPEN, EyeReason.PATIENT_UNCERTAIN)
    read(named, exam, ReviewVerdict.OVERRIDE, grade=Grade.NO_DR)
    after = read(named, exam, eye=Eye.LEFT)
    assert (after.final.referable, after.is_final) == (OPEN, False)
    after = named.belongs(number(named, OLD), BY)
    assert the_eye(after).identity_doubt is None
    assert named.verify().problem == ""


def test_the_advice_about_a_copy_in_another_visit_of_the_patient_keeps_the_patient(
    named: Ledger,
) -> None:
    record(named, LEFT, "left")
    record(named, "unknown.jpg", "the right eye in 2025")
    unknown = exam_of(named, "unknown.jpg").exam_id
    named.join_exams(unknown, exam_of(named, LEFT).exam_id, BY)
    record(named, OLD, "the right eye in 2025")
    named.belongs(number(named, "unknown.jpg"), BY)
    with pytest.raises(RequestError) as refused:
        named.belongs(number(named, OLD), BY)
    assert "--reason other" in str(refused.value.hint)
