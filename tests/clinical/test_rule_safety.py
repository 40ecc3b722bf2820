"""A14: which rules refer every photograph of grade 3 or 4, decided exactly."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fundusd.clinical import grading
from fundusd.clinical.grading import Rule, unsafe_rules
from fundusd.domain.clinical_terms import Grade, Referable
from fundusd.domain.errors import SettingsError

MILLIONTHS = 1_000_000
SHARES = st.integers(0, MILLIONTHS - 1).map(lambda millionths: f"0.{millionths:06}")
SUM_RULES = st.builds("icdr>={}/sum>={}".format, st.integers(1, 4), SHARES)
RULES = st.one_of(
    SUM_RULES,
    SUM_RULES.map("{}/or>=3".format),
    st.integers(1, 4).map("icdr>={}/argmax".format),
)
# logits so close that the highest score is one of several that are nearly equal
CLOSE = st.lists(
    st.one_of(st.integers(-3, 3).map(lambda ulps: ulps * 2.0**-52), st.floats(-40, 0)),
    min_size=5,
    max_size=5,
)
LOGITS = st.one_of(CLOSE, st.lists(st.floats(-30, 30), min_size=5, max_size=5))
BOUNDARIES = ("icdr>=1/sum>=0.5", "icdr>=2/sum>=0.333333", "icdr>=3/sum>=0.25")


def worst_case(rule: Rule) -> list[float]:
    """Return scores with grade 3 whose sum is as small as can be."""
    below = min(rule.min_grade, Grade.SEVERE)
    highest = 1 / (below + 1) + 1e-9
    rest = (1 - highest) / below
    return [rest] * below + [0.0] * (3 - below) + [highest, 0.0]


@pytest.mark.parametrize(
    ("name", "is_safe"),
    [
        ("icdr>=2/argmax", True),
        ("icdr>=3/argmax", True),
        ("icdr>=4/argmax", False),
        ("icdr>=1/sum>=0.5", True),
        ("icdr>=1/sum>=0.500001", False),
        ("icdr>=2/sum>=0.333333", True),
        ("icdr>=2/sum>=0.333334", False),
        ("icdr>=2/sum>=0.35", False),
        ("icdr>=2/sum>=0.9", False),
        ("icdr>=3/sum>=0.25", True),
        ("icdr>=3/sum>=0.250001", False),
        ("icdr>=4/sum>=0.000001", False),
        ("icdr>=4/sum>=0.0", True),
        ("icdr>=2/sum>=0.35/or>=3", True),
        ("icdr>=4/sum>=0.9/or>=3", True),
    ],
)
def test_a14_a_rule_is_safe_up_to_its_boundary(name: str, is_safe: bool) -> None:
    assert Rule.parse(name).is_safe is is_safe


@given(RULES, LOGITS)
@example("icdr>=1/sum>=0.5", [0.0, -40.0, -40.0, 2.0**-52, -36.0])
def test_a14_a_safe_rule_refers_every_photograph_of_grade_3_or_4(
    name: str, logits: list[float]
) -> None:
    rule = Rule.parse(name)
    graded = grading.grade(logits, rule)
    if rule.is_safe and graded.grade >= Grade.SEVERE:
        assert graded.referable is Referable.YES


@pytest.mark.parametrize("name", BOUNDARIES)
@given(logits=LOGITS)
def test_a14_rules_at_the_boundary_are_safe_in_floating_point(
    name: str, logits: list[float]
) -> None:
    graded = grading.grade(logits, Rule.parse(name))
    assert graded.grade < Grade.SEVERE or graded.referable is Referable.YES


@given(SUM_RULES)
def test_a14_a_rule_that_is_not_safe_leaves_a_photograph_of_grade_3_not_referable(
    name: str,
) -> None:
    rule = Rule.parse(name)
    if rule.is_safe:
        return
    scores = worst_case(rule)
    assert max(range(5), key=scores.__getitem__) == Grade.SEVERE
    assert rule.of(scores) is Referable.NO


@given(RULES, LOGITS)
def test_a14_the_safe_form_of_a_rule_differs_for_grades_3_and_4_only(
    name: str, logits: list[float]
) -> None:
    rule = Rule.parse(name)
    safe = Rule.parse(rule.safe_name)
    assert safe.is_safe
    before, after = grading.grade(logits, rule), grading.grade(logits, safe)
    if before.grade >= Grade.SEVERE:
        assert after.referable is Referable.YES
    else:
        assert after.referable is before.referable


@given(RULES)
def test_a14_a_readers_grade_3_or_4_is_referable_by_every_rule(name: str) -> None:
    rule = Rule.parse(name)
    for grade in Grade:
        is_referable = grade >= rule.min_grade or grade >= Grade.SEVERE
        assert (rule.of_grade(grade) is Referable.YES) is is_referable


def test_a14_a_warning_names_the_rules_that_are_not_safe() -> None:
    assert unsafe_rules([]) is None
    assert unsafe_rules(["icdr>=2/argmax", "icdr>=2/sum>=0.35/or>=3"]) is None
    warning = unsafe_rules(["icdr>=4/argmax", "icdr>=2/argmax", "icdr>=4/argmax"])
    assert warning is not None
    assert warning.startswith("By the rule icdr>=4/argmax, a photograph")


@pytest.mark.parametrize(
    "name", ["icdr>=2/argmax/or>=3", "icdr>=2/sum>=0.35/or>=2", "icdr>=2/or>=3"]
)
def test_a14_only_a_sum_has_the_safe_form(name: str) -> None:
    with pytest.raises(SettingsError):
        Rule.parse(name)
