"""Every arrow of the job state diagram: the state after it and its audit events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import LedgerError, RequestError
from fundusd.domain.retry_policy import MAX_ATTEMPTS
from fundusd.ledger.tables import audit_event, result

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.ledger import Ledger


def test_a_new_capture_is_queued(ledger: Ledger) -> None:
    before = cases.last_seq(ledger)
    ledger.admit(cases.found())
    job = cases.the_job(ledger)
    assert (job["state"], job["attempts"], job["token"]) == ("queued", 0, None)
    assert cases.events(ledger, after=before) == ["job.queued", "capture.admitted"]


def test_a_claimed_job_runs_with_its_attempt_counted(ledger: Ledger) -> None:
    ledger.admit(cases.found())
    before = cases.last_seq(ledger)
    (claim,) = ledger.claim(4)
    job = cases.the_job(ledger)
    assert (job["state"], job["attempts"], job["token"]) == ("running", 1, claim.token)
    assert claim.attempts == 1
    assert [(place.camera_id, place.path) for place in claim.places] == [("cam", b"a.jpg")]
    assert cases.events(ledger, after=before) == ["job.claimed"]


def test_a_recorded_finding_makes_its_job_succeed(ledger: Ledger) -> None:
    claim = cases.take(ledger)
    before = cases.last_seq(ledger)
    ((recorded,),) = [captures or [] for captures in ledger.record([cases.finding(claim)])]
    job = cases.the_job(ledger)
    assert (job["state"], job["token"], job["lease_until"]) == ("succeeded", None, None)
    assert (recorded.eye, recorded.eye_source, recorded.grade) == ("L", "image_laterality", 2)
    assert cases.events(ledger, after=before) == ["capture.graded"]


@pytest.mark.parametrize(
    ("reason", "event"),
    [(Reason.TOO_DARK, "capture.ungradable"), (Reason.MONTAGE, "capture.refused")],
)
def test_a_finding_without_a_grade_is_a_result_too(
    ledger: Ledger, reason: Reason, event: str
) -> None:
    claim = cases.take(ledger)
    before = cases.last_seq(ledger)
    ledger.record([cases.refusal(claim, reason)])
    assert cases.the_job(ledger)["state"] == "succeeded"
    (row,) = cases.rows(ledger, result)
    assert (row["reason"], row["referable"], row["grade"]) == (reason.value, "indeterminate", None)
    assert cases.events(ledger, after=before) == [event]


def test_a_postponed_job_waits_with_its_attempt_counted(ledger: Ledger) -> None:
    claim = cases.take(ledger)
    before = cases.last_seq(ledger)
    assert ledger.postpone(claim, Reason.FILE_UNREADABLE, "share away", 60)
    job = cases.the_job(ledger)
    assert (job["state"], job["attempts"], job["reason"], job["token"]) == (
        "queued",
        1,
        "file_unreadable",
        None,
    )
    assert cases.events(ledger, after=before) == ["job.postponed"]


def test_a_postponed_job_is_not_taken_before_its_time(ledger: Ledger) -> None:
    claim = cases.take(ledger)
    ledger.postpone(claim, Reason.FILE_UNREADABLE, "share away", 60)
    assert ledger.claim(4) == []
    cases.make_available(ledger)
    (again,) = ledger.claim(4)
    assert again.attempts == 2


def test_a_job_that_is_given_up_fails_with_its_reason(ledger: Ledger) -> None:
    claim = cases.take(ledger)
    before = cases.last_seq(ledger)
    assert ledger.fail(claim, Reason.TRUNCATED, "cut short")
    job = cases.the_job(ledger)
    assert (job["state"], job["reason"], job["action"]) == ("failed", "truncated", "contact_it")
    assert job["error"] == "cut short"
    assert cases.events(ledger, after=before) == ["capture.failed"]


def test_a_job_given_back_loses_no_attempt(ledger: Ledger) -> None:
    claim = cases.take(ledger)
    before = cases.last_seq(ledger)
    assert ledger.give_back([claim]) == 1
    job = cases.the_job(ledger)
    assert (job["state"], job["attempts"]) == ("queued", 0)
    assert cases.events(ledger, after=before) == ["job.given_back"]
    (again,) = ledger.claim(1)
    assert again.attempts == 1


def test_an_expired_lease_is_taken_by_the_next_claim(ledger: Ledger) -> None:
    first = cases.take(ledger)
    assert ledger.claim(1) == []
    cases.expire_leases(ledger)
    before = cases.last_seq(ledger)
    (again,) = ledger.claim(1)
    assert (again.job_id, again.attempts) == (first.job_id, 2)
    assert again.token != first.token
    assert cases.events(ledger, after=before) == ["job.reclaimed", "job.claimed"]


def test_a_start_takes_back_what_a_dead_daemon_held(ledger: Ledger) -> None:
    cases.take(ledger)
    before = cases.last_seq(ledger)
    assert ledger.start(cases.release()) == 1
    job = cases.the_job(ledger)
    assert (job["state"], job["attempts"]) == ("queued", 1)
    assert cases.events(ledger, after=before) == ["job.reclaimed", "application.started"]


def test_a_capture_that_kills_the_process_runs_out_of_attempts(ledger: Ledger) -> None:
    cases.take(ledger)
    for _ in range(MAX_ATTEMPTS - 1):
        cases.expire_leases(ledger)
        assert len(ledger.claim(1)) == 1
    cases.expire_leases(ledger)
    before = cases.last_seq(ledger)
    assert ledger.claim(1) == []
    job = cases.the_job(ledger)
    assert (job["state"], job["attempts"], job["reason"]) == (
        "failed",
        MAX_ATTEMPTS,
        "attempts_exhausted",
    )
    assert cases.events(ledger, after=before) == ["capture.failed"]


def test_a_failed_job_is_queued_again_with_all_its_attempts(ledger: Ledger) -> None:
    ledger.fail(cases.take(ledger), Reason.TRUNCATED, "cut short")
    before = cases.last_seq(ledger)
    assert ledger.retry_failed() == 1
    job = cases.the_job(ledger)
    assert (job["state"], job["attempts"], job["reason"]) == ("queued", 0, "truncated")
    assert cases.events(ledger, after=before) == ["job.retried"]


def test_one_failed_capture_is_queued_again_by_its_number(ledger: Ledger) -> None:
    ledger.fail(cases.take(ledger), Reason.TRUNCATED, "cut short")
    ledger.fail(cases.take(ledger, "b.jpg", "B"), Reason.TRUNCATED, "cut short")
    chosen = cases.captures(ledger)[1]
    assert ledger.retry(chosen["id"])
    assert [job["state"] for job in cases.jobs(ledger)] == ["failed", "queued"]
    assert not ledger.retry(chosen["id"])


def test_an_unknown_capture_cannot_be_retried(ledger: Ledger) -> None:
    with pytest.raises(RequestError, match="no capture 7"):
        ledger.retry(7)


def test_a_failed_capture_of_an_older_release_is_retried_under_the_one_at_work(
    ledger: Ledger, open_beside: Callable[[], Ledger]
) -> None:
    ledger.fail(cases.take(ledger), Reason.MODEL_ERROR, "odd")
    ledger.start(cases.release(2))
    operator = open_beside()
    operator.release_id = 0  # the command line starts no release
    assert operator.retry_failed() == 1
    (claim,) = ledger.claim(1)
    assert ledger.record([cases.finding(claim)]) != [None]


def test_a_late_writer_loses_its_lease_and_writes_nothing(ledger: Ledger) -> None:
    late = cases.take(ledger)
    cases.expire_leases(ledger)
    (current,) = ledger.claim(1)
    before = cases.last_seq(ledger)
    assert ledger.record([cases.finding(late)]) == [None]
    assert not ledger.postpone(late, Reason.TIMEOUT, "late", 1)
    assert not ledger.fail(late, Reason.TIMEOUT, "late")
    assert ledger.give_back([late]) == 0
    assert cases.rows(ledger, result) == []
    assert cases.the_job(ledger)["token"] == current.token
    assert cases.last_seq(ledger) == before


def test_a_lost_lease_does_not_cost_its_neighbours_their_results(ledger: Ledger) -> None:
    late = cases.take(ledger)
    cases.expire_leases(ledger)
    ledger.claim(1)
    held = cases.take(ledger, "b.jpg", "B")
    lost, kept = ledger.record([cases.finding(late), cases.finding(held)])
    assert lost is None
    assert kept is not None
    assert [row["digest"] for row in cases.rows(ledger, result)] == [held.digest]


_REFUSE_AUDIT = {
    "sqlite": [
        (
            "CREATE TRIGGER broken BEFORE INSERT ON audit_event WHEN NEW.event LIKE 'capture.%'"
            " BEGIN SELECT RAISE(ABORT, 'broken'); END"
        )
    ],
    "postgresql": [
        (
            "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF NEW.event LIKE 'capture.%' THEN RAISE EXCEPTION 'broken'; END IF;"
            " RETURN NEW; END $$"
        ),
        "CREATE TRIGGER broken BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION broken()",
    ],
}


def test_state_result_and_audit_are_written_together_or_not_at_all(ledger: Ledger) -> None:
    first, other = cases.take(ledger), cases.take(ledger, "b.jpg", "B")
    before = cases.rows(ledger, audit_event), cases.jobs(ledger), cases.captures(ledger)
    for statement in _REFUSE_AUDIT[ledger.database.engine.dialect.name]:
        cases.execute(ledger, statement)
    with pytest.raises(LedgerError):
        ledger.record([cases.finding(first), cases.finding(other)])
    with pytest.raises(LedgerError):
        ledger.fail(first, Reason.TRUNCATED, "cut short")
    with pytest.raises(LedgerError):
        ledger.admit(cases.found("c.jpg", "C"))
    assert cases.rows(ledger, result) == []
    assert (cases.rows(ledger, audit_event), cases.jobs(ledger), cases.captures(ledger)) == before


def test_a_result_that_breaks_a_rule_of_the_schema_leaves_nothing_behind(ledger: Ledger) -> None:
    good, bad = cases.take(ledger), cases.take(ledger, "b.jpg", "B")
    before = cases.rows(ledger, audit_event), cases.jobs(ledger)
    ungraded = cases.refusal(bad, Reason.TRUNCATED)  # a failure is never a result
    with pytest.raises(LedgerError):
        ledger.record([cases.finding(good), ungraded])
    assert cases.rows(ledger, result) == []
    assert (cases.rows(ledger, audit_event), cases.jobs(ledger)) == before


def test_start_and_stop_are_audited(ledger: Ledger) -> None:
    ledger.stop()
    assert cases.events(ledger) == [
        "release.registered",
        "application.started",
        "camera.registered",
        "application.stopped",
    ]


def test_a_release_is_registered_once(ledger: Ledger) -> None:
    known = ledger.release_id
    ledger.start(cases.release())
    assert ledger.release_id == known
    ledger.start(cases.release(2))
    assert ledger.release_id != known


def test_a_record_whose_answer_was_lost_is_told_again_and_not_written_again(ledger: Ledger) -> None:
    claim = cases.take(ledger, "a.jpg", "A")
    other = cases.take(ledger, "b.jpg", "B")
    (first,) = ledger.record([cases.finding(claim)])
    written = cases.last_seq(ledger)
    assert ledger.record([cases.finding(claim)]) == [first]
    assert len(cases.rows(ledger, result)) == 1
    assert cases.last_seq(ledger) == written
    again, second = ledger.record([cases.finding(claim), cases.finding(other)])
    assert again == first
    assert second is not None
    assert [recorded.outcome for recorded in second] == ["graded"]
    assert ledger.verify().broken_seq is None


def test_a_result_of_another_worker_is_not_told_as_ours(
    ledger: Ledger, open_beside: Callable[[], Ledger]
) -> None:
    slow = cases.take(ledger)
    cases.expire_leases(ledger)
    (quick,) = open_beside().claim(1)
    assert ledger.record([cases.finding(slow)]) == [None]
    assert open_beside().record([cases.finding(quick)]) != [None]
    assert ledger.record([cases.finding(slow)]) == [None]
