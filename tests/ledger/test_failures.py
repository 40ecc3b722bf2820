"""A failed capture belongs to its exam, and leaves no negative while it has no result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Action, Eye, EyeSource, Outcome, Reason, Referable
from fundusd.domain.errors import RequestError
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import Ledger
from fundusd.ledger.corrections import Corrector
from fundusd.ledger.tables import audit_event, exam, eye_result

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam

NO_DR = (5.0, 0.0, 0.0, 0.0, 0.0)
HEADER = replace(cases.CONTENT, eye=Eye.RIGHT)
UNKNOWN = Reason.UNKNOWN_FORMAT, "unknown_format at attempt 1"
OKAFOR = Corrector("okafor", "ophthalmologist")


def graded(ledger: Ledger, name: str, eye: Eye) -> Exam:
    content = replace(HEADER, eye=eye, eye_source=EyeSource.IMAGE_LATERALITY)
    ledger.record([cases.finding(cases.take(ledger, name, name), content, NO_DR)])
    return last_exam(ledger)


def last_exam(ledger: Ledger) -> Exam:
    exam = ledger.exam_of(cases.captures(ledger)[-1]["id"])
    assert exam is not None
    return exam


def test_a4_a_truncated_photograph_joins_its_exam_by_what_its_header_says(ledger: Ledger) -> None:
    graded(ledger, "l.dcm", Eye.LEFT)
    before = graded(ledger, "r.dcm", Eye.RIGHT)
    assert before.assessment.referable is Referable.NO
    cut = cases.take(ledger, "cut.dcm", "cut")
    ledger.fail(cut, Reason.TRUNCATED, "cut short", replace(HEADER, warnings=("clock_skew",)))
    after = last_exam(ledger)
    assert (after.exam_id, after.final.referable) == (before.exam_id, Referable.INDETERMINATE)
    right = after.eyes[0]
    assert (right.outcome, right.reason) == (Outcome.FAILED, Reason.TRUNCATED)
    assert right.action is Action.CONTACT_IT
    assert cases.captures(ledger)[-1]["warnings"] == '["clock_skew"]'
    assert {row["eye"] for row in cases.rows(ledger, eye_result) if row["urgency"]} == {"R"}
    assert ledger.verify().broken_seq is None


def test_a4_a_truncated_photograph_leaves_no_negative_while_it_is_tried_again(
    ledger: Ledger,
) -> None:
    graded(ledger, "l.dcm", Eye.LEFT)
    before = graded(ledger, "r.dcm", Eye.RIGHT)
    assert before.assessment.referable is Referable.NO
    cut = cases.take(ledger, "cut.dcm", "cut")
    assert ledger.postpone(cut, Reason.TRUNCATED, "cut short", 0, HEADER)
    waiting = last_exam(ledger)
    assert (waiting.exam_id, waiting.eyes[0].reason) == (before.exam_id, Reason.TRUNCATED)
    content = replace(HEADER, eye_source=EyeSource.IMAGE_LATERALITY)
    ledger.record([cases.finding(ledger.claim(1)[0], content, NO_DR)])
    assert last_exam(ledger).final.referable is Referable.NO
    assert ledger.verify().broken_seq is None


def test_a4_a_failed_capture_of_nobody_known_is_an_exam_that_asks_for_it(ledger: Ledger) -> None:
    ledger.fail(cases.take(ledger, "cut.jpg", "cut"), Reason.TRUNCATED, "cut short")
    [eye] = last_exam(ledger).eyes
    assert (eye.eye, eye.referable, eye.action) == (
        Eye.UNKNOWN,
        Referable.INDETERMINATE,
        Action.CONTACT_IT,
    )


def test_a4_a_failed_capture_that_is_tried_again_still_leaves_no_negative(ledger: Ledger) -> None:
    graded(ledger, "l.dcm", Eye.LEFT)
    ledger.fail(cases.take(ledger, "cut.dcm", "cut"), Reason.TRUNCATED, "cut short", HEADER)
    assert ledger.retry_failed() == 1
    ledger.admit(cases.found("r.dcm", "r"))
    claims = {claim.digest: claim for claim in ledger.claim(2)}
    content = replace(HEADER, eye_source=EyeSource.IMAGE_LATERALITY)
    ledger.record([cases.finding(claims[cases.digest_of("r")], content, NO_DR)])
    assert last_exam(ledger).final.referable is Referable.INDETERMINATE
    ledger.record([cases.finding(claims[cases.digest_of("cut")], content, NO_DR)])
    assert last_exam(ledger).final.referable is Referable.NO


def test_a4_a_capture_that_ends_the_process_each_time_has_an_exam(ledger: Ledger) -> None:
    cases.take(ledger, "bad.jpg", "bad")
    cases.execute(ledger, "UPDATE job SET attempts = 5, lease_until = 0")
    assert ledger.claim(1) == []
    assert last_exam(ledger).eyes[0].reason is Reason.ATTEMPTS_EXHAUSTED


@pytest.mark.parametrize("outcome", ["failed", "refused"])
def test_a3_a4_every_file_of_an_exam_is_among_its_photographs(ledger: Ledger, outcome: str) -> None:
    before = graded(ledger, "r.dcm", Eye.RIGHT)
    claim = cases.take(ledger, "other.dcm", "other")
    if outcome == "failed":
        ledger.fail(claim, Reason.DECODE_ERROR, "damaged", HEADER)
    else:
        ledger.record([cases.refusal(claim, Reason.NOT_RETINA, HEADER)])
    [right] = last_exam(ledger).eyes
    assert (last_exam(ledger).exam_id, len(right.shots)) == (before.exam_id, 2)


def test_b44_a_waiting_capture_whose_bytes_failed_under_this_release_joins_its_exam(
    store_url: str,
) -> None:
    """It waits under an older release, to which the site had gone back for a while."""
    named = {cases.CAMERA: Naming.of("generic", r"(?P<patient>P\d+)_(?P<eye>[RL])\d?")}
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, naming=named)
    ledger.register_camera(cases.CAMERA)
    ledger.start(cases.release(2))
    ledger.fail(cases.take(ledger, "P8_R.jpg", "cut"), Reason.TRUNCATED, "cut short")
    ledger.start(cases.release(1))
    for name in ("P7_R.jpg", "P7_L.jpg"):
        content = replace(cases.CONTENT_OF_JPEG, eye=Eye.UNKNOWN)
        ledger.record([cases.finding(cases.take(ledger, name, name), content, NO_DR)])
    before = last_exam(ledger)
    assert before.final.referable is Referable.NO
    ledger.admit(cases.found("P7_R2.jpg", "cut"))

    ledger.start(cases.release(2))

    after = last_exam(ledger)
    assert (after.exam_id, after.final.referable) == (before.exam_id, Referable.INDETERMINATE)
    assert after.eyes[0].reason is Reason.TRUNCATED
    failed = [row for row in cases.rows(ledger, audit_event) if row["event"] == "capture.failed"]
    assert [row["entity_id"] for row in failed] == [1, 4]
    assert ledger.verify().broken_seq is None
    ledger.close()


def test_a_file_of_no_accepted_format_that_names_nobody_makes_no_exam(ledger: Ledger) -> None:
    graded(ledger, "l.dcm", Eye.LEFT)
    before = graded(ledger, "r.dcm", Eye.RIGHT)
    for name in ("x1.jpg", "x2.jpg"):
        [recorded] = ledger.fail(cases.take(ledger, name, name), *UNKNOWN) or []
        assert (recorded.outcome, recorded.reason) == ("failed", "unknown_format")
    assert [row["id"] for row in cases.rows(ledger, exam)] == [before.exam_id]
    assert [row["exam_id"] for row in cases.captures(ledger)][2:] == [None, None]
    with pytest.raises(RequestError, match="Capture 3 belongs to no exam: its file is none of"):
        ledger.exclude(3, ExclusionReason.OTHER, OKAFOR)
    assert ledger.retry_failed() == 2
    for claim in ledger.claim(2):
        ledger.fail(claim, *UNKNOWN)
    assert len(cases.rows(ledger, exam)) == 1
    assert ledger.verify().broken_seq is None


def test_a_file_of_no_accepted_format_in_the_place_of_a_photograph_is_in_its_exam(
    ledger: Ledger,
) -> None:
    content = replace(cases.CONTENT_OF_JPEG, eye=Eye.UNKNOWN)
    ledger.record([cases.finding(cases.take(ledger, "x.jpg", "good"), content, NO_DR)])
    before = last_exam(ledger)
    ledger.fail(cases.take(ledger, "x.jpg", "junk"), *UNKNOWN)
    after = last_exam(ledger)
    assert after.exam_id == before.exam_id
    assert after.eyes[0].reason is Reason.UNKNOWN_FORMAT


def test_a_file_of_no_accepted_format_that_names_an_eye_makes_an_exam(ledger: Ledger) -> None:
    ledger.fail(cases.take(ledger, "photo_OD.jpg"), *UNKNOWN)
    [eye] = last_exam(ledger).eyes
    assert (eye.eye, eye.reason) == (Eye.RIGHT, Reason.UNKNOWN_FORMAT)


def test_a_file_of_no_accepted_format_that_names_a_patient_has_an_exam(store_url: str) -> None:
    named = {cases.CAMERA: Naming.of("generic", r"(?P<patient>P\d+)_(?P<eye>[RL])\d?")}
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, naming=named)
    ledger.register_camera(cases.CAMERA)
    ledger.start(cases.release())
    content = replace(cases.CONTENT_OF_JPEG, eye=Eye.UNKNOWN)
    for name in ("P7_R.jpg", "P7_L.jpg"):
        ledger.record([cases.finding(cases.take(ledger, name, name), content, NO_DR)])
    before = last_exam(ledger)
    assert before.final.referable is Referable.NO
    ledger.fail(cases.take(ledger, "P7_R2.jpg", "zeros"), *UNKNOWN)
    after = last_exam(ledger)
    assert (after.exam_id, after.final.referable) == (before.exam_id, Referable.INDETERMINATE)
    ledger.admit(cases.found("x.jpg", "zeros"))  # the same bytes, under a name of nobody
    [claim] = ledger.claim(1)
    ledger.fail(claim, *UNKNOWN)
    assert [row["exam_id"] for row in cases.captures(ledger)][2:] == [after.exam_id, None]
    ledger.close()
