"""Lists name the patient of the exam, and never another one whom a photograph names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests import ledger_cases as cases
from tests.ledger.test_readings import rows
from tests.reading_cases import BY, number, photograph, read

from fundusd.domain.clinical_terms import Eye, Grade, Reason, ReviewVerdict

if TYPE_CHECKING:
    from fundusd.ledger import Ledger


def test_the_number_in_a_header_that_is_read_after_a_join_is_not_the_patients(
    ledger: Ledger,
) -> None:
    exam = photograph(ledger, "1.dcm", Eye.LEFT)
    claim = cases.take(ledger, "2.dcm", "2.dcm")
    ledger.fail(claim, Reason.DECODE_ERROR, "the decoder ended")
    damaged = ledger.exam_of(number(ledger, "2.dcm"))
    assert damaged is not None
    ledger.join_exams(damaged.exam_id, exam.exam_id, BY)
    ledger.retry(number(ledger, "2.dcm"))
    [claim] = ledger.claim(1)
    header = replace(cases.CONTENT_OF_JPEG, patient_id="PATIENT-9", eye=Eye.RIGHT)
    ledger.record([cases.finding(claim, header, (5.0, 0.0, 0.0, 0.0, 0.0))])
    ledger.belongs(2, BY)
    after = read(ledger, exam, ReviewVerdict.OVERRIDE, grade=Grade.PDR)
    assert [eye.decisive.capture_id for eye in after.eyes] == [2, 1]

    for view in ("v_eye_result", "v_missed_referable", "v_person_exam"):
        numbers = {row["patient_id"] for row in rows(ledger, view)}
        assert numbers
        assert numbers <= {"PATIENT-7", None}
