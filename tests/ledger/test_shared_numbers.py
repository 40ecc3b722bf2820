"""Photographs that give only a number which several persons of the day have."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_no_wrong_negative import problems
from tests.ledger.test_numbers_of_persons import BEFORE, NOW, doubts, graded, opened, renamed
from tests.reading_cases import BY, PDR, exam_of, number
from tests.visit_cases import TODAY

from fundusd.domain.clinical_terms import Eye, Reason, Referable
from fundusd.domain.errors import RequestError
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import AbsenceReason, ExclusionReason
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from fundusd.clinical.exam import Exam


@pytest.fixture
def ledger(store_url: str) -> Iterator[Ledger]:
    """Yield a ledger whose cameras write the patient's number into names."""
    with opened(store_url) as of_site:
        yield of_site


@pytest.fixture
def two(ledger: Ledger) -> Ledger:
    """Return a ledger with two persons of one number, and then a photograph of the number alone."""
    for issuer, study in (("HOSP", "1.2.3"), ("CLINIC", "1.2.4")):
        for eye in ("OD", "OS"):
            graded(ledger, f"P1_{eye}_{study[-1]}.dcm", issuer=issuer, study=study)
    graded(ledger, "P1_OD.jpg", logits=PDR)
    return ledger


def results(ledger: Ledger) -> list[Referable]:
    """Return the final results of both persons, after checking what is stored."""
    assert problems(ledger) == []
    return [exam_of(ledger, f"P1_OD_{number}.dcm").final.referable for number in (3, 4)]


def test_a_photograph_of_it_leaves_no_negative_for_either(two: Ledger) -> None:
    of_number = exam_of(two, "P1_OD.jpg")
    assert of_number.part  # otherwise documents about it would have the names of former ones
    assert results(two) == [Referable.INDETERMINATE] * 2
    with pytest.raises(RequestError, match="is of a number that the patients of exams") as refused:
        two.belongs(number(two, "P1_OD.jpg"), BY)
    assert "fundusd correct join" in (refused.value.hint or "")


def test_its_exam_is_joined_into_that_of_the_right_person(two: Ledger) -> None:
    of_number, person = exam_of(two, "P1_OD.jpg"), exam_of(two, "P1_OD_4.dcm")
    with pytest.raises(RequestError, match="gives only the number"):
        two.join_exams(person.exam_id, of_number.exam_id, BY)
    two.join_exams(of_number.exam_id, person.exam_id, BY)
    assert results(two) == [Referable.NO, Referable.YES]
    graded(two, "P1_OS.jpg", logits=PDR)  # of which nobody has said anything
    assert results(two) == [Referable.INDETERMINATE, Referable.YES]


def test_a_photograph_that_the_first_person_got_can_be_given_to_the_second(ledger: Ledger) -> None:
    graded(ledger, "P1_OD.jpg", logits=PDR)
    for issuer, study in (("HOSP", "1.2.3"), ("CLINIC", "1.2.4")):
        for eye in ("OD", "OS"):
            graded(ledger, f"P1_{eye}_{study[-1]}.dcm", issuer=issuer, study=study)
    assert results(ledger) == [Referable.YES, Referable.INDETERMINATE]
    ledger.belongs_to_other(number(ledger, "P1_OD.jpg"), BY)
    assert results(ledger) == [Referable.NO, Referable.YES]
    ledger.belongs_to_other(number(ledger, "P1_OD.jpg"), BY)
    assert results(ledger) == [Referable.YES, Referable.NO]


def test_a_joined_photograph_that_is_not_the_persons_is_in_question_again(two: Ledger) -> None:
    of_number, person = exam_of(two, "P1_OD.jpg"), exam_of(two, "P1_OD_3.dcm")
    two.join_exams(of_number.exam_id, person.exam_id, BY)
    assert results(two) == [Referable.YES, Referable.NO]
    two.exclude(number(two, "P1_OD.jpg"), ExclusionReason.NOT_THIS_PATIENT, BY)
    assert results(two)[1] is Referable.INDETERMINATE


