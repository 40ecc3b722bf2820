from __future__ import annotations

import pytest

from fundusd.clinical.quality_thresholds import quality_level
from fundusd.domain.clinical_terms import Outcome, QualityLevel


@pytest.mark.parametrize(
    ("visibility", "level"),
    [
        (0.0, QualityLevel.USABLE),
        (0.3499, QualityLevel.USABLE),
        (0.35, QualityLevel.GOOD),
        (1.0, QualityLevel.GOOD),
    ],
)
def test_a_graded_photograph_is_good_from_35_per_cent_of_visible_vessels(
    visibility: float, level: QualityLevel
) -> None:
    assert quality_level(Outcome.GRADED, {"visibility": visibility}) is level


@pytest.mark.parametrize("measures", [{}, {"visibility": 0.9}])
def test_an_ungradable_photograph_is_a_reject_however_many_vessels_are_visible(
    measures: dict[str, float],
) -> None:
    assert quality_level(Outcome.UNGRADABLE, measures) is QualityLevel.REJECT


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.FAILED])
def test_what_is_no_retina_or_could_not_be_read_has_no_level(outcome: Outcome) -> None:
    assert quality_level(outcome, {"visibility": 0.9}) is None


def test_a_graded_photograph_without_measures_has_no_level() -> None:
    assert quality_level(Outcome.GRADED, {}) is None
