from __future__ import annotations

import pytest

from fundusd.domain.clinical_terms import (
    Action,
    Eye,
    Grade,
    Outcome,
    Reason,
    Referable,
    ReviewReason,
    ReviewVerdict,
)
from fundusd.outbox import codes

TABLES = (
    codes.SEVERITY_OF_EYE, codes.SEVERITY, codes.FINDING, codes.LATERALITY, codes.BODY_SITE,
)  # fmt: skip
WORDS = (*Outcome, *Reason, *Action, *Referable, *ReviewVerdict, *ReviewReason, "macula", "disc")
ALL = [
    *(code for table in TABLES for code in table.values()),
    *(code for code in vars(codes).values() if isinstance(code, codes.Code)),
    *codes.SCORES,
    *map(codes.private_code, WORDS),
]


def test_each_eye_has_the_term_that_loinc_gives_it() -> None:
    """LOINC's answer list LL2117-1 names both terms; swapped, each result has the wrong eye."""
    assert codes.SEVERITY_OF_EYE[Eye.LEFT].value == "71490-7"
    assert codes.SEVERITY_OF_EYE[Eye.RIGHT].value == "71491-5"
    assert codes.SEVERITY_OF_EYE[Eye.UNKNOWN].scheme == codes.PRIVATE
    for eye, word in ((Eye.LEFT, "left"), (Eye.RIGHT, "right")):
        for table in (codes.SEVERITY_OF_EYE, codes.BODY_SITE, codes.LATERALITY):
            assert word in table[eye].meaning.lower()


def test_grades_have_the_answers_of_loinc_and_the_findings_of_snomed() -> None:
    assert [codes.SEVERITY[grade].value for grade in Grade] == [
        "LA18643-9", "LA18644-7", "LA18645-4", "LA18646-2", "LA18648-8",
    ]  # fmt: skip
    assert [codes.FINDING[grade].value if grade in codes.FINDING else None for grade in Grade] == [
        None, "312903003", "312904009", "312905005", "59276001",
    ]  # fmt: skip
    assert codes.severity_codes(Grade.NO_DR) == [codes.SEVERITY[Grade.NO_DR]]


@pytest.mark.parametrize("code", ALL, ids=lambda code: code.value)
def test_a_code_fits_dicom_and_is_of_a_scheme_that_may_be_sent(code: codes.Code) -> None:
    assert code.scheme in {codes.LOINC, codes.SNOMED, codes.PRIVATE}
    assert 0 < len(code.meaning) <= codes.LONGEST_MEANING
    assert code.value
    assert code.value != "105914-6"


def test_no_two_concepts_share_a_code() -> None:
    meanings: dict[tuple[str, str], str] = {}
    for code in ALL:
        assert meanings.setdefault((code.scheme, code.value), code.meaning) == code.meaning
