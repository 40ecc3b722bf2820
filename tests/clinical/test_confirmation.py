"""A9: which negative eyes readers confirm: a stable sample of about the share, chosen by nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import ledger_cases as cases
from tests.clinical.test_judgement import shot

from fundusd.clinical.eye_result import EyeResult
from fundusd.clinical.judgement import judge
from fundusd.domain.clinical_terms import Grade
from fundusd.domain.readings import WorklistReason

EYES = 4000
SHARES = st.floats(0, 1)


def negative(number: int, share: float) -> EyeResult:
    [eye] = judge([shot(grade=Grade.NO_DR, digest=cases.digest_of(f"eye {number}"))])
    return replace(eye, confirmed_share=share)


def is_drawn(number: int, share: float) -> bool:
    return negative(number, share).waits_for is WorklistReason.CONFIRMATION


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a9_the_sample_is_about_its_share(share: float) -> None:
    drawn = sum(is_drawn(number, share) for number in range(EYES))
    deviation = (share * (1 - share) / EYES) ** 0.5
    assert abs(drawn / EYES - share) < 4 * deviation


@given(st.integers(0, 10**6), SHARES, SHARES)
def test_a9_the_sample_is_stable_and_grows_with_the_share(
    number: int, one: float, other: float
) -> None:
    smaller, larger = sorted((one, other))
    assert is_drawn(number, smaller) is is_drawn(number, smaller)
    assert is_drawn(number, larger) or not is_drawn(number, smaller)


@given(st.integers(0, 10**6))
def test_a9_none_draws_no_eye_and_all_draws_every_eye(number: int) -> None:
    assert not is_drawn(number, 0.0)
    assert is_drawn(number, 1.0)


@given(st.permutations(range(4)), SHARES)
def test_a9_the_order_in_which_photographs_come_does_not_matter(
    order: list[int], share: float
) -> None:
    photographs = [
        shot(number, grade=Grade.NO_DR, digest=cases.digest_of(str(number))) for number in range(4)
    ]
    [eye] = judge(photographs)
    [again] = judge(
        [replace(photographs[number], capture_id=place) for place, number in enumerate(order)]
    )
    listed = [replace(made, confirmed_share=share).waits_for for made in (eye, again)]
    assert listed[0] == listed[1]
