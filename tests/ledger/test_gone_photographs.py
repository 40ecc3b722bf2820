"""Readings of photographs whose files have left the inbox (V28)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_second_trial import again
from tests.reading_cases import photograph, read, the_eye

from fundusd.domain.clinical_terms import Grade, Referable, ReviewVerdict
from fundusd.domain.errors import RequestError
from fundusd.domain.readings import ReadingState
from fundusd.reports import exam_details

if TYPE_CHECKING:
    from fundusd.ledger import Ledger

AGREE, OVERRIDE, RETAKE = ReviewVerdict.AGREE, ReviewVerdict.OVERRIDE, ReviewVerdict.RETAKE
NO = Referable.NO
GONE = "no longer in the camera's folder: 1."


@pytest.mark.parametrize("verdict", [AGREE, OVERRIDE])
def test_v28_an_eye_whose_file_is_gone_is_graded_only_by_who_has_seen_it_elsewhere(
    ledger: Ledger, verdict: ReviewVerdict
) -> None:
    exam = photograph(ledger, "1.jpg")
    ledger.mark_missing(cases.CAMERA, [b"1.jpg"])
    grade = Grade.NO_DR if verdict is OVERRIDE else None
    with pytest.raises(RequestError, match=GONE) as caught:
        read(ledger, exam, verdict, grade=grade)
    assert "--seen-elsewhere" in caught.value.hint
    assert the_eye(again(ledger, exam)).state is ReadingState.UNREAD
    after = read(ledger, exam, verdict, grade=grade, is_seen_elsewhere=True)
    assert the_eye(after).final.referable is NO
    [detail] = cases.details(ledger, "review.recorded")
    assert detail["seen_elsewhere"] is True


def test_v28_a_file_that_comes_back_can_be_read_again(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    ledger.mark_missing(cases.CAMERA, [b"1.jpg"])
    ledger.admit(cases.found("1.jpg", "1.jpg"))
    assert the_eye(read(ledger, exam)).is_read


def test_v28_the_same_bytes_under_another_name_can_be_read(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    ledger.admit(cases.found("copy.jpg", "1.jpg"))
    ledger.mark_missing(cases.CAMERA, [b"1.jpg"])
    assert the_eye(read(ledger, exam)).is_read


def test_v28_a_photograph_that_was_archived_after_it_was_read_changes_nothing(
    ledger: Ledger,
) -> None:
    exam = photograph(ledger, "1.jpg")
    before = read(ledger, exam)
    ledger.mark_missing(cases.CAMERA, [b"1.jpg"])
    after = again(ledger, exam)
    assert (after.final, the_eye(after).state) == (before.final, ReadingState.READ)


def test_v28_a_request_for_a_retake_needs_no_photograph(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    ledger.mark_missing(cases.CAMERA, [b"1.jpg"])
    assert the_eye(read(ledger, exam, RETAKE)).is_read


def test_v28_the_report_says_that_the_file_is_gone(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    ledger.mark_missing(cases.CAMERA, [b"1.jpg"])
    after = again(ledger, exam)
    [shot] = exam_details.shots(after)
    assert "Its file is no longer in the camera's folder." in exam_details.photograph(after, shot)
