"""From logits to scores, grade and referral."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fundusd.clinical.grading import grade, is_usable, softmax
from fundusd.domain.clinical_terms import Grade, Referable

LOGITS = st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=5, max_size=5)
ANY = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8)


@given(ANY)
def test_scores_sum_to_one_and_lie_between_none_and_all(logits: list[float]) -> None:
    scores = softmax(logits)
    assert math.isclose(math.fsum(scores), 1.0, rel_tol=1e-12)
    assert all(0.0 <= score <= 1.0 for score in scores)


@given(ANY)
def test_a_higher_logit_never_has_a_lower_score(logits: list[float]) -> None:
    pairs = sorted(zip(logits, softmax(logits), strict=True))
    scores = [score for _, score in pairs]
    assert scores == sorted(scores)


@given(LOGITS, st.integers(-100, 100))
def test_scores_do_not_change_when_all_logits_shift(logits: list[float], shift: int) -> None:
    for before, after in zip(
        softmax(logits), softmax([logit + shift for logit in logits]), strict=True
    ):
        assert math.isclose(before, after, abs_tol=1e-8)


@given(LOGITS)
def test_the_grade_is_the_highest_logits_and_referral_follows_from_it(logits: list[float]) -> None:
    graded = grade(logits)
    assume(graded.scores.count(max(graded.scores)) == 1)
    assert graded.grade == logits.index(max(logits))
    assert graded.referable is (Referable.YES if graded.grade >= Grade.MODERATE else Referable.NO)
    assert graded.logits == tuple(logits)


@pytest.mark.parametrize("wanted", list(Grade))
def test_each_grade_can_be_reached(wanted: Grade) -> None:
    graded = grade([1.0 if each is wanted else 0.0 for each in Grade])
    assert graded.grade is wanted
    assert graded.referable is (Referable.YES if wanted >= 2 else Referable.NO)


def test_scores_are_those_of_the_textbook() -> None:
    scores = softmax([math.log(1), math.log(2), math.log(5)])
    assert scores == pytest.approx((0.125, 0.25, 0.625), rel=1e-15)


@pytest.mark.parametrize(
    "logits",
    [
        [],
        [1.0] * 4,
        [1.0] * 6,
        [math.nan, 0, 0, 0, 0],
        [0, 0, math.inf, 0, 0],
        [0, 0, 0, 0, -math.inf],
    ],
)
def test_logits_that_are_no_five_numbers_are_not_usable(logits: list[float]) -> None:
    assert not is_usable(logits)


@given(LOGITS)
def test_five_finite_logits_are_usable(logits: list[float]) -> None:
    assert is_usable(logits)
