"""No query that gives photographs to the person of their number reads all of the history."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_bare_numbers import NO_DR, dicom, jpeg, opened
from tests.ledger.test_plans import heard, walks
from tests.reading_cases import BY, exam_of
from tests.visit_cases import TODAY

from fundusd.domain.clinical_terms import Eye

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.ledger import Ledger


@pytest.fixture
def postgres_url(fresh_postgres_url: str) -> str:
    """Give a database of the test's own: plans depend on what was in the tables before."""
    return fresh_postgres_url


@pytest.fixture
def ledger(store_url: str) -> Iterator[Ledger]:
    with opened(store_url, pseudonymous=False) as of_site:
        yield of_site


def test_no_query_that_gives_photographs_walks_through_history(ledger: Ledger) -> None:
    before = dicom(ledger, "P1_R.dcm", Eye.RIGHT, camera="other", day=TODAY - timedelta(days=1))
    today = dicom(ledger, "P1_L.dcm", Eye.LEFT, camera="other")
    jpeg(ledger, "P1_R2.jpg")
    header = replace(cases.CONTENT, eye=Eye.RIGHT, patient_id="P1", issuer="HOSP", sop_uid=None)
    claim = cases.take(ledger, "P1_R2.dcm", "P1_R2.dcm")
    with heard(ledger) as statements:
        ledger.record([cases.finding(claim, header, NO_DR)])
        ledger.join_exams(today.exam_id, before.exam_id, BY)
    assert exam_of(ledger, "P1_R2.jpg").exam_id == before.exam_id
    assert walks(ledger, statements) == []
