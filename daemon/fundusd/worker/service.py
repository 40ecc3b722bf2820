"""Claim, decode, classify, record: one batch at a time, the next one decoding meanwhile."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from fundusd.clinical.grading import DEFAULT_RULE
from fundusd.clinical.quality_thresholds import DEFAULTS, Thresholds
from fundusd.domain import retry_policy
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import FILE_REASONS, Reason
from fundusd.domain.decoding import Decoded
from fundusd.domain.errors import CaptureError, FundusdError, LedgerError
from fundusd.files.filesystem import can_be_listed
from fundusd.files.safe_read import read_capture
from fundusd.worker.canary import Proving
from fundusd.worker.inference import Judged, Prepared, Turn, milliseconds_since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from fundusd.clinical.grading import Rule
    from fundusd.domain.inference import Classifier
    from fundusd.ledger import Claim, Ledger, Recorded

_AWAY_SECONDS = 10.0  # until a capture is looked for again whose inbox is away
_IDLE_SECONDS = (
    1.0  # how often to look for jobs whose pause is over; new captures wake the worker at once
)


def _local_time() -> datetime:
    return datetime.now().astimezone()


class Decoder(Protocol):
    """What the worker needs of the decoder pool."""

    def decode(self, data: bytes, thresholds: Thresholds) -> Decoded:
        """Decode hostile bytes in another process; never raises for what is in them."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerRules:
    """The settings that concern the worker."""

    batch_size: int
    retry_seconds: tuple[float, ...]
    max_bytes: int
    decoders: int  # captures decoded at the same time
    model: str  # as results and the log call it
    now: Callable[[], datetime] = _local_time
    referral: Rule = DEFAULT_RULE
    thresholds: Mapping[str, Thresholds] = field(
        default_factory=dict
    )  # by camera: what a gradable capture has


class _Begun(NamedTuple):
    """A claim, and what is becoming of it."""

    claim: Claim
    prepared: Future[Prepared]


