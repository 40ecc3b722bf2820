"""Which exams are documented for receivers that want only what was read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests import exam_cases
from tests.outbox import document_cases as cases

from fundusd.clinical.document_rules import is_released, waits_for
from fundusd.clinical.reading import Reading
from fundusd.domain.clinical_terms import Eye, Grade, Referable, ReviewVerdict

YES = cases.AGREES
NO = replace(cases.AGREES, grade=Grade.NO_DR, referable=Referable.NO)
DEFERRED = replace(cases.AGREES, verdict=ReviewVerdict.DEFER)
RIGHT, LEFT = "right eye not read", "left eye not read"


@pytest.mark.parametrize(
    ("right", "left", "waits"),
    [
        (None, None, [RIGHT, LEFT]),
        (NO, None, [LEFT]),
        (YES, None, []),
        (None, YES, []),
        (DEFERRED, None, [RIGHT, LEFT]),
        (DEFERRED, YES, []),
        (NO, NO, []),
    ],
)
def test_a9_documents_wait_for_readers_but_a_confirmed_referral_does_not(
    right: Reading | None, left: Reading | None, waits: list[str]
) -> None:
    exam = cases.exam(cases.shot(Eye.RIGHT), cases.shot(Eye.LEFT, Grade.NO_DR))
    eyes = [
        eye if reading is None else exam_cases.read(eye, reading)
        for eye, reading in zip(exam.eyes, (right, left), strict=True)
    ]
    exam = replace(exam, eyes=tuple(eyes))

    assert waits_for(exam) == waits
    assert is_released(exam) == (not waits)
