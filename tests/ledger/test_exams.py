"""A visit: which captures belong to it, what each eye comes to, and what humans say of that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import (
    Eye,
    EyeSource,
    Grade,
    Referable,
    ReviewReason,
    ReviewVerdict,
)
from fundusd.domain.errors import RequestError
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import Ledger
from fundusd.ledger.corrections import Corrector
from fundusd.ledger.reviews import Review
from fundusd.ledger.tables import audit_event, exam, eye_result, review

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.clinical.exam import Exam

SEVERE = (0.0, 0.0, 0.0, 5.0, 0.0)
NO_DR = (5.0, 0.0, 0.0, 0.0, 0.0)
JPEG = replace(cases.CONTENT_OF_JPEG, patient_id="PATIENT-7")


def classify(
    ledger: Ledger, name: str, word: str, eye: Eye, logits: Sequence[float] = NO_DR, **more: object
) -> Exam:
    content = replace(JPEG, eye=eye, eye_source=EyeSource.LATERALITY, **more)  # type: ignore[arg-type]
    ledger.record([cases.finding(cases.take(ledger, name, word), content, logits)])
    capture_id = cases.captures(ledger)[-1]["id"]
    judged = ledger.exam_of(capture_id)
    assert judged is not None
    return judged


def test_a_persons_captures_of_a_day_are_one_exam_whatever_their_format(ledger: Ledger) -> None:
    first = classify(ledger, "a.jpg", "A", Eye.RIGHT)
    second = classify(ledger, "b.dcm", "B", Eye.LEFT, SEVERE, study_uid="1.2.3")
    assert first.exam_id == second.exam_id
    assert (second.assessment.referable, second.assessment.grade, second.missing) == (
        Referable.YES,
        Grade.SEVERE,
        (),
    )
    [row] = cases.rows(ledger, exam)
    assert (row["referable"], row["grade"], row["missing_fields"], row["is_reviewed"]) == (
        "yes",
        3,
        "",
        False,
    )


def test_captures_of_nobody_known_are_never_joined(ledger: Ledger) -> None:
    for name in ("a.jpg", "b.jpg"):
        ledger.record([cases.finding(cases.take(ledger, name, name), cases.CONTENT_OF_JPEG)])
    assert len(cases.rows(ledger, exam)) == 2


def test_the_two_files_of_a_shot_of_nobody_known_are_one_exam(ledger: Ledger) -> None:
    for name in ("a.jpg", "a.png"):
        ledger.record([cases.finding(cases.take(ledger, name, name), cases.CONTENT_OF_JPEG)])
    assert len(cases.rows(ledger, exam)) == 1


def test_another_day_is_another_exam(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    first = classify(ledger, "a.jpg", "A", Eye.RIGHT, acquired_at=now - timedelta(hours=30))
    later = classify(ledger, "b.jpg", "B", Eye.RIGHT, acquired_at=now)
    assert (first.exam_id == later.exam_id, later.day) == (False, now.astimezone().date())


def test_an_eye_of_an_overwritten_file_counts_until_a_person_excludes_it(ledger: Ledger) -> None:
    before = classify(ledger, "a.jpg", "A", Eye.RIGHT, SEVERE)
    assert before.assessment.referable is Referable.YES
    ledger.admit(cases.found("a.jpg", "B"))
    after = ledger.exam(before.exam_id)
    assert after is not None
    assert after.assessment.referable is Referable.YES
    excluded = ledger.exclude(1, ExclusionReason.OTHER, Corrector("okafor", "ophthalmologist"))
    assert (excluded.eyes, excluded.assessment.referable) == ((), Referable.INDETERMINATE)
    assert cases.rows(ledger, eye_result) == []


def review_of(
    judged: Exam, verdict: ReviewVerdict = ReviewVerdict.AGREE, eye: Eye = Eye.RIGHT, **more: object
) -> Review:
    return replace(Review(judged.exam_id, eye, verdict, "reader 1", "grader"), **more)  # type: ignore[arg-type]  # by name


def test_a_review_counts_from_then_on_and_is_audited(ledger: Ledger) -> None:
    judged = classify(ledger, "a.jpg", "A", Eye.RIGHT, SEVERE)
    assert cases.rows(ledger, eye_result)[0]["urgency"] == 23
    wrong = review_of(
        judged, ReviewVerdict.OVERRIDE, grade=Grade.MILD, reason=ReviewReason.FALSE_LESION
    )
    after = ledger.review(wrong)
    assert (after.assessment.referable, after.final.referable) == (
        Referable.YES,
        Referable.INDETERMINATE,
    )
    assert after.eyes[0].final.referable is Referable.NO
    [row] = cases.rows(ledger, eye_result)
    assert (row["grade"], row["final_grade"], row["urgency"], row["review_id"]) == (3, 1, 0, 1)
    [event] = [row for row in cases.rows(ledger, audit_event) if row["event"] == "review.recorded"]
    assert (event["entity_id"], event["digest"]) == (judged.exam_id, cases.digest_of("A"))
    assert ledger.verify().broken_seq is None


def test_a_deferred_eye_still_has_to_be_read(ledger: Ledger) -> None:
    judged = classify(ledger, "a.jpg", "A", Eye.RIGHT, SEVERE)
    after = ledger.review(review_of(judged, ReviewVerdict.DEFER))
    assert (after.eyes[0].is_read, after.eyes[0].urgency, after.is_reviewed) == (False, 23, False)


@pytest.mark.parametrize("verdict", [ReviewVerdict.UNGRADABLE, ReviewVerdict.RETAKE])
def test_an_eye_that_a_human_cannot_grade_is_undecided(
    ledger: Ledger, verdict: ReviewVerdict
) -> None:
    after = ledger.review(review_of(classify(ledger, "a.jpg", "A", Eye.RIGHT, NO_DR), verdict))
    assert (after.eyes[0].final.referable, after.is_reviewed) == (Referable.INDETERMINATE, True)


def test_a_result_that_changes_after_its_review_has_to_be_read_again(ledger: Ledger) -> None:
    judged = classify(ledger, "a.jpg", "A", Eye.RIGHT, NO_DR)
    assert ledger.review(review_of(judged)).is_reviewed
    after = classify(ledger, "b.jpg", "B", Eye.RIGHT, SEVERE)
    assert (after.exam_id, after.is_reviewed, after.eyes[0].reading) == (
        judged.exam_id,
        False,
        None,
    )
    assert len(cases.rows(ledger, review)) == 1


@pytest.mark.parametrize("change", ["UPDATE review SET grade = 0", "DELETE FROM review"])
def test_a_review_cannot_be_changed(ledger: Ledger, change: str) -> None:
    ledger.review(review_of(classify(ledger, "a.jpg", "A", Eye.RIGHT)))
    with pytest.raises(Exception, match="append-only"):
        cases.execute(ledger, change)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"exam_id": 99}, "There is no exam 99"),
        ({"eye": Eye.LEFT}, "has no result for eye L"),
        ({"shown": 99}, "is not a photograph of exam"),
        ({"verdict": ReviewVerdict.OVERRIDE}, "needs the right grade"),
        ({"grade": Grade.MILD}, "needs the right grade"),
        ({"verdict": ReviewVerdict.OVERRIDE, "grade": Grade.MILD}, "needs a reason"),
    ],
)
def test_a_review_that_says_nothing_clear_is_refused(
    ledger: Ledger, change: dict[str, Any], sentence: str
) -> None:
    judged = classify(ledger, "a.jpg", "A", Eye.RIGHT)
    with pytest.raises(RequestError, match=sentence) as caught:
        ledger.review(review_of(judged, **change))
    assert caught.value.hint
    assert cases.rows(ledger, review) == []


def test_a_camera_that_expects_fields_leaves_eyes_without_them_undecided(store_url: str) -> None:
    ledger = Ledger(
        store_url,
        site_key=cases.SITE_KEY,
        cameras=[cases.CAMERA],
        expected_fields={"cam": ("disc",)},
    )
    with ledger.held():
        ledger.start(cases.release())
        judged = classify(ledger, "a.jpg", "A", Eye.RIGHT)
    assert (judged.eyes[0].referable, judged.eyes[0].missing_fields) == (
        Referable.INDETERMINATE,
        ("disc",),
    )
    assert cases.rows(ledger, exam)[0]["missing_fields"] == "L R/disc"
    ledger.close()


@pytest.mark.parametrize("exported", [False, True])
def test_who_looks_at_an_exam_is_written_down(ledger: Ledger, *, exported: bool) -> None:
    judged = classify(ledger, "a.jpg", "A", Eye.RIGHT)
    ledger.shown(judged, exported=exported)
    *_, last = cases.rows(ledger, audit_event)
    assert (last["event"], last["patient_key"]) == (
        "exam.exported" if exported else "exam.shown",
        judged.patient_key,
    )
    assert ledger.verify().broken_seq is None


def test_a_setting_that_changes_applies_when_an_exam_is_judged_the_next_time(
    store_url: str,
) -> None:
    def opened(fields: tuple[str, ...]) -> Ledger:
        return Ledger(
            store_url,
            site_key=cases.SITE_KEY,
            cameras=[cases.CAMERA],
            expected_fields={"cam": fields},
        )

    before = opened(())
    with before.held():
        before.start(cases.release())
        exam_id = classify(before, "a.jpg", "A", Eye.RIGHT).exam_id
    before.close()
    after = opened(("disc",))
    with after.held():
        after.start(cases.release())
        shown = after.exam(exam_id)
        [row] = cases.rows(after, eye_result)
        assert shown is not None
        assert (shown.eyes[0].referable, row["referable"]) == ("no", "no")
        judged = classify(after, "b.jpg", "B", Eye.RIGHT)
        [row] = cases.rows(after, eye_result)
        assert (judged.eyes[0].referable, row["referable"]) == ("indeterminate", "indeterminate")
    after.close()
