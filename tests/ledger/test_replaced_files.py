"""What is counted of files that were replaced, and which retakes replaced a photograph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.reading_cases import BY, number, photograph

from fundusd.domain.clinical_terms import Eye, Reason
from fundusd.domain.exams import FieldProtocol
from fundusd.ledger import Ledger, ViewQuery

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def one_field(store_url: str) -> Iterator[Ledger]:
    fields = {cases.CAMERA: FieldProtocol.ONE}
    opened = Ledger(
        store_url, site_key=cases.SITE_KEY, cameras=(cases.CAMERA,), field_protocols=fields
    )
    opened.start(cases.release())
    yield opened
    opened.close()


def rescued(ledger: Ledger) -> list[tuple[str | None, bool]]:
    return [(row["field"], row["rescued"]) for row in ledger.ask(ViewQuery("v_retake", ()))]


def test_u20_a_failure_whose_file_was_replaced_is_counted_apart(ledger: Ledger) -> None:
    photograph(ledger, "a.jpg", reason=Reason.TRUNCATED, word="cut short")
    assert ledger.status()["failed_replaced"] == 0
    photograph(ledger, "a.jpg", word="whole")
    status = ledger.status()
    assert (status["jobs"]["failed"], status["failed_replaced"]) == (1, 1)


def test_b39_a_graded_photograph_that_may_be_of_the_other_eye_replaces_none(
    ledger: Ledger,
) -> None:
    photograph(ledger, "1.jpg", Eye.LEFT, reason=Reason.BLUR, field="macula")
    photograph(ledger, "2.jpg", Eye.LEFT, field="macula", measures=cases.RIGHT_EYE)
    assert rescued(ledger) == [("macula", False)]
    ledger.correct_eye(number(ledger, "2.jpg"), Eye.LEFT, BY)
    assert rescued(ledger) == [("macula", True)]


@pytest.mark.parametrize("warning", ["patient_conflict", "digest_of_two_patients", "not_a_patient"])
def test_b39_nor_does_one_that_may_be_of_somebody_else(ledger: Ledger, warning: str) -> None:
    photograph(ledger, "1.jpg", reason=Reason.BLUR, field="macula")
    photograph(ledger, "2.jpg", field="macula", warnings=(warning,))
    assert rescued(ledger) == [("macula", False)]
    ledger.belongs(number(ledger, "2.jpg"), BY)
    assert rescued(ledger) == [("macula", True)]


def test_b39_a_camera_of_one_field_photographs_the_macula(one_field: Ledger) -> None:
    photograph(one_field, "1.jpg", reason=Reason.BLUR)
    photograph(one_field, "2.jpg")
    assert rescued(one_field) == [("macula", True)]


def test_b39_the_retake_counts_its_own_day_and_patient(one_field: Ledger) -> None:
    photograph(one_field, "1.jpg", reason=Reason.BLUR)
    photograph(one_field, "2.jpg", patient="PATIENT-8")
    assert rescued(one_field) == [("macula", False)]
