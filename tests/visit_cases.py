"""Photographs of visits, recorded in a ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Eye, EyeSource

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.ledger import Ledger

NO_DR = (5.0, 0.0, 0.0, 0.0, 0.0)
JPEG = replace(
    cases.CONTENT_OF_JPEG, patient_id="PATIENT-7", eye=Eye.RIGHT, eye_source=EyeSource.LATERALITY
)
NOW = datetime.now(UTC)
TODAY = NOW.astimezone().date()
STUDY, OTHER_STUDY = "1.2.3", "1.2.4"
LONG_AGO = date(2019, 3, 4)


def classify(
    ledger: Ledger, name: str, *, word: str = "", backlog: bool = False, **content: Any
) -> Exam:
    """Record a photograph without DR; return its exam."""
    claim = cases.take(ledger, name, word or name, backlog=backlog)
    ledger.record([cases.finding(claim, replace(JPEG, **content), NO_DR)])
    return exam_of(ledger, name)


def exam_of(ledger: Ledger, name: str) -> Exam:
    *_, last = [row for row in cases.captures(ledger) if bytes(row["path"]) == name.encode()]
    found = ledger.exam_of(last["id"])
    assert found is not None
    return found
