"""A5, A9, A10, A12, A13: what readers say of an eye, and what happens to it after that."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases as cases
from tests.reading_cases import MODERATE, NO_DR, PDR, photograph, read, the_eye

from fundusd.clinical.referral import Assessment
from fundusd.domain.clinical_terms import Eye, Grade, Referable, ReviewReason, ReviewVerdict
from fundusd.domain.errors import RequestError
from fundusd.domain.readings import (
    FollowUpEnd,
    FollowUpKind,
    Maculopathy,
    OtherLesion,
    Photocoagulation,
    ReadingPurpose,
    ReadingState,
    WorklistReason,
)
from fundusd.ledger import Ledger, ViewQuery
from fundusd.ledger.tables import audit_event, review

if TYPE_CHECKING:
    from collections.abc import Mapping

AGREE, OVERRIDE = ReviewVerdict.AGREE, ReviewVerdict.OVERRIDE


def rows(ledger: Ledger, view: str) -> list[Mapping[str, Any]]:
    return list(ledger.ask(ViewQuery(view, ())))


# -- A5: a reading is about a set of photographs


def test_a5_a_photograph_that_comes_after_the_reading_puts_the_eye_back_on_the_list(
    ledger: Ledger,
) -> None:
    exam = photograph(ledger, "1.jpg", logits=MODERATE)
    photograph(ledger, "2.jpg", Eye.LEFT)
    after = read(ledger, exam, OVERRIDE, grade=Grade.NO_DR)
    assert after.final.referable is Referable.NO
    assert rows(ledger, "v_worklist") == []
    after = photograph(ledger, "3.jpg", logits=PDR)
    assert after.final.referable is Referable.YES
    [listed] = rows(ledger, "v_worklist")
    assert (listed["waits_for"], listed["eye"], listed["final_grade"]) == ("read_again", "R", 4)
    [_, shown] = sorted(rows(ledger, "v_eye_result"), key=lambda row: str(row["eye"]))
    assert (shown["reading_state"], shown["verdict"]) == ("outdated", None)
    assert (shown["former_verdict"], shown["former_grade"], shown["former_reviewer"]) == (
        "override",
        0,
        "reader 1",
    )
    assert the_eye(after).readings.former is not None


def test_a5_another_good_photograph_leaves_no_negative_either(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg", logits=MODERATE)
    read(ledger, exam, OVERRIDE, grade=Grade.MILD)
    after = photograph(ledger, "2.jpg", logits=MODERATE)
    eye = the_eye(after)
    assert (eye.state, eye.waits_for) == (ReadingState.OUTDATED, WorklistReason.READ_AGAIN)
    assert eye.final.referable is not Referable.NO


# -- A9: negatives that a site wants confirmed


def test_a9_negatives_are_listed_for_confirmation_after_all_others(store_url: str) -> None:
    with closing(Ledger(store_url, cameras=[cases.CAMERA], confirmed_share=1.0)) as ledger:
        ledger.create_if_empty()
        ledger.start(cases.release())
        exam = photograph(ledger, "1.jpg", patient=None)
        photograph(ledger, "2.jpg", Eye.LEFT, PDR, patient=None)
        listed = ledger.ask(ViewQuery("v_worklist", ("-urgency",)))
        assert [row["waits_for"] for row in listed] == ["referable", "confirmation"]
        read(ledger, exam)
        assert [row["waits_for"] for row in rows(ledger, "v_worklist")] == ["referable"]


# -- A10: follow-ups


@pytest.mark.parametrize(
    ("verdict", "wanted", "kind"),
    [
        (ReviewVerdict.RETAKE, None, FollowUpKind.RETAKE),
        (ReviewVerdict.UNGRADABLE, None, FollowUpKind.SLIT_LAMP),
        (ReviewVerdict.UNGRADABLE, FollowUpKind.REFERRAL, FollowUpKind.REFERRAL),
    ],
)
def test_a10_an_eye_that_cannot_be_graded_stays_open_until_somebody_says_what_was_found(
    ledger: Ledger, verdict: ReviewVerdict, wanted: FollowUpKind | None, kind: FollowUpKind
) -> None:
    exam = photograph(ledger, "1.jpg")
    photograph(ledger, "2.jpg", Eye.LEFT)
    read(ledger, exam, AGREE, Eye.LEFT)
    after = read(ledger, exam, verdict, follow_up=wanted)
    assert [followed.kind for followed in after.follow_ups] == [kind]
    assert (after.is_reviewed, after.is_final) == (True, False)
    [shown] = rows(ledger, "v_follow_up")
    assert (shown["state"], shown["kind"], shown["opened_by"]) == ("open", kind, "reader 1")
    assert rows(ledger, "v_worklist") == []
    closed = ledger.close_follow_up(shown["follow_up_id"], FollowUpEnd.DECLINED, "okafor")
    assert (closed.is_final, closed.final.referable) == (False, Referable.INDETERMINATE)
    [listed] = rows(ledger, "v_worklist")
    assert (listed["eye"], listed["waits_for"]) == (Eye.RIGHT, "undecided")
    [shown] = rows(ledger, "v_follow_up")
    assert (shown["state"], shown["closed_how"], shown["closed_by"]) == (
        "closed",
        "declined",
        "okafor",
    )
    assert shown["closed_at"] is not None
    with pytest.raises(RequestError, match="closed already"):
        ledger.close_follow_up(shown["follow_up_id"], FollowUpEnd.DONE, "okafor")
    assert "follow_up.closed" in cases.events(ledger)
    decided = read(ledger, exam, ReviewVerdict.OVERRIDE, grade=Grade.NO_DR)
    assert decided.is_final
    assert rows(ledger, "v_worklist") == []


def test_a10_a_later_reading_that_grades_the_eye_closes_its_follow_up(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    read(ledger, exam, ReviewVerdict.RETAKE)
    after = photograph(ledger, "2.jpg")
    assert [followed.eye for followed in after.follow_ups] == [Eye.RIGHT]
    assert read(ledger, after).follow_ups == ()
    assert [row["closed_how"] for row in rows(ledger, "v_follow_up")] == ["read"]


def test_a10_only_an_ungradable_eye_takes_a_follow_up(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    with pytest.raises(RequestError, match="ungradable"):
        read(ledger, exam, AGREE, follow_up=FollowUpKind.REFERRAL)


# -- A12: purposes


def test_a12_two_readers_who_differ_wait_for_arbitration_and_the_more_severe_counts(
    ledger: Ledger,
) -> None:
    exam = photograph(ledger, "1.jpg", logits=MODERATE)
    read(ledger, exam, OVERRIDE, grade=Grade.MILD)
    after = read(ledger, exam, AGREE, by="reader 2", purpose=ReadingPurpose.SECOND)
    assert the_eye(after).final.referable is Referable.YES
    [listed] = rows(ledger, "v_worklist")
    assert (listed["waits_for"], listed["final_referable"]) == ("arbitration", "yes")
    after = read(
        ledger, exam, OVERRIDE, by="okafor", grade=Grade.MILD, purpose=ReadingPurpose.ARBITRATION
    )
    assert the_eye(after).final.referable is Referable.NO
    assert rows(ledger, "v_worklist") == []


@pytest.mark.parametrize("logits", [NO_DR, MODERATE])
@pytest.mark.parametrize("verdict", [OVERRIDE, ReviewVerdict.RETAKE])
def test_a12_a_reading_for_quality_assurance_never_changes_a_result(
    ledger: Ledger, logits: tuple[float, ...], verdict: ReviewVerdict
) -> None:
    exam = photograph(ledger, "1.jpg", logits=logits)
    before = (rows(ledger, "v_worklist"), the_eye(exam).final, the_eye(exam).state)
    grade = Grade.PDR if verdict is OVERRIDE else None
    quality: dict[str, Any] = {"purpose": ReadingPurpose.QUALITY_ASSURANCE, "grade": grade}
    for reader in ("reader 1", "reader 2"):
        after = read(ledger, exam, verdict, by=reader, **quality)
        assert (rows(ledger, "v_worklist"), the_eye(after).final, the_eye(after).state) == before
        assert after.follow_ups == ()
    assert len(cases.rows(ledger, review)) == 2


def test_a12_readings_for_quality_assurance_are_counted_apart(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    read(ledger, exam)
    read(ledger, exam, OVERRIDE, grade=Grade.PDR, purpose=ReadingPurpose.QUALITY_ASSURANCE)
    counted = {}
    for row in rows(ledger, "v_agreement"):
        counted[row["purpose"]] = (
            row["readings"],
            row["neither_refers"],
            row["only_reader_refers"],
        )
    assert counted == {"routine": (1, 1, 0), "quality_assurance": (1, 0, 1)}
    [missed] = rows(ledger, "v_missed_referable")
    assert missed["purpose"] == "quality_assurance"
    assert [row["is_latest"] for row in rows(ledger, "v_review")] == [True, True]


# -- A13: other lesions, M, P and R3S


@pytest.mark.parametrize("logits", [NO_DR, MODERATE])
@pytest.mark.parametrize("lesion", OtherLesion)
def test_a13_another_lesion_is_referred_even_with_grade_0(
    ledger: Ledger, lesion: OtherLesion, logits: tuple[float, ...]
) -> None:
    exam = photograph(ledger, "1.jpg", logits=logits)
    reason = ReviewReason.NON_DR_PATHOLOGY
    after = read(ledger, exam, OVERRIDE, grade=Grade.NO_DR, reason=reason, lesion=lesion)
    final = the_eye(after).final
    assert (final.referable, final.grade) == (Referable.YES, Grade.NO_DR)
    [row] = rows(ledger, "v_review")
    assert (row["lesion"], row["referable"]) == (lesion, "yes")


def test_a13_another_lesion_needs_its_name(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    with pytest.raises(RequestError, match="needs the lesion"):
        read(ledger, exam, OVERRIDE, grade=Grade.NO_DR, reason=ReviewReason.NON_DR_PATHOLOGY)


@pytest.mark.parametrize(
    ("maculopathy", "referable"),
    [(Maculopathy.PRESENT, Referable.YES), (Maculopathy.ABSENT, Referable.NO)],
)
def test_a13_maculopathy_is_referred(
    ledger: Ledger, maculopathy: Maculopathy, referable: Referable
) -> None:
    after = read(ledger, photograph(ledger, "1.jpg"), AGREE, maculopathy=maculopathy)
    assert (the_eye(after).final.referable, the_eye(after).final.grade) == (referable, 0)
    [row] = rows(ledger, "v_eye_result")
    assert (row["maculopathy"], row["lesion"], row["stable_treated"]) == (maculopathy, None, False)


def test_a13_treated_proliferative_retinopathy_stays_referable_and_says_so(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg", logits=PDR)
    scars: dict[str, Any] = {
        "photocoagulation": Photocoagulation.PRESENT,
        "is_stable_treated": True,
    }
    after = read(ledger, exam, AGREE, **scars)
    assert the_eye(after).final == Assessment(Referable.YES, Grade.PDR)
    [row] = rows(ledger, "v_review")
    assert (row["stable_treated"], row["photocoagulation"]) == (True, "P1")
    with pytest.raises(RequestError, match="R3S"):
        read(ledger, exam, OVERRIDE, grade=Grade.MODERATE, is_stable_treated=True)


def test_a13_what_was_found_is_in_the_audit_trail(ledger: Ledger) -> None:
    read(ledger, photograph(ledger, "1.jpg"), AGREE, lesion=OtherLesion.AMD)
    [detail] = cases.details(ledger, "review.recorded")
    assert (detail["lesion"], detail["purpose"]) == ("amd", "routine")
    assert ledger.verify().broken_seq is None
    assert cases.rows(ledger, audit_event)