class Worker:
    """The service that owns the model; nothing else touches torch."""

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
        self._decoder = decoder
        self._roots = roots
        self._rules = rules
        self._wake = threading.Event()
        self._beat = beat
        self._skewed: set[str] = set()  # cameras whose clock was told to be off
        self._ahead: list[_Begun] = []  # claimed, and not with the model yet
        self._log = structlog.get_logger(service=self.name)

    def wake(self) -> None:
        """Look for work now; any thread may call this."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; then give back what was claimed and not classified."""
        with (
            ThreadPoolExecutor(self._rules.decoders, thread_name_prefix="prepare") as pool,
            ThreadPoolExecutor(1, thread_name_prefix="record") as thread,
        ):
            classifier, self._ahead = self._loaded(pool, thread, stop)
            recorder = _Recorder(thread, self._record)
            proving = Proving(classifier, self._ledger, self._beat, self._rules.now)
            turn = Turn(
                classifier, self._rules.batch_size, self._beat, proving, self._rules.referral
            )
            try:
                self._serve(turn, proving, pool, recorder, stop)
            except FundusdError:  # the model is gone, or the ledger: that is no capture's fault
                stop.set()
                with suppress(LedgerError):
                    self._give_back([*recorder.claims(), *turn.claims(), *self._claims_ahead()])
                raise

    def _serve(
        self,
        turn: Turn,
        proving: Proving,
        pool: ThreadPoolExecutor,
        recorder: _Recorder,
        stop: threading.Event,
    ) -> None:
        """Work until `stop`: a batch decodes while the model has the one before, and that one's answers are written."""
        while not stop.is_set():
            self._beat()
            self._ahead = self._ahead or self._begin(pool)
            if not self._ahead:
                proving.require_unchanged()
                if proving.is_due(idle=True):
                    proving.prove(stop)
                self._wake.wait(_IDLE_SECONDS)
                self._wake.clear()
                continue
            prepared = self._finished(self._ahead)
            if stop.is_set():
                break
            alone = (
                prepared[0].claim.attempts > 1
            )  # it may have taken a process down, and is to take no other along
            if alone:
                recorder.take(turn.land(0))
                recorder.finish()
            turn.launch(prepared)
            self._ahead = []
            if alone:
                recorder.take(turn.land(0))
            self._ahead = self._begin(pool)
            overdue = proving.is_due(idle=False)
            # none is kept in the air while nothing follows
            recorder.take(turn.land(1 if self._ahead and not overdue else 0))
            if overdue:
                proving.prove(stop)
        self._give_back(self._claims_ahead())
        recorder.take(turn.land(0))
        recorder.finish()

    def _claims_ahead(self) -> list[Claim]:
        """Return what was claimed and not begun with; no trouble in decoding it matters any more."""
        ahead, self._ahead = self._ahead, []
        return self._claims_of(ahead)

    def _claims_of(self, begun: Sequence[_Begun]) -> list[Claim]:
        wait([one.prepared for one in begun])
        return [one.claim for one in begun]

    def _loaded(
        self, pool: ThreadPoolExecutor, recorder: ThreadPoolExecutor, stop: threading.Event
    ) -> tuple[Classifier, list[_Begun]]:
        """Load the model; what comes meanwhile is decoded, and given back if there is no model to see it."""
        done, classifier = threading.Event(), None
        early = recorder.submit(self._begin_early, pool, done)  # which has nothing to record yet
        try:
            classifier = self._load()
        finally:
            if classifier is None:
                stop.set()  # all will end, and nobody is to wait for a database that is away
            done.set()
            self._wake.set()
            if classifier is None:
                self._abandon(early)
        return classifier, early.result()

    def _abandon(self, early: Future[list[_Begun]]) -> None:
        with suppress(LedgerError):  # the next start takes back what cannot be given back now
            self._give_back(self._claims_of(early.result()))

    def _begin_early(self, pool: ThreadPoolExecutor, done: threading.Event) -> list[_Begun]:
        """Begin with the first batch there is, until `done`."""
        while not (ahead := self._begin(pool)) and not done.is_set():
            self._wake.wait(_IDLE_SECONDS)
            self._wake.clear()
        return ahead

    def _begin(self, pool: ThreadPoolExecutor) -> list[_Begun]:
        """Claim what waits, up to the batch size, and start to decode it."""
        claims = self._ledger.claim(self._rules.batch_size)
        return [_Begun(claim, pool.submit(self._prepare, claim)) for claim in claims]

    def _finished(self, begun: Sequence[_Begun]) -> list[Prepared]:
        """Wait for the decoders, which have a time limit each; raises FundusdError where none starts."""
        pending = {one.prepared for one in begun}
        while pending:
            pending = wait(pending, timeout=_IDLE_SECONDS).not_done
            self._beat()
        return [one.prepared.result() for one in begun]

    def _prepare(self, claim: Claim) -> Prepared:
        """Read, check and decode one job's bytes: the boundary at which trouble is one capture's alone."""
        began = time.perf_counter()
        try:
            data = self._read(claim)
            read_ms = milliseconds_since(began)
            decoded = self._decoder.decode(
                data, self._rules.thresholds.get(claim.camera_id, DEFAULTS)
            )
        except CaptureError as error:
            missed = Decoded(None, error.reason, None, 0.0)
            away = error.reason in FILE_REASONS and self._is_away(claim)
            return Prepared(claim, missed, milliseconds_since(began), away=away)
        except FundusdError:  # no decoder starts, or the ledger is away: that is no capture's fault
            raise
        except Exception as error:  # noqa: BLE001  the top of the command line
            self._log.error("capture.broke", digest=claim.digest[:12], exc_info=error)
            return Prepared(
                claim, Decoded(None, Reason.DECODE_ERROR, None, 0.0), milliseconds_since(began)
            )
        return Prepared(claim, decoded, read_ms)

    def _read(self, claim: Claim) -> bytes:
        """Return the bytes that were hashed at admission, from any place they lie at; raises CaptureError."""
        problem = Reason.FILE_MISSING
        for place in claim.places:
            if place.camera_id not in self._roots:
                continue  # its camera was taken out of the settings
            try:
                data = read_capture(self._roots[place.camera_id], place.path, self._rules.max_bytes)
            except CaptureError as error:
                problem = error.reason
                continue
            if hashlib.sha256(data).hexdigest() == claim.digest:
                return data
            problem = Reason.FILE_CHANGED
        raise CaptureError(problem)

    def _is_away(self, claim: Claim) -> bool:
        """Tell whether an inbox is away that a job's bytes lie in: then nobody knows whether they are gone."""
        cameras = {place.camera_id for place in claim.places} & self._roots.keys()
        return any(
            not can_be_listed(self._roots[one]) or self._ledger.is_away(one) for one in cameras
        )

    def _record(self, judged: Judged) -> None:
        """Write a batch down: results in one transaction, then what was no use."""
        if judged.findings:
            self._record_findings(judged)
        for one, reason in judged.unusable:
            self._fail(one, reason)

    def _record_findings(self, judged: Judged) -> None:
        began = time.perf_counter()
        recorded = self._ledger.record(judged.findings)
        record_ms = milliseconds_since(began)
        for finding, captures in zip(judged.findings, recorded, strict=True):
            if captures is None:
                self._log.warning("job.lease_lost", digest=finding.claim.digest[:12])
                continue
            timings = {
                "read_ms": judged.read_ms[finding.claim.job_id],
                "decode_ms": finding.decoded.decode_ms,
                "model_ms": finding.model_ms,
                "record_ms": record_ms,
            }
            scores = finding.grading.scores if finding.grading else None
            for capture in captures:
                self._tell(capture, finding.claim, timings, scores, finding.batch_size)

    def _tell(
        self,
        capture: Recorded,
        claim: Claim,
        timings: Mapping[str, float | None],
        scores: tuple[float, ...] | None = None,
        batch_size: int | None = None,
    ) -> None:
        """Write the one canonical line of a capture."""
        rounded = {name: round(value, 1) for name, value in timings.items() if value is not None}
        fields = capture.fields() | rounded | {"attempt": claim.attempts, "batch_size": batch_size}
        fields["model"] = self._rules.model
        fields["release_id"] = self._ledger.release_id
        if scores is not None:
            fields["scores"] = [round(score, 4) for score in scores]
        self._log.info(
            f"capture.{capture.outcome}",
            **{name: value for name, value in fields.items() if value is not None},
        )
        if CaptureWarning.CLOCK_SKEW in capture.warnings and capture.camera_id not in self._skewed:
            self._skewed.add(capture.camera_id)
            hint = "Set the clock of the camera, and the time zone of this machine; this is told once until a restart."
            self._log.warning(
                "camera.clock_skew",
                camera=capture.camera_id,
                capture_id=capture.capture_id,
                hint=hint,
            )

    def _fail(self, one: Prepared, reason: Reason) -> None:
        """Read it again later, or give it up when the pauses are used up; wait for an inbox that is away."""
        if one.away:
            self._log.info(
                "jobs.given_back",
                count=self._ledger.give_back([one.claim], _AWAY_SECONDS),
                reason=reason,
            )
            return
        pause = retry_policy.wait_seconds(one.claim.attempts, self._rules.retry_seconds)
        error = f"{reason.value} at attempt {one.claim.attempts}"
        digest = one.claim.digest[:12]
        if pause is not None:
            if self._ledger.postpone(one.claim, reason, error, pause):
                self._log.warning(
                    "capture.postponed",
                    digest=digest,
                    reason=reason,
                    wait_seconds=pause,
                    attempt=one.claim.attempts,
                )
            return
        for capture in self._ledger.fail(one.claim, reason, error) or ():
            self._tell(
                capture, one.claim, {"read_ms": one.read_ms, "decode_ms": one.decoded.decode_ms}
            )

    def _give_back(self, claims: Sequence[Claim]) -> None:
        if claims:
            self._log.info("jobs.given_back", count=self._ledger.give_back(claims))


class _Recorder:
    """Write batches down one after another, in another thread than the model's."""

    def __init__(self, thread: ThreadPoolExecutor, record: Callable[[Judged], None]) -> None:
        self._thread = thread
        self._record = record
        self._last: tuple[Judged, Future[None]] | None = None

    def take(self, batches: Iterable[Judged]) -> None:
        """Begin to write each, once the one before it is written; raises what that one did."""
        for judged in batches:
            self.finish()
            self._last = judged, self._thread.submit(self._record, judged)

    def finish(self) -> None:
        """Wait until all is written; raises LedgerError."""
        if self._last is not None:
            self._last[1].result()
            self._last = None

    def claims(self) -> list[Claim]:
        """Return what could not be written."""
        if self._last is None or self._last[1].exception() is None:
            return []
        judged = self._last[0]
        return [*(one.claim for one in judged.findings), *(one.claim for one, _ in judged.unusable)]
