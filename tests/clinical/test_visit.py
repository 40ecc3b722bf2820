"""Which visit a photograph belongs to, as a rule without a database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.clinical.visit import Visit, doubt_of_day, of_study, without_study
from fundusd.domain.exams import DayDoubt

NONE, RECEIVED, CLOCK_SKEW = DayDoubt.NONE, DayDoubt.RECEIVED, DayDoubt.CLOCK_SKEW
VISITS = st.lists(
    st.builds(
        Visit,
        st.uuids().map(str),
        study_uid=st.sampled_from([None, "1.2", "1.3"]),
        is_arranged=st.booleans(),
    ),
    max_size=4,
)


@given(VISITS)
def test_a7_a_study_never_joins_another_one(visits: list[Visit]) -> None:
    found = of_study(visits, "1.2")
    assert found is None or found.study_uid in {None, "1.2"}
    if any(visit.study_uid == "1.2" for visit in visits):
        assert found is not None


@given(VISITS)
def test_a7_a_study_leaves_alone_what_a_person_arranged(visits: list[Visit]) -> None:
    found = of_study(visits, "1.4")
    assert found is None or not found.is_arranged


@given(VISITS)
def test_a7_a_photograph_without_a_study_joins_no_study_if_there_are_several(
    visits: list[Visit],
) -> None:
    studies = {visit.study_uid for visit in visits if visit.study_uid}
    found = without_study(visits, None)
    if found is None:
        assert len(visits) == 0 or len(studies) > 1 or len(visits) > 1
    elif len(studies) > 1:
        assert found.study_uid is None


def test_a7_a_photograph_joins_the_study_of_its_other_file() -> None:
    first, second = Visit("a", "1.2", 1, 1), Visit("b", "1.3", 2, 2)
    assert without_study([first, second], None) is None
    assert without_study([first, second], second) is second
    assert without_study([first], None) is first


def test_a7_two_studies_that_a_person_joined_are_one_visit() -> None:
    first, second = Visit("a", "1.2", 1, 1), Visit("b", "1.3", 2, 1)
    assert without_study([first, second], None) is first


@pytest.mark.parametrize(
    ("doubts", "expected"),
    [
        ([], NONE),
        ([RECEIVED], RECEIVED),
        ([CLOCK_SKEW, RECEIVED], CLOCK_SKEW),
        ([CLOCK_SKEW, NONE, RECEIVED], NONE),
    ],
)
def test_a8_one_photograph_with_a_certain_day_makes_that_of_the_visit_certain(
    doubts: list[DayDoubt], expected: DayDoubt
) -> None:
    assert doubt_of_day(doubts) is expected
