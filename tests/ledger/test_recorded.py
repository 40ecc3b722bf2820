"""What the log says of a recorded capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Action, Reason

if TYPE_CHECKING:
    from fundusd.ledger import Ledger


@pytest.mark.parametrize(
    ("reason", "action"),
    [(Reason.BLUR, Action.RETAKE), (Reason.LOW_CONTRAST, Action.REFER_READER)],
)
def test_a_capture_without_a_grade_says_what_to_do(
    ledger: Ledger, reason: Reason, action: Action
) -> None:
    claim = cases.take(ledger, "1_OD.jpg")
    (captures,) = ledger.record([cases.refusal(claim, reason)])
    assert captures is not None
    fields = captures[0].fields()
    assert (fields["reason"], fields["action"]) == (reason, action)


def test_a_graded_capture_has_no_action(ledger: Ledger) -> None:
    (captures,) = ledger.record([cases.finding(cases.take(ledger))])
    assert captures is not None
    assert "action" not in captures[0].fields()
