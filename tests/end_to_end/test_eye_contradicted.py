"""From the bytes of a photograph to a warning: the optic disc contradicts the eye in the name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from tests import ledger_cases as cases

from fundusd.clinical.grading import grade
from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.domain.decoding import Preprocessing
from fundusd.imaging.decode import decode
from fundusd.imaging.limits import Limits
from fundusd.imaging.phantoms import as_jpeg, render
from fundusd.ledger import Finding

if TYPE_CHECKING:
    from fundusd.ledger import Ledger

DRAWN = {"OD": Eye.RIGHT, "OS": Eye.LEFT}


@pytest.mark.parametrize("drawn", DRAWN)
@pytest.mark.parametrize("named", DRAWN)
def test_a_photograph_of_the_other_eye_has_a_warning(
    ledger: Ledger, drawn: str, named: str
) -> None:
    data = as_jpeg(render(Grade.MILD, DRAWN[drawn], 5, 800, 600))
    claim = cases.take(ledger, f"12_{named}.jpg")
    decoded = decode(data, Preprocessing.PAD_SQUARE, 448, Limits())
    assert decoded.reason is None
    ledger.record([Finding(claim, decoded, grade(cases.LOGITS), 1.0, 1)])
    (row,) = cases.captures(ledger)
    assert row["eye"] == DRAWN[named]
    assert orjson.loads(row["warnings"]) == ([] if drawn == named else ["eye_contradicted"])
