"""From a settled file to a capture: content decides the work, the path decides the record."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.files import Admission, IgnoreReason, Stat
from fundusd.ledger.tables import result, sighting

if TYPE_CHECKING:
    from fundusd.domain.files import SettledFile
    from fundusd.ledger import Ledger


def summary(ledger: Ledger) -> list[tuple[str, int, bool]]:
    """Tell path, revision and superseded of each capture, in the order of admission."""
    return [
        (row["path_text"], row["revision"], row["superseded"]) for row in cases.captures(ledger)
    ]


def test_new_bytes_at_a_new_path_are_admitted(ledger: Ledger) -> None:
    assert ledger.admit(cases.found("P1/a1_OD.jpg", hinted=False)) == [Admission.ADMITTED]
    (row,) = cases.captures(ledger)
    assert (row["path"], row["path_text"], row["revision"], row["superseded"]) == (
        b"P1/a1_OD.jpg",
        "P1/a1_OD.jpg",
        1,
        False,
    )
    assert (row["eye"], row["eye_source"], row["hinted"]) == ("R", "name", False)
    assert row["local_day"] == time.strftime("%Y-%m-%d")
    assert row["local_week"] == time.strftime("%G-W%V")
    assert cases.details(ledger, "capture.admitted") == [
        {"by": "sweep", "camera": "cam", "size": 10}
    ]


def test_the_same_bytes_at_the_same_path_only_refresh_the_change_signal(ledger: Ledger) -> None:
    ledger.admit(cases.found(mtime_ns=1))
    assert ledger.admit(cases.found(mtime_ns=2)) == [Admission.TOUCHED]
    assert summary(ledger) == [("a.jpg", 1, False)]
    assert ledger.named("cam", b"", [b"a.jpg"])[b"a.jpg"].stat.mtime_ns == 2


def test_other_bytes_at_a_known_path_are_the_next_revision(ledger: Ledger) -> None:
    cases.classify(ledger, "a.jpg", "A")
    assert ledger.admit(cases.found("a.jpg", "B")) == [Admission.ADMITTED]
    assert summary(ledger) == [("a.jpg", 1, True), ("a.jpg", 2, False)]
    assert len(cases.rows(ledger, result)) == 1  # the older one's, kept
    assert cases.events(ledger)[-2:] == ["capture.admitted", "capture.superseded"]


def test_bytes_that_return_are_a_new_revision_with_the_old_result(ledger: Ledger) -> None:
    cases.classify(ledger, "a.jpg", "A")
    cases.classify(ledger, "a.jpg", "B")
    assert ledger.admit(cases.found("a.jpg", "A")) == [Admission.REUSED]
    assert summary(ledger) == [("a.jpg", 1, True), ("a.jpg", 2, True), ("a.jpg", 3, False)]
    newest = next(iter(ledger.results()))
    assert (newest["revision"], newest["state"], newest["grade"]) == (3, "succeeded", 2)
    assert ledger.claim(4) == []


def test_the_same_bytes_at_two_paths_are_two_captures_and_one_job(ledger: Ledger) -> None:
    ledger.admit(cases.found("P1/a1_OD.jpg", "A"))
    ledger.admit(cases.found("P2/a1_OS.jpg", "A"))
    (claim,) = ledger.claim(4)
    (captures,) = ledger.record([cases.finding(claim, cases.CONTENT_OF_JPEG)])
    assert captures is not None
    assert [row.eye for row in captures] == ["R", "L"]
    assert [(row["path_text"], row["eye"]) for row in cases.captures(ledger)] == [
        ("P1/a1_OD.jpg", "R"),
        ("P2/a1_OS.jpg", "L"),
    ]
    assert len(cases.rows(ledger, result)) == 1


def test_bytes_that_were_classified_before_take_their_result_over(ledger: Ledger) -> None:
    cases.classify(ledger, "P1/a.dcm", "A")
    assert ledger.admit(cases.found("P2/b.dcm", "A")) == [Admission.REUSED]
    first, other = cases.captures(ledger)
    for name in ("eye", "patient_id", "patient_key", "exam_id", "media_type", "width", "sop_uid"):
        assert first[name] is not None
        assert first[name] == other[name]
    details = cases.details(ledger, "capture.graded")
    assert [detail["reused"] for detail in details] == [False, True]


@pytest.mark.parametrize(
    ("name", "eye", "source"),
    [
        ("a_OS.dcm", "L", "image_laterality"),
        ("a.dcm", "L", "image_laterality"),
        ("a_OD.dcm", "U", "conflict"),
    ],
)
def test_content_and_name_settle_on_one_eye_or_none(
    ledger: Ledger, name: str, eye: str, source: str
) -> None:
    cases.classify(ledger, name)
    (row,) = cases.captures(ledger)
    assert (row["eye"], row["eye_source"]) == (eye, source)


def test_a_renamed_file_is_a_new_capture_that_supersedes_the_old_place(ledger: Ledger) -> None:
    cases.classify(ledger, "a.jpg", "A", inode=7)
    ledger.mark_missing("cam", [b"a.jpg"])
    assert ledger.admit(cases.found("P1/a.jpg", "A", inode=7)) == [Admission.MOVED]
    assert summary(ledger) == [("a.jpg", 1, True), ("P1/a.jpg", 1, False)]
    assert "capture.moved" in cases.events(ledger)
    assert next(iter(ledger.results()))["state"] == "succeeded"


def test_a_file_that_is_renamed_back_is_current_again(ledger: Ledger) -> None:
    cases.classify(ledger, "a.jpg", "A", inode=7)
    ledger.mark_missing("cam", [b"a.jpg"])
    ledger.admit(cases.found("b.jpg", "A", inode=7))
    ledger.mark_missing("cam", [b"b.jpg"])
    assert ledger.admit(cases.found("a.jpg", "A", inode=7)) == [Admission.MOVED]
    assert summary(ledger) == [("a.jpg", 1, True), ("b.jpg", 1, True), ("a.jpg", 2, False)]


def test_a_copy_is_not_taken_for_a_move(ledger: Ledger) -> None:
    cases.classify(ledger, "a.jpg", "A", inode=7)
    assert ledger.admit(cases.found("b.jpg", "A", inode=8)) == [Admission.REUSED]
    assert summary(ledger) == [("a.jpg", 1, False), ("b.jpg", 1, False)]


@pytest.mark.parametrize("changes", [{"inode": 8}, {"mtime_ns": 5}])
def test_a_copy_whose_original_is_gone_is_not_taken_for_a_move(
    ledger: Ledger, changes: dict[str, int]
) -> None:
    cases.classify(ledger, "a.jpg", "A", inode=7)
    ledger.mark_missing("cam", [b"a.jpg"])
    assert ledger.admit(cases.found("b.jpg", "A", **{"inode": 7} | changes)) == [Admission.REUSED]
    assert summary(ledger) == [("a.jpg", 1, False), ("b.jpg", 1, False)]


def test_a_second_name_of_one_file_is_not_taken_for_a_move(ledger: Ledger) -> None:
    cases.classify(ledger, "a.jpg", "A", inode=7)
    assert ledger.admit(cases.found("b.jpg", "A", inode=7)) == [Admission.REUSED]
    assert summary(ledger) == [("a.jpg", 1, False), ("b.jpg", 1, False)]


def test_a_capture_that_waits_may_move_and_is_still_classified_once(ledger: Ledger) -> None:
    ledger.admit(cases.found("a.jpg", "A", inode=7))
    ledger.mark_missing("cam", [b"a.jpg"])
    assert ledger.admit(cases.found("b.jpg", "A", inode=7)) == [Admission.MOVED]
    (claim,) = ledger.claim(4)
    assert [place.path for place in claim.places] == [b"b.jpg", b"a.jpg"]


def test_a_vanished_file_keeps_its_capture_and_its_result(ledger: Ledger) -> None:
    cases.classify(ledger)
    ledger.mark_missing("cam", [b"a.jpg", b"never-seen.jpg"])
    assert ledger.named("cam", b"", [b"a.jpg"])[b"a.jpg"].missing
    assert ledger.remembered("cam") == {}
    assert ledger.accounts("cam", b"") == {}
    assert len(list(ledger.results())) == 1
    ledger.mark_missing("cam", [b"a.jpg"])
    assert cases.events(ledger).count("capture.missing") == 1


def test_a_file_that_comes_back_is_there_again(ledger: Ledger) -> None:
    cases.classify(ledger)
    ledger.mark_missing("cam", [b"a.jpg"])
    assert ledger.admit(cases.found()) == [Admission.TOUCHED]
    assert not ledger.named("cam", b"", [b"a.jpg"])[b"a.jpg"].missing
    assert summary(ledger) == [("a.jpg", 1, False)]


@pytest.mark.parametrize(
    "reason", [Reason.FILE_MISSING, Reason.FILE_CHANGED, Reason.FILE_UNREADABLE]
)
def test_a_job_that_failed_by_its_file_is_reopened_when_the_file_is_back(
    ledger: Ledger, reason: Reason
) -> None:
    ledger.fail(cases.take(ledger), reason, "no such file")
    assert ledger.admit(cases.found()) == [Admission.ADMITTED]
    assert cases.the_job(ledger)["state"] == "queued"


@pytest.mark.parametrize(
    "shown", [cases.found("copy.jpg"), cases.found(ctime_ns=9_000)], ids=["copy", "back"]
)
@pytest.mark.parametrize(
    "reason", [Reason.FILE_MISSING, Reason.FILE_CHANGED, Reason.FILE_UNREADABLE]
)
def test_a_job_does_not_fail_by_its_file_when_its_bytes_were_shown_meanwhile(
    ledger: Ledger, reason: Reason, shown: SettledFile
) -> None:
    claim = cases.take(ledger)
    ledger.admit(shown)
    assert ledger.fail(claim, reason, "no such file") == []
    [again] = ledger.claim(1)
    assert (again.attempts, again.places != claim.places) == (2, True)
    [failed, *_] = ledger.fail(again, reason, "no such file") or []
    assert (failed.outcome, failed.reason) == ("failed", reason)


def test_bytes_that_cannot_be_decoded_fail_wherever_they_were_shown(ledger: Ledger) -> None:
    claim = cases.take(ledger)
    ledger.admit(cases.found("copy.jpg"))
    assert len(ledger.fail(claim, Reason.TRUNCATED, "cut short") or []) == 2


def test_a_file_that_is_back_after_a_new_release_is_classified_under_that(ledger: Ledger) -> None:
    ledger.fail(cases.take(ledger), Reason.FILE_MISSING, "no such file")
    ledger.start(cases.release(2))
    ledger.admit(cases.found())
    assert len(ledger.claim(4)) == 1


def test_bytes_that_failed_are_not_tried_again_because_their_file_was_touched(
    ledger: Ledger,
) -> None:
    ledger.fail(cases.take(ledger), Reason.TRUNCATED, "cut short")
    assert ledger.admit(cases.found()) == [Admission.TOUCHED]
    assert cases.the_job(ledger)["state"] == "failed"


def test_bytes_that_failed_are_tried_again_when_exported_again(ledger: Ledger) -> None:
    ledger.fail(cases.take(ledger), Reason.TRUNCATED, "cut short")
    assert ledger.admit(cases.found("again.jpg")) == [Admission.ADMITTED]
    assert cases.the_job(ledger)["state"] == "queued"


def test_a_backlog_job_is_raised_when_its_bytes_arrive_today(ledger: Ledger) -> None:
    ledger.admit(cases.found("old.jpg", "A", backlog=True))
    ledger.admit(cases.found("older.jpg", "B", backlog=True, mtime_ns=9_999))
    ledger.admit(cases.found("today.jpg", "A"))
    assert [claim.digest for claim in ledger.claim(1)] == [cases.digest_of("A")]
    assert cases.jobs(ledger)[0]["lane"] == 0


def test_a_backlog_copy_of_todays_capture_does_not_push_it_back(ledger: Ledger) -> None:
    ledger.admit(cases.found("today.jpg", "A"))
    ledger.admit(cases.found("old.jpg", "A", backlog=True))
    assert cases.the_job(ledger)["lane"] == 0


def test_a_second_backlog_copy_stays_in_the_backlog(ledger: Ledger) -> None:
    ledger.admit(cases.found("old.jpg", "A", backlog=True))
    ledger.admit(cases.found("older.jpg", "A", backlog=True))
    assert cases.the_job(ledger)["lane"] == 1


def test_a_capture_admitted_while_its_bytes_are_classified_gets_the_result(ledger: Ledger) -> None:
    claim = cases.take(ledger)
    assert ledger.admit(cases.found("b.jpg", "A")) == [Admission.ADMITTED]
    (captures,) = ledger.record([cases.finding(claim)])
    assert captures is not None
    assert len(captures) == 2


def test_waiting_jobs_are_adopted_by_a_new_release(ledger: Ledger) -> None:
    ledger.admit(cases.found())
    before = cases.last_seq(ledger)
    ledger.start(cases.release(2))
    assert cases.events(ledger, after=before) == [
        "release.registered",
        "job.adopted",
        "application.started",
    ]
    assert cases.the_job(ledger)["release_id"] == ledger.release_id
    assert len(ledger.claim(1)) == 1


def test_a_classified_capture_keeps_its_release(ledger: Ledger) -> None:
    cases.classify(ledger)
    made_by = ledger.release_id
    ledger.start(cases.release(2))
    assert cases.the_job(ledger)["release_id"] == made_by
    assert ledger.admit(cases.found("b.jpg", "A")) == [
        Admission.ADMITTED
    ]  # once per digest and release
    assert len(cases.jobs(ledger)) == 2


def _wait_under_an_older_release(ledger: Ledger) -> int:
    """Leave a job waiting under release 1, its bytes also queued by 2; return release 1's id."""
    old = ledger.release_id
    ledger.fail(cases.take(ledger, "a.jpg", "A"), Reason.TRUNCATED, "cut short")
    ledger.start(cases.release(2))
    ledger.admit(cases.found("b.jpg", "A"))
    return old