def test_a_join_says_nothing_of_what_was_put_into_the_exam_before(ledger: Ledger) -> None:
    person = graded(ledger, "P1_OD_3.dcm", issuer="HOSP")
    graded(ledger, "P1_OD.jpg", logits=PDR)
    parted = ledger.part_exam(number(ledger, "P1_OD.jpg"), BY)
    ledger.join_exams(parted.exam_id, person.exam_id, BY)
    for eye in ("OD", "OS"):
        graded(ledger, f"P1_{eye}_4.dcm", issuer="CLINIC", study="1.2.4")
    later = graded(ledger, "P1_OS.jpg")
    ledger.join_exams(later.exam_id, person.exam_id, BY)
    assert results(ledger)[1] is Referable.INDETERMINATE


def test_an_exam_of_the_number_may_be_joined_into_one_of_another_day(two: Ledger) -> None:
    graded(two, f"P1_OD_{BEFORE}.jpg")
    before = graded(two, f"P1_OD_{BEFORE}_3.dcm", issuer="HOSP")
    two.join_exams(exam_of(two, "P1_OD.jpg").exam_id, before.exam_id, BY)
    assert results(two)[1] is Referable.NO
    graded(two, "P1_OS.jpg", logits=PDR)  # of the number; of its day
    [claim] = exam_of(two, "P1_OD_4.dcm").claims
    assert claim.capture_id == number(two, "P1_OS.jpg")


def test_a_photograph_that_was_given_to_the_number_is_in_question_too(ledger: Ledger) -> None:
    content = replace(cases.CONTENT_OF_JPEG, patient_id="P2", issuer="HOSP", study_uid="1.2.3")
    ledger.record([cases.finding(cases.take(ledger, "P1_OD.dcm", "x"), content, PDR)])
    ledger.belongs_to_other(number(ledger, "P1_OD.dcm"), BY)
    for issuer, study in (("HOSP", "1.2.3"), ("CLINIC", "1.2.4")):
        for eye in ("OD", "OS"):
            graded(ledger, f"P1_{eye}_{study[-1]}.dcm", issuer=issuer, study=study)
    assert results(ledger)[1] is Referable.INDETERMINATE


def test_a_second_person_may_come_by_a_photograph_that_is_given_to_them(ledger: Ledger) -> None:
    graded(ledger, f"P1_OD_{BEFORE}.jpg")
    person = graded(ledger, "P1_OD_3.dcm", issuer="HOSP")
    ledger.eye_absent(person.exam_id, Eye.LEFT, AbsenceReason.PROSTHESIS, BY)
    assert exam_of(ledger, f"P1_OD_{BEFORE}.jpg").absent == (Eye.LEFT,)
    content = replace(cases.CONTENT_OF_JPEG, patient_id="P2", issuer="CLINIC", study_uid="1.2.4")
    ledger.record([cases.finding(cases.take(ledger, "P1_OD_9.dcm", "x"), content, PDR)])
    graded(ledger, "P2_OD_3.dcm", issuer="HOSP", study="1.2.5")
    ledger.belongs_to_other(number(ledger, "P1_OD_9.dcm"), BY)
    ledger.belongs_to_other(number(ledger, "P1_OD_9.dcm"), BY)
    assert problems(ledger) == []


# -- damaged files of which the header is read only when they are tried again


def damaged(ledger: Ledger, name: str) -> Exam:
    ledger.fail(cases.take(ledger, name, name), Reason.DECODE_ERROR, "damaged")
    assert problems(ledger) == []
    return exam_of(ledger, name)


def tried_again(
    ledger: Ledger, name: str, patient_id: str, issuer: str | None, day: date | None = None
) -> None:
    """Have a failed file graded after all: PDR."""
    ledger.retry(number(ledger, name))
    [claim] = ledger.claim(1)
    content = replace(cases.CONTENT_OF_JPEG, patient_id=patient_id, issuer=issuer, acquired_day=day)
    ledger.record([cases.finding(claim, content, PDR)])
    assert problems(ledger) == []


