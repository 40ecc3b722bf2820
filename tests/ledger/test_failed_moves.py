"""C21: a renamed file counts at its old place until it has a result at the new one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_moved_files import (
    ARCHIVED,
    LEFT,
    NO,
    RIGHT,
    YES,
    by_number,
    judge_waiting,
    moved,
    opened,
    record,
)
from tests.reading_cases import BY, PDR, exam_of, number, the_eye

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.readings import ExclusionReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.ledger import Ledger


@pytest.fixture
def named(store_url: str) -> Iterator[Ledger]:
    """Yield a ledger with a camera whose names give the patient, the day and the eye."""
    yield from opened(store_url)


def failed_elsewhere(ledger: Ledger, name: str) -> None:
    """Rename the right photograph of P1 under a new release, which cannot read it."""
    ledger.start(replace(cases.release(), revision="another"))
    moved(ledger, RIGHT, name)
    [claim] = ledger.claim(1)
    ledger.fail(claim, Reason.OUT_OF_MEMORY, "no memory")


@pytest.mark.parametrize("name", [ARCHIVED, "P2_20261101_OD.jpg"])
def test_c21_a_failure_at_the_new_place_is_no_judgement(named: Ledger, name: str) -> None:
    exam = record(named, RIGHT, PDR)
    failed_elsewhere(named, name)
    assert by_number(named, exam.exam_id).final.referable is YES
    named.retry(number(named, name))
    judge_waiting(named)
    assert by_number(named, exam.exam_id).final.referable is not YES
    assert named.verify().problem == ""


def test_c21_nor_does_it_leave_a_doubt_beside_the_same_bytes(named: Ledger) -> None:
    exam = record(named, RIGHT)
    record(named, LEFT)
    failed_elsewhere(named, ARCHIVED)
    assert by_number(named, exam.exam_id).final.referable is NO


def test_c21_a_file_that_failed_at_its_new_place_is_corrected_at_the_old_one_too(
    named: Ledger,
) -> None:
    record(named, RIGHT, PDR)
    failed_elsewhere(named, ARCHIVED)
    after = named.exclude(number(named, ARCHIVED), ExclusionReason.TEST, BY)
    assert after.eyes == ()
    assert named.verify().problem == ""


def test_c21_a_file_that_failed_for_another_patient_can_be_excluded_at_its_old_place(
    named: Ledger,
) -> None:
    record(named, RIGHT, PDR)
    failed_elsewhere(named, "P2_20261101_OD.jpg")
    after = named.exclude(number(named, RIGHT), ExclusionReason.NOT_THIS_PATIENT, BY)
    assert after.eyes == ()


def test_c21_what_failed_at_a_second_place_does_not_count_for_two_patients(named: Ledger) -> None:
    exam = record(named, RIGHT, PDR)
    failed_elsewhere(named, ARCHIVED)
    named.start(replace(cases.release(), revision="a third"))
    moved(named, ARCHIVED, "P2_20261101_OD.jpg", RIGHT)
    judge_waiting(named, PDR)
    assert by_number(named, exam.exam_id).eyes == ()
    assert exam_of(named, "P2_20261101_OD.jpg").final.referable is YES


def test_what_was_said_of_the_old_patient_is_forgotten_if_the_new_place_fails(
    named: Ledger,
) -> None:
    record(named, RIGHT)
    named.exclude(number(named, RIGHT), ExclusionReason.NOT_THIS_PATIENT, BY)
    failed_elsewhere(named, "P2_20261101_OD.jpg")
    assert the_eye(exam_of(named, "P2_20261101_OD.jpg")).reason is Reason.OUT_OF_MEMORY
    assert named.verify().problem == ""