def test_a_waiting_job_hands_its_captures_to_the_result_of_its_twin(ledger: Ledger) -> None:
    _wait_under_an_older_release(ledger)
    ledger.record([cases.finding(claim) for claim in ledger.claim(1)])
    assert ledger.retry_failed() == 1
    assert {row["state"] for row in ledger.results()} == {"succeeded"}
    assert len(cases.jobs(ledger)) == 1
    assert all(row["patient_key"] for row in cases.captures(ledger))
    assert ledger.verify().broken_seq is None


def test_a_waiting_job_hands_its_captures_to_its_twin_that_waits(ledger: Ledger) -> None:
    _wait_under_an_older_release(ledger)
    ledger.retry_failed()
    (claim,) = ledger.claim(4)
    assert sorted(place.path for place in claim.places) == [b"a.jpg", b"b.jpg"]


def test_a_file_that_is_no_capture_is_remembered_with_its_reason(ledger: Ledger) -> None:
    stat = Stat(5, 6, 7, 8)
    ledger.ignore("cam", {b"P1/a.xml": (stat, IgnoreReason.SIDECAR)})
    seen = ledger.named("cam", b"P1", [b"a.xml"])[b"a.xml"]
    assert (seen.stat, seen.ignored, seen.missing) == (stat, IgnoreReason.SIDECAR, False)
    assert ledger.remembered("cam") == {b"P1": 1}
    assert cases.captures(ledger) == []
    ledger.mark_missing("cam", [b"P1/a.xml"])
    assert ledger.named("cam", b"P1", [b"a.xml"])[b"a.xml"].missing


