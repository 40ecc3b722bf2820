"""The worker service: claim, decode, classify and record captures, decoding one batch ahead."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import structlog

from fundusd.domain.errors import FundusdError, LedgerError
from fundusd.worker.canary import ModelCanary
from fundusd.worker.inference import Inference
from fundusd.worker.preparation import Preparation, PreparedJob
from fundusd.worker.recording import RecordingQueue, ResultRecorder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fundusd.domain.inference import Classifier
    from fundusd.ledger import Claim, Ledger
    from fundusd.worker.preparation import Decoder
    from fundusd.worker.rules import WorkerRules

# how often to check for jobs whose pause is over; new captures wake the worker at once
_IDLE_SECONDS = 1.0


class _JobInPreparation(NamedTuple):
    """A claim, and the future of its prepared job."""

    claim: Claim
    prepared: Future[PreparedJob]


class Worker:
    """The worker service, whose thread is the only one that calls the model."""

    name = "worker"

    def __init__(
        self,
        ledger: Ledger,
        load: Callable[[], Classifier],
        decoder: Decoder,
        roots: Mapping[str, Path],
        rules: WorkerRules,
        beat: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._load = load
        self._rules = rules
        self._beat = beat
        self._preparation = Preparation(ledger, decoder, roots, rules)
        self._recorder = ResultRecorder(ledger, rules)
        self._wake = threading.Event()
        self._ahead: list[_JobInPreparation] = []  # claimed, but not yet submitted to the model
        self._log = structlog.get_logger(service=self.name)

    def wake(self) -> None:
        """Make the worker look for work now; any thread may call this."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then release the jobs that are claimed but not classified."""
        with (
            ThreadPoolExecutor(self._rules.decoders, thread_name_prefix="prepare") as pool,
            ThreadPoolExecutor(1, thread_name_prefix="record") as thread,
        ):
            classifier, self._ahead = self._loaded(pool, thread, stop)
            recordings = RecordingQueue(thread, self._recorder.record)
            canary = ModelCanary(classifier, self._ledger, self._beat, self._rules.now)
            inference = Inference(
                classifier, self._rules.batch_size, self._beat, canary, self._rules.referral
            )
            try:
                self._serve(inference, canary, pool, recordings, stop)
            except FundusdError:  # the model or the ledger failed: no capture is to blame
                stop.set()
                with suppress(LedgerError):
                    claims = recordings.unrecorded_claims() + inference.claims()
                    self._release(claims + self._take_claims_ahead())
                raise

    def _serve(
        self,
        inference: Inference,
        canary: ModelCanary,
        pool: ThreadPoolExecutor,
        recordings: RecordingQueue,
        stop: threading.Event,
    ) -> None:
        """Classify batches until `stop` is set.

        Meanwhile, the next batch is prepared and the previous one is recorded.
        """
        while not stop.is_set():
            self._beat()
            self._ahead = self._ahead or self._claim(pool)
            if not self._ahead:
                self._idle(canary, stop)
                continue
            jobs = self._prepared(self._ahead)
            if stop.is_set():
                break
            # a retried job may have killed the process before, and must not affect other jobs
            is_alone = jobs[0].claim.attempts > 1
            if is_alone:
                recordings.start(inference.collect(0))
                recordings.finish()
            inference.submit(jobs)
            self._ahead = []
            if is_alone:
                recordings.start(inference.collect(0))
            self._ahead = self._claim(pool)
            is_overdue = canary.is_due(idle=False)
            # a batch stays in flight only if another one follows
            keep = 0
            if self._ahead and not is_overdue:
                keep = 1
            recordings.start(inference.collect(keep))
            if is_overdue:
                canary.run(stop)
        self._release(self._take_claims_ahead())
        recordings.start(inference.collect(0))
        recordings.finish()
        self._recorder.log_counted(at_end=True)

    def _idle(self, canary: ModelCanary, stop: threading.Event) -> None:
        """Verify the model if that is due, then wait for work."""
        self._recorder.log_counted()
        canary.require_unchanged()
        if canary.is_due(idle=True):
            canary.run(stop)
        self._wait_for_work()

    def _wait_for_work(self) -> None:
        self._wake.wait(_IDLE_SECONDS)
        self._wake.clear()

    # -- claims

    def _claim(self, pool: ThreadPoolExecutor) -> list[_JobInPreparation]:
        """Claim waiting jobs, up to the batch size, and start preparing them."""
        jobs: list[_JobInPreparation] = []
        for claim in self._ledger.claim(self._rules.batch_size, self._rules.longest_pause):
            prepared = pool.submit(self._preparation.prepare, claim)
            jobs.append(_JobInPreparation(claim, prepared))
        return jobs

    def _prepared(self, jobs: Sequence[_JobInPreparation]) -> list[PreparedJob]:
        """Wait until jobs are prepared, and return them.

        The wait is limited because decoders have a time limit. Raises FundusdError if no decoder
        process can be started.
        """
        pending = {job.prepared for job in jobs}
        while pending:
            pending = wait(pending, timeout=_IDLE_SECONDS).not_done
            self._beat()
        return [job.prepared.result() for job in jobs]

    def _take_claims_ahead(self) -> list[Claim]:
        """Return and forget the claims that have not yet been submitted.

        Errors in their preparation are ignored.
        """
        ahead, self._ahead = self._ahead, []
        return self._claims_of(ahead)

    def _claims_of(self, jobs: Sequence[_JobInPreparation]) -> list[Claim]:
        """Wait until jobs are prepared, and return their claims."""
        claims: list[Claim] = []
        for job in jobs:
            wait([job.prepared])
            claims.append(job.claim)
        return claims

    def _release(self, claims: Sequence[Claim]) -> None:
        if claims:
            self._log.info("jobs.given_back", count=self._ledger.give_back(claims))

    # -- startup

    def _loaded(
        self, pool: ThreadPoolExecutor, thread: ThreadPoolExecutor, stop: threading.Event
    ) -> tuple[Classifier, list[_JobInPreparation]]:
        """Load the model while preparing a first batch, and return both the model and the batch.

        If loading fails, the batch is released.
        """
        done, classifier = threading.Event(), None
        early = thread.submit(self._claim_early, pool, done)  # there is nothing to record yet
        try:
            classifier = self._load()
        finally:
            if classifier is None:
                stop.set()  # the program is ending, so do not wait for an unreachable database
            done.set()
            self._wake.set()
            if classifier is None:
                self._release_early(early)
        return classifier, early.result()

    def _claim_early(
        self, pool: ThreadPoolExecutor, done: threading.Event
    ) -> list[_JobInPreparation]:
        """Wait for jobs and claim a first batch.

        Once `done` is set, stop waiting and return an empty batch if there are no jobs.
        """
        while not (ahead := self._claim(pool)) and not done.is_set():
            self._wait_for_work()
        return ahead

    def _release_early(self, early: Future[list[_JobInPreparation]]) -> None:
        with suppress(LedgerError):  # other claims are released at the next startup
            self._release(self._claims_of(early.result()))
