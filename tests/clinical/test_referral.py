"""Ungradable is never negative, referable outweighs everything, a missing eye decides nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.clinical import grading
from fundusd.clinical.grading import DEFAULT_RULE, Rule
from fundusd.clinical.referral import UNDECIDED, Assessment, most_severe, worst
from fundusd.domain.clinical_terms import Grade, Referable
from fundusd.domain.errors import SettingsError

YES, NO, OPEN = Referable.YES, Referable.NO, Referable.INDETERMINATE
GRADED = st.sampled_from(Grade).map(
    lambda grade: Assessment(YES if grade >= Grade.MODERATE else NO, grade)
)
FINDINGS = st.one_of(GRADED, st.just(UNDECIDED))
LOGITS = st.lists(st.floats(-30, 30), min_size=5, max_size=5)
SOME = st.lists(FINDINGS, max_size=6)


@given(LOGITS)
def test_the_default_refers_by_the_highest_score(logits: list[float]) -> None:
    graded = grading.grade(logits)
    assert DEFAULT_RULE.of(graded.scores) is graded.referable


@given(LOGITS, st.sampled_from(["0.05", "0.35", "0.5", "0.999999"]), st.integers(1, 4))
def test_an_operating_point_refers_by_the_sum_of_the_scores(
    logits: list[float], share: str, least: int
) -> None:
    scores = grading.softmax(logits)
    summed = math.fsum(scores[least:])
    if abs(summed - float(share)) > 1e-9:
        decided = Rule.parse(f"icdr>={least}/sum>={share}").of(scores)
        assert decided is (YES if summed >= float(share) else NO)


@given(LOGITS)
def test_a_lower_operating_point_never_refers_fewer(logits: list[float]) -> None:
    scores = grading.softmax(logits)
    decided = [Rule.parse(f"icdr>=2/sum>=0.{tenths}").of(scores) for tenths in range(1, 10)]
    assert decided == sorted(decided, key=[YES, NO].index)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "icdr>=5/argmax",
        "icdr>=0/argmax",
        "icdr>=2",
        "icdr>=2/sum>=1.5",
        "icdr>=2/sum>=.5",
        "icdr>=2/argmax\n",
    ],
)
def test_a_rule_that_is_none_is_refused_with_one_that_is(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Rule.parse(name)
    assert DEFAULT_RULE.name in caught.value.hint


@given(SOME)
def test_one_referable_finding_refers_whatever_the_others_are(findings: list[Assessment]) -> None:
    assert worst([*findings, Assessment(YES, Grade.PDR)]) == Assessment(YES, Grade.PDR)


@given(SOME)
def test_an_ungradable_finding_is_never_a_negative(findings: list[Assessment]) -> None:
    assert worst([*findings, UNDECIDED]).referable is not NO


@given(SOME, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(findings: list[Assessment], chance: object) -> None:
    shuffled = list(findings)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert worst(shuffled) == worst(findings)


@given(st.lists(GRADED, min_size=1))
def test_what_is_all_graded_is_as_bad_as_its_worst(findings: list[Assessment]) -> None:
    assert worst(findings) == max(findings, key=lambda finding: finding.grade or Grade.NO_DR)


def test_nothing_is_undecided() -> None:
    assert worst([]) == most_severe([]) == UNDECIDED