def test_a_file_that_was_no_capture_may_become_one(ledger: Ledger) -> None:
    ledger.ignore("cam", {b"a.jpg": (Stat(5, 6, 7, 8), IgnoreReason.TEMPORARY_NAME)})
    assert ledger.admit(cases.found()) == [Admission.ADMITTED]
    assert ledger.named("cam", b"", [b"a.jpg"])[b"a.jpg"].ignored is None


def test_a_capture_whose_file_becomes_something_else_is_superseded(ledger: Ledger) -> None:
    cases.classify(ledger)
    ledger.ignore("cam", {b"a.jpg": (Stat(5, 6, 7, 8), IgnoreReason.SIDECAR)})
    assert summary(ledger) == [("a.jpg", 1, True)]
    assert cases.events(ledger)[-1] == "capture.superseded"


def test_each_camera_has_its_own_paths(ledger: Ledger) -> None:
    ledger.register_camera("other")
    ledger.register_camera("other")
    ledger.admit(cases.found())
    assert ledger.admit(cases.found(camera_id="other")) == [Admission.ADMITTED]
    assert summary(ledger) == [("a.jpg", 1, False)] * 2
    assert [seen[:2] for seen in ledger.present("other", [b""])] == [(b"", b"a.jpg")]
    assert cases.events(ledger).count("camera.registered") == 2


