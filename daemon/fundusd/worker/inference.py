"""Classify prepared jobs in batches, two batches at once if the model supports this."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import structlog

from fundusd.clinical import grading
from fundusd.domain.clinical_terms import Outcome, Reason
from fundusd.domain.errors import FundusdError, OutOfMemory
from fundusd.ledger import Finding
from fundusd.worker.batching import AdaptiveBatch
from fundusd.worker.preparation import milliseconds_since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fundusd.clinical.grading import Rule
    from fundusd.domain.decoding import Pixels
    from fundusd.domain.inference import Classifier, Logits
    from fundusd.ledger import Claim
    from fundusd.worker.canary import ModelCanary
    from fundusd.worker.preparation import PreparedJob


@dataclass(frozen=True, slots=True)
class ClassifiedBatch:
    """The result of a batch: the findings to record, and the jobs to retry or fail."""

    findings: Sequence[Finding]
    unusable: Sequence[tuple[PreparedJob, Reason]]
    read_ms: Mapping[int, float]  # by job


@dataclass(frozen=True, slots=True)
class _BatchInFlight:
    """A submitted batch.

    `answer` is a function that waits for the logits, or None if inference has not begun.
    """

    jobs: Sequence[PreparedJob]
    ready: Sequence[PreparedJob]  # those with pixels
    pixels: Sequence[Pixels]  # of the ready jobs
    answer: Callable[[], Logits] | None
    began: float


class Inference:
    """Classifies batches of prepared jobs in the order in which they are submitted."""

    def __init__(
        self,
        classifier: Classifier,
        batch_size: int,
        beat: Callable[[], None],
        canary: ModelCanary,
        referral: Rule,
    ) -> None:
        self._classifier = classifier
        self._referral = referral
        self._canary = canary
        self._beat = beat
        limit = min(batch_size, classifier.forward_limit)
        self._batch: AdaptiveBatch[Pixels, Logits] = AdaptiveBatch(self._forward, limit)
        self._in_flight: deque[_BatchInFlight] = deque()
        self._last_answer_at = 0.0
        self._log = structlog.get_logger(service="worker")

    def claims(self) -> list[Claim]:
        """Return the claims of the batches in flight."""
        claims: list[Claim] = []
        for batch in self._in_flight:
            claims += [job.claim for job in batch.jobs]
        return claims

    def submit(self, jobs: Sequence[PreparedJob]) -> None:
        """Start classifying a batch of decoded jobs."""
        ready: list[PreparedJob] = []
        pixels: list[Pixels] = []
        for job in jobs:
            if job.decoded.pixels is not None:
                ready.append(job)
                pixels.append(job.decoded.pixels)
        began, answer = time.perf_counter(), None
        if self._classifier.overlaps and 0 < len(ready) <= self._batch.limit:
            # what fails here fails again in `collect`, which splits the batch
            with suppress(FundusdError, RuntimeError):
                answer = self._classifier.begin(np.stack(pixels))
        self._in_flight.append(_BatchInFlight(jobs, ready, pixels, answer, began))

    def collect(self, keep: int) -> Iterator[ClassifiedBatch]:
        """Yield finished batches, the oldest first.

        Up to `keep` batches are left in flight if the model allows batches to overlap. A bad
        capture fails alone. If a batch has no usable answer, the model itself is verified before
        any capture fails. Raises ModelError if the model must no longer be used, and OutOfMemory if
        a single capture does not fit.
        """
        if not self._classifier.overlaps:
            keep = 0
        while len(self._in_flight) > keep:
            batch = self._classify(self._in_flight[0])
            # checked before the results are recorded, as the files may be mapped into memory
            self._canary.require_unchanged()
            self._last_answer_at = time.perf_counter()
            yield batch
            self._in_flight.popleft()  # the caller is responsible for the batch from now on

    def _classify(self, batch: _BatchInFlight) -> ClassifiedBatch:
        answers = self._answers(batch)
        if answers and not any(_is_usable(answer) for answer in answers):
            self._canary.run()
        size = len(batch.ready)
        model_ms = milliseconds_since(max(batch.began, self._last_answer_at)) / max(1, size)
        findings: list[Finding] = []
        unusable: list[tuple[PreparedJob, Reason]] = []
        for job, answer in zip(batch.ready, answers, strict=True):
            if isinstance(answer, Exception) or not _is_usable(answer):
                self._log_unusable(job, answer)
                unusable.append((job, Reason.MODEL_ERROR))
            else:
                graded = grading.grade(answer.tolist(), self._referral)
                findings.append(Finding(job.claim, job.decoded, graded, model_ms, size))
        for job in batch.jobs:
            reason = job.decoded.reason
            if reason is not None and reason.outcome is Outcome.FAILED:
                unusable.append((job, reason))
            elif reason is not None:
                findings.append(Finding(job.claim, job.decoded, None, None, size))
        read_ms = {job.claim.job_id: job.read_ms for job in batch.jobs}
        return ClassifiedBatch(findings, unusable, read_ms)

    def _log_unusable(self, job: PreparedJob, answer: Logits | Exception) -> None:
        error = answer if isinstance(answer, Exception) else None
        self._log.error("model.unusable_answer", digest=job.claim.digest[:12], exc_info=error)

    def _answers(self, batch: _BatchInFlight) -> list[Logits | Exception]:
        """Wait for a batch, and return the logits or the error for each capture.

        If the batch fails as a whole, it is run again in parts.
        """
        if batch.answer is not None:
            with suppress(OutOfMemory, RuntimeError):
                self._beat()
                return list(batch.answer())
        limit = self._batch.limit
        answers = self._batch.run(batch.pixels)
        if self._batch.limit < limit:
            self._log.warning("model.batch_halved", limit=self._batch.limit)
        elif self._batch.limit > limit:
            self._log.info("model.batch_restored", limit=self._batch.limit)
        return answers

    def _forward(self, pixels: Sequence[Pixels]) -> Sequence[Logits]:
        self._beat()
        return list(self._classifier.logits(np.stack(pixels)))


def _is_usable(answer: Logits | Exception) -> bool:
    return not isinstance(answer, Exception) and grading.is_usable(answer.tolist())
