"""Follow-ups stay with their photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.ledger.test_readings import rows
from tests.reading_cases import BY, number, photograph, read

from fundusd.domain.clinical_terms import Eye, ReviewVerdict
from fundusd.domain.readings import ExclusionReason, FollowUpKind

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.ledger import Ledger

RIGHT, LEFT, UNKNOWN = Eye.RIGHT, Eye.LEFT, Eye.UNKNOWN


def ungradable(ledger: Ledger, name: str, eye: Eye) -> Exam:
    """Record a photograph of an eye, and a reader who wants the eye to be seen by a specialist."""
    exam = photograph(ledger, name, eye)
    return read(ledger, exam, ReviewVerdict.UNGRADABLE, eye, follow_up=FollowUpKind.REFERRAL)


def places(ledger: Ledger) -> list[tuple[int, str]]:
    return [(row["exam_id"], row["eye"]) for row in rows(ledger, "v_follow_up")]


def test_c6_a_corrected_eye_takes_no_follow_up_of_the_other(ledger: Ledger) -> None:
    exam = ungradable(ledger, "1.jpg", RIGHT)
    photograph(ledger, "3.jpg", UNKNOWN)
    ledger.exclude(number(ledger, "1.jpg"), ExclusionReason.RETAKEN, BY)
    ledger.correct_eye(number(ledger, "3.jpg"), LEFT, BY)
    assert places(ledger) == [(exam.exam_id, RIGHT)]


def test_c6_nor_one_that_is_of_an_excluded_photograph(ledger: Ledger) -> None:
    exam = ungradable(ledger, "1.jpg", RIGHT)
    photograph(ledger, "3.jpg")
    ledger.exclude(number(ledger, "1.jpg"), ExclusionReason.RETAKEN, BY)
    ledger.correct_eye(number(ledger, "3.jpg"), LEFT, BY)
    assert places(ledger) == [(exam.exam_id, RIGHT)]


@pytest.mark.parametrize("eye", [UNKNOWN, RIGHT])
def test_c6_a_follow_up_goes_along_with_the_only_photograph_of_its_eye(
    ledger: Ledger, eye: Eye
) -> None:
    exam = ungradable(ledger, "1.jpg", eye)
    ledger.correct_eye(number(ledger, "1.jpg"), LEFT, BY)
    assert places(ledger) == [(exam.exam_id, LEFT)]


def test_c6_a_follow_up_stays_with_the_other_photographs_of_its_eye(ledger: Ledger) -> None:
    photograph(ledger, "2.jpg")
    exam = ungradable(ledger, "1.jpg", RIGHT)
    ledger.correct_eye(number(ledger, "1.jpg"), LEFT, BY)
    assert places(ledger) == [(exam.exam_id, RIGHT)]


def test_v18_a_follow_up_goes_along_when_its_only_photograph_is_parted(ledger: Ledger) -> None:
    photograph(ledger, "2.jpg", LEFT)
    exam = ungradable(ledger, "1.jpg", RIGHT)
    parted = ledger.part_exam(number(ledger, "1.jpg"), BY)
    assert places(ledger) == [(parted.exam_id, RIGHT)]
    assert parted.exam_id != exam.exam_id
    assert [followed.eye for followed in parted.follow_ups] == [RIGHT]
    assert ledger.verify().problem == ""