@pytest.mark.parametrize("inode", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_inode_numbers_use_all_64_bits(ledger: Ledger, inode: int) -> None:
    ledger.admit(cases.found(inode=inode))
    assert ledger.named("cam", b"", [b"a.jpg"])[b"a.jpg"].stat.inode == inode
    ledger.mark_missing("cam", [b"a.jpg"])
    assert ledger.admit(cases.found("b.jpg", inode=inode)) == [Admission.MOVED]


@pytest.mark.parametrize(
    "name", [b"caf\xe9_OD.jpg", b"\xff\xfe", "Nguyễn_OS.jpg".encode(), b"a\nb\x1b'--.jpg"]
)
def test_path_bytes_survive_whatever_they_are(ledger: Ledger, name: bytes) -> None:
    cases.classify(ledger, b"d\xe9/" + name)
    assert [seen[:2] for seen in ledger.present("cam", [b"d\xe9"])] == [(b"d\xe9", name)]
    assert cases.captures(ledger)[0]["path"] == b"d\xe9/" + name
    (row,) = ledger.results()
    assert row["path"] == (b"d\xe9/" + name).decode("utf-8", "backslashreplace")
    assert cases.rows(ledger, sighting)[0]["directory"] == b"d\xe9"
    assert ledger.verify().broken_seq is None


def test_a_sweep_leaves_its_report_and_its_time(ledger: Ledger) -> None:
    assert not ledger.swept_before("cam")
    before = time.time_ns()
    assert before - 60e9 < ledger.registered_at_ns("cam") <= before
    ledger.sweep_finished("cam", cases.SWEEP)
    assert ledger.swept_before("cam")