@pytest.fixture
def two_persons(ledger: Ledger) -> Ledger:
    """Return a ledger with two persons of one number, and a third one."""
    for issuer, study in (("HOSP", "1.2.3"), ("CLINIC", "1.2.4")):
        for eye in ("OD", "OS"):
            graded(ledger, f"P1_{eye}_{study[-1]}.dcm", issuer=issuer, study=study)
    for eye in ("OD", "OS"):
        graded(ledger, f"P2_{eye}.jpg")
    return ledger


def test_a_header_that_names_the_other_person_leaves_both_in_doubt(two_persons: Ledger) -> None:
    of_number = damaged(two_persons, "P1_OD.dcm")
    person = exam_of(two_persons, "P1_OD_3.dcm")
    two_persons.join_exams(of_number.exam_id, person.exam_id, BY)
    tried_again(two_persons, "P1_OD.dcm", "P1", "CLINIC")
    assert results(two_persons)[1] is Referable.INDETERMINATE
    assert EyeReason.PATIENT_UNCERTAIN in doubts(exam_of(two_persons, "P1_OD_3.dcm"))


@pytest.mark.parametrize(("patient", "issuer"), [("P2", None), ("P1", "HOSP")])
def test_so_does_one_that_names_another_than_a_person_has_said(
    ledger: Ledger, patient: str, issuer: str | None
) -> None:
    for eye in ("OD", "OS"):
        graded(ledger, f"P1_{eye}_3.dcm", issuer="HOSP")
        graded(ledger, f"P2_{eye}.jpg")
    damaged(ledger, "P1_OD.dcm")
    for eye in ("OD", "OS"):
        graded(ledger, f"P1_{eye}_4.dcm", issuer="CLINIC", study="1.2.4")
    ledger.belongs_to_other(number(ledger, "P1_OD.dcm"), BY)
    tried_again(ledger, "P1_OD.dcm", patient, issuer)
    named = "P2_OD.jpg" if patient == "P2" else "P1_OD_3.dcm"
    assert exam_of(ledger, named).final.referable is Referable.INDETERMINATE


def test_a_header_that_names_another_day_moves_the_photograph_to_it(ledger: Ledger) -> None:
    for day in (BEFORE, NOW):
        for eye in ("OD", "OS"):
            graded(ledger, f"P1_{eye}_{day}_3.dcm", issuer="HOSP")
    damaged(ledger, "P1_OD.dcm")
    tried_again(ledger, "P1_OD.dcm", "P1", None, TODAY - timedelta(days=1))
    assert exam_of(ledger, f"P1_OD_{BEFORE}_3.dcm").final.referable is Referable.YES


def test_what_a_retake_replaced_counts_again_if_it_turns_out_to_be_referable(
    ledger: Ledger,
) -> None:
    damaged(ledger, "P2_OD.jpg")
    for name in ("P2_OD_2.jpg", "P2_OS_2.jpg"):
        graded(ledger, name)
    ledger.exclude(number(ledger, "P2_OD.jpg"), ExclusionReason.RETAKEN, BY)
    assert exam_of(ledger, "P2_OD_2.jpg").final.referable is Referable.NO
    tried_again(ledger, "P2_OD.jpg", "P2", None)
    assert exam_of(ledger, "P2_OD_2.jpg").final.referable is Referable.YES


def test_what_was_said_of_a_file_is_forgotten_if_its_new_name_gives_a_third_patient(
    ledger: Ledger,
) -> None:
    for eye in ("OD", "OS"):
        graded(ledger, f"P3_{eye}.jpg")
    content = replace(cases.CONTENT_OF_JPEG, patient_id="P1")
    ledger.record([cases.finding(cases.take(ledger, "P2_OD_9.dcm", "P2_OD_9.dcm"), content, PDR)])
    ledger.belongs(number(ledger, "P2_OD_9.dcm"), BY)
    renamed(ledger, "P2_OD_9.dcm", "P3_OD_9.dcm")
    assert exam_of(ledger, "P3_OD.jpg").final.referable is Referable.INDETERMINATE
