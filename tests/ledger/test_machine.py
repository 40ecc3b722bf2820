"""Any order of admissions, claims, crashes, failures and retries keeps the ledger's promises."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import hypothesis.strategies as st
import sqlalchemy as sa
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Eye, Reason, ReviewVerdict
from fundusd.domain.errors import RequestError
from fundusd.domain.files import Admission, IgnoreReason, Stat
from fundusd.domain.retry_policy import MAX_ATTEMPTS
from fundusd.ledger import Claim, Finding, Ledger, exam_queries
from fundusd.ledger.reviews import Review
from fundusd.ledger.tables import capture, exam, eye_result, job, result, sighting

NAMES = st.sampled_from(["a.jpg", "b.jpg", "P1/c.jpg"])
WORDS = st.sampled_from("ABCD")


class LedgerMachine(RuleBasedStateMachine):
    """Do to a ledger what watcher, worker and operator do, and know what must hold."""

    template: Path

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="fundusd-machine-")
        path = shutil.copy(self.template, Path(self.folder.name) / "fundusd.db")
        self.ledger = Ledger(f"sqlite:///{path}", site_key=cases.SITE_KEY)
        self.ledger.start(cases.release())
        self.ledger.register_camera(cases.CAMERA)
        self.held: list[Claim] = []
        self.at: dict[str, str] = {}  # path -> the word whose bytes lie there
        self.revisions = 0
        self.classified: set[tuple[str, int]] = set()  # what this model saw recorded

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    # -- the watcher

    @rule(name=NAMES, word=WORDS, backlog=st.booleans())
    def admit(self, name: str, word: str, *, backlog: bool) -> None:
        (admission,) = self.ledger.admit(cases.found(name, word, backlog=backlog))
        same = self.at.get(name) == word
        known = (cases.digest_of(word), self.ledger.release_id) in self.classified
        if same:
            assert admission in {Admission.TOUCHED, Admission.ADMITTED}
        else:
            assert admission is (Admission.REUSED if known else Admission.ADMITTED)
            self.revisions += 1
        self.at[name] = word

    @rule(name=NAMES)
    def vanish(self, name: str) -> None:
        self.ledger.mark_missing(cases.CAMERA, [name.encode()])

    @rule(name=NAMES)
    def become_no_capture(self, name: str) -> None:
        self.ledger.ignore(cases.CAMERA, {name.encode(): (Stat(1, 2, 3, 4), IgnoreReason.SIDECAR)})
        self.at.pop(name, None)

    # -- the worker

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        claims = self.ledger.claim(limit)
        assert len(claims) <= limit
        running = {claim.job_id for claim in self.held}
        assert running.isdisjoint(claim.job_id for claim in claims)
        assert all(1 <= claim.attempts <= MAX_ATTEMPTS for claim in claims)
        self.held += claims

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        claim = self.take_one(data)
        self.finish([cases.finding(claim)], lost=False)
        (again,) = self.ledger.record([cases.finding(claim)])
        assert again, "told again, since the answer may have been lost, and not written again"

    def finish(self, findings: list[Finding], *, lost: bool) -> None:
        for finding, captures in zip(findings, self.ledger.record(findings), strict=True):
            assert (captures is None) is lost
            if captures is not None:
                self.classified.add((finding.claim.digest, self.ledger.release_id))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), wait=st.sampled_from([0, 1000]))
    def postpone(self, data: st.DataObject, wait: int) -> None:
        assert self.ledger.postpone(self.take_one(data), Reason.TIMEOUT, "slow", wait)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), reason=st.sampled_from([Reason.TRUNCATED, Reason.FILE_MISSING]))
    def fail(self, data: st.DataObject, reason: Reason) -> None:
        assert self.ledger.fail(self.take_one(data), reason, "no use") is not None

    @precondition(lambda self: self.held)
    @rule()
    def give_back(self) -> None:
        assert self.ledger.give_back(self.held) == len(self.held)
        self.held = []

    @precondition(lambda self: self.held)
    @rule()
    def lose_leases(self) -> None:
        """Let every lease run out: the late worker comes after another has claimed."""
        late = self.held
        cases.expire_leases(self.ledger)
        self.held = self.ledger.claim(2)
        self.finish([cases.finding(claim) for claim in late], lost=True)

    def take_one(self, data: st.DataObject) -> Claim:
        return self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))

    # -- the daemon and the operator

    @rule(number=st.integers(1, 3))
    def die_and_start(self, number: int) -> None:
        assert self.ledger.start(cases.release(number)) == len(self.held)
        self.held = []

    @rule()
    def retry_failed(self) -> None:
        self.ledger.retry_failed()

    @rule(data=st.data(), verdict=st.sampled_from([ReviewVerdict.AGREE, ReviewVerdict.UNGRADABLE]))
    def review(self, data: st.DataObject, verdict: ReviewVerdict) -> None:
        eyes = cases.rows(self.ledger, eye_result)
        if eyes:
            row = data.draw(st.sampled_from(eyes))
            given = Review(row["exam_id"], Eye(row["eye"]), verdict, "Lee", "grader")
            with suppress(RequestError):  # nobody can look at a photograph, or it is undecided
                self.ledger.review(given)

    @rule()
    def wait(self) -> None:
        cases.make_available(self.ledger)

    # -- what always holds

    @invariant()
    def no_bytes_are_queued_or_classified_twice_under_one_release(self) -> None:
        for table in (job, result):
            pairs = [(row["digest"], row["release_id"]) for row in cases.rows(self.ledger, table)]
            assert len(pairs) == len(set(pairs))

    @invariant()
    def a_job_has_succeeded_if_and_only_if_its_result_is_there(self) -> None:
        results = {(row["digest"], row["release_id"]) for row in cases.rows(self.ledger, result)}
        succeeded = {(row["digest"], row["release_id"]) for row in self.jobs("succeeded")}
        assert succeeded == results == self.classified

    @invariant()
    def every_capture_has_the_job_of_its_bytes(self) -> None:
        digests = {row["id"]: row["digest"] for row in cases.jobs(self.ledger)}
        captures = cases.captures(self.ledger)
        assert len(captures) == self.revisions
        assert all(digests[row["job_id"]] == row["digest"] for row in captures)
        assert digests.keys() == {row["job_id"] for row in captures}

    @invariant()
    def each_path_has_one_current_capture_and_it_is_what_lies_there(self) -> None:
        query = sa.select(capture.c.path_text, capture.c.digest).where(
            capture.c.superseded.is_(False)
        )
        with self.ledger.database.reading() as connection:
            current = sorted(tuple(row) for row in connection.execute(query))
            seen = sa.select(capture.c.path_text, capture.c.digest).join(
                sighting, sighting.c.capture_id == capture.c.id
            )
            sighted = sorted(tuple(row) for row in connection.execute(seen))
        assert (
            current
            == sighted
            == sorted((name, cases.digest_of(word)) for name, word in self.at.items())
        )

    @invariant()
    def running_jobs_are_the_held_ones(self) -> None:
        assert {row["token"] for row in self.jobs("running")} == {
            claim.token for claim in self.held
        }
        assert len(self.jobs("running")) == len(self.held)

    @invariant()
    def every_waiting_job_waits_under_the_release_at_work(self) -> None:
        assert {row["release_id"] for row in self.jobs("queued")} <= {self.ledger.release_id}

    @invariant()
    def each_stored_exam_is_what_its_captures_and_reviews_amount_to(self) -> None:
        with self.ledger.database.reading() as connection:
            ids = connection.scalars(sa.select(exam.c.id).order_by(exam.c.id)).all()
            stored = [exam_queries.exam_by_id(connection, number) for number in ids]
            assert stored == exam_queries.judged(connection, ids)

    @invariant()
    def the_audit_verifies(self) -> None:
        assert self.ledger.verify().broken_seq is None

    def jobs(self, state: str) -> list[dict[str, object]]:
        return [row for row in cases.jobs(self.ledger) if row["state"] == state]


def test_any_history_keeps_the_ledgers_promises(migrated_sqlite: Path) -> None:
    LedgerMachine.template = migrated_sqlite
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=12, stateful_step_count=30)
    )
