"""Record the results of a batch in the ledger, and log one line for each capture."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from fundusd.clinical.camera_orientation import Orientation
from fundusd.domain import retry_policy
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Outcome, Reason
from fundusd.domain.errors import NotStorable
from fundusd.worker.preparation import milliseconds_since
from fundusd.worker.unknown_format_log import UnknownFormatLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future, ThreadPoolExecutor

    from fundusd.domain.decoding import Content
    from fundusd.ledger import Claim, Finding, Ledger, Recorded
    from fundusd.worker.inference import ClassifiedBatch
    from fundusd.worker.preparation import PreparedJob
    from fundusd.worker.rules import WorkerRules

_TURNED_HINT = (
    "Compare a photograph of today with its eye: either the camera's pictures are turned now, or"
    " its eyes are named wrongly. See docs/optic-disc.md."
)
# warnings of captures that may be of another eye or of another patient
_DOUBTS = {
    CaptureWarning.EYE_CONTRADICTED,
    CaptureWarning.PATIENT_CONFLICT,
    CaptureWarning.DIGEST_OF_TWO_PATIENTS,
}
_CLOCK_HINT = (
    "Correct the clock of the camera or the time zone of this machine;"
    " this warning is not repeated until fundusd restarts."
)


def _needs_somebody(capture: Recorded) -> bool:
    """Return whether whoever watches the log should look at a capture."""
    return capture.outcome == Outcome.FAILED or not _DOUBTS.isdisjoint(capture.warnings)


class ResultRecorder:
    """Records results, postponed jobs and failures."""

    def __init__(self, ledger: Ledger, rules: WorkerRules) -> None:
        self._ledger = ledger
        self._rules = rules
        self._warned: set[str] = set()  # cameras whose clock is wrong
        self._turned: dict[str, tuple[str, str]] = {}  # the turn that was logged, by camera
        self._log = structlog.get_logger(service="worker")
        self._unknown = UnknownFormatLog()

    def record(self, batch: ClassifiedBatch) -> None:
        """Record a batch: all results in one transaction, then each unusable job."""
        if batch.findings:
            self._record_findings(batch)
        for job, reason in batch.unusable:
            self._record_unusable(job, reason)
        self.log_counted()

    def log_counted(self, *, at_end: bool = False) -> None:
        """Log how many files of unknown format there were: once a minute, and at the end."""
        self._unknown.log_counted(at_end=at_end)

    def _record_findings(self, batch: ClassifiedBatch) -> None:
        began = time.perf_counter()
        try:
            recorded = self._ledger.record(batch.findings)
        except NotStorable as error:
            self._record_singly(batch, error)
            return
        record_ms = milliseconds_since(began)
        cameras: set[str] = set()
        for finding, captures in zip(batch.findings, recorded, strict=True):
            if captures is None:
                self._log.warning("job.lease_lost", digest=finding.claim.digest[:12])
                continue
            timings = {
                "read_ms": batch.read_ms[finding.claim.job_id],
                "decode_ms": finding.decoded.decode_ms,
                "model_ms": finding.model_ms,
                "record_ms": record_ms,
            }
            for capture in captures:
                self._log_capture(capture, finding.claim, timings, finding)
                cameras.add(capture.camera_id)
        self._warn_of_turned(cameras)

    def _record_singly(self, batch: ClassifiedBatch, error: NotStorable) -> None:
        """Record each of several findings, or let the job of a single one fail.

        The database cannot hold a value that was read from the file.
        """
        if len(batch.findings) > 1:
            for finding in batch.findings:
                self._record_findings(replace(batch, findings=[finding]))
            return
        claim = batch.findings[0].claim
        reason = Reason.DECODE_ERROR
        self._log.warning("capture.not_storable", digest=claim.digest[:12], error=error.message)
        for capture in self._ledger.fail(claim, reason, error.message) or ():
            self._log_capture(capture, claim, {"read_ms": batch.read_ms[claim.job_id]})

    def _log_capture(
        self,
        capture: Recorded,
        claim: Claim,
        timings: Mapping[str, float | None],
        finding: Finding | None = None,
    ) -> None:
        """Log the one line that describes a capture."""
        fields: dict[str, Any] = {}
        for name, field in capture.fields().items():
            if field is not None:
                fields[name] = field
        for name, milliseconds in timings.items():
            if milliseconds is not None:
                fields[name] = round(milliseconds, 1)
        fields["attempt"] = claim.attempts
        if finding is not None:
            fields["batch_size"] = finding.batch_size
        fields["model"] = self._rules.model
        fields["release_id"] = self._ledger.release_id
        if finding is not None and finding.grading:
            fields["scores"] = [round(score, 4) for score in finding.grading.scores]
        log = self._log.warning if _needs_somebody(capture) else self._log.info
        log(f"capture.{capture.outcome}", **fields)
        if CaptureWarning.CLOCK_SKEW in capture.warnings:
            self._warn_of_clock(capture)

    def _warn_of_clock(self, capture: Recorded) -> None:
        """Warn once for each camera that its clock is wrong."""
        if capture.camera_id in self._warned:
            return
        self._warned.add(capture.camera_id)
        self._log.warning(
            "camera.clock_skew",
            camera=capture.camera_id,
            capture_id=capture.capture_id,
            hint=_CLOCK_HINT,
        )

    def _warn_of_turned(self, cameras: set[str]) -> None:
        """Warn once of each turn of a camera's pictures, and of a camera whose pictures disagree.

        A camera without a usual orientation is expected to be normal.
        """
        for camera_id, learnt in self._ledger.orientations(cameras).items():
            former = learnt.former or Orientation.NORMAL
            orientation = "unclear" if learnt.is_unclear else learnt.orientation or former
            if orientation == former:
                self._turned.pop(camera_id, None)
            elif self._turned.get(camera_id) != (former, orientation):
                self._turned[camera_id] = (former, orientation)
                self._log.warning(
                    "camera.turned",
                    camera=camera_id,
                    former=former,
                    orientation=orientation,
                    hint=_TURNED_HINT,
                )

    def _record_unusable(self, job: PreparedJob, reason: Reason) -> None:
        """Postpone a job that has no usable result.

        After its last attempt, the job fails instead. If its inbox is offline, the job is released.
        """
        claim, digest = job.claim, job.claim.digest[:12]
        if job.inbox_is_offline:
            count = self._ledger.give_back([claim], self._rules.offline_retry_seconds)
            self._log.info("jobs.given_back", count=count, reason=reason)
            return
        pause = None
        if reason is not Reason.UNKNOWN_FORMAT:  # only other bytes can help
            pause = retry_policy.wait_seconds(claim.attempts, self._rules.retry_seconds)
        error = f"{reason.value} at attempt {claim.attempts}"
        content = job.decoded.content
        try:
            self._end_attempt(job, reason, error, pause, content)
        except NotStorable as refused:
            self._log.warning("capture.not_storable", digest=digest, error=refused.message)
            self._end_attempt(job, reason, error, pause, None)

    def _end_attempt(
        self,
        job: PreparedJob,
        reason: Reason,
        error: str,
        pause: float | None,
        content: Content | None,
    ) -> None:
        """Postpone a job for `pause` seconds or, if `pause` is None, let it fail."""
        claim = job.claim
        if pause is None:
            timings = {"read_ms": job.read_ms, "decode_ms": job.decoded.decode_ms}
            for capture in self._ledger.fail(claim, reason, error, content) or ():
                if reason is not Reason.UNKNOWN_FORMAT or self._unknown.is_to_be_logged():
                    self._log_capture(capture, claim, timings)
        elif self._ledger.postpone(claim, reason, error, pause, content):
            self._log.warning(
                "capture.postponed",
                digest=claim.digest[:12],
                reason=reason,
                wait_seconds=pause,
                attempt=claim.attempts,
            )


class RecordingQueue:
    """Records batches one after another, outside the thread that calls the model."""

    def __init__(
        self, thread: ThreadPoolExecutor, record: Callable[[ClassifiedBatch], None]
    ) -> None:
        self._thread = thread
        self._record = record
        self._last: tuple[ClassifiedBatch, Future[None]] | None = None

    def start(self, batches: Iterable[ClassifiedBatch]) -> None:
        """Start recording each batch once the previous one has been recorded.

        Raises LedgerError if the previous batch could not be recorded.
        """
        for batch in batches:
            self.finish()
            self._last = batch, self._thread.submit(self._record, batch)

    def finish(self) -> None:
        """Wait until everything is recorded.

        Raises LedgerError if the last batch could not be recorded.
        """
        if self._last is not None:
            self._last[1].result()
            self._last = None

    def unrecorded_claims(self) -> list[Claim]:
        """Return the claims of the last batch if that batch could not be recorded."""
        if self._last is None or self._last[1].exception() is None:
            return []
        batch = self._last[0]
        claims = [finding.claim for finding in batch.findings]
        return claims + [job.claim for job, _ in batch.unusable]
