"""The model's turn: batches in, and what is to be written of each capture out."""

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
from fundusd.worker.batching import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fundusd.clinical.grading import Rule
    from fundusd.domain.decoding import Decoded, Pixels
    from fundusd.domain.inference import Classifier, Logits
    from fundusd.ledger import Claim
    from fundusd.worker.canary import Proving


@dataclass(frozen=True, slots=True)
class Prepared:
    """A claimed job's bytes, read and decoded, and how long that took."""

    claim: Claim
    decoded: Decoded
    read_ms: float
    away: bool = False  # its inbox is: not read, and not to blame


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch after the model: what to write down, and what to read again or give up."""

    findings: Sequence[Finding]
    unusable: Sequence[tuple[Prepared, Reason]]
    read_ms: Mapping[int, float]  # by job


@dataclass(frozen=True, slots=True)
class _Flight:
    """A batch that the model has; `answer` waits for it, and is None where that could not be begun."""

    prepared: Sequence[Prepared]
    ready: Sequence[tuple[Prepared, Pixels]]
    answer: Callable[[], Logits] | None
    began: float


class Turn:
    """The model's turn: from decoded batches to what is known of each capture."""

    def __init__(
        self,
        classifier: Classifier,
        batch_size: int,
        beat: Callable[[], None],
        proving: Proving,
        referral: Rule,
    ) -> None:
        self._classifier = classifier
        self._referral = referral
        self._proving = proving
        self._beat = beat
        self._batch: Batch[Pixels, Logits] = Batch(
            self._forward, min(batch_size, classifier.forward_limit)
        )
        self._flying: deque[_Flight] = deque()
        self._landed = 0.0  # when the batch before was answered
        self._log = structlog.get_logger(service="worker")

    def claims(self) -> list[Claim]:
        """Return what the model was given and has not answered."""
        return [one.claim for flight in self._flying for one in flight.prepared]

    def launch(self, prepared: Sequence[Prepared]) -> None:
        """Give the model a decoded batch."""
        ready = [(one, one.decoded.pixels) for one in prepared if one.decoded.pixels is not None]
        began, answer = time.perf_counter(), None
        if self._classifier.overlaps and 0 < len(ready) <= self._batch.limit:
            # what fails here fails again at `land`, where a batch is taken apart
            with suppress(FundusdError, RuntimeError):
                answer = self._classifier.begin(np.stack([pixels for _, pixels in ready]))
        self._flying.append(_Flight(prepared, ready, answer, began))

    def land(self, keep: int) -> Iterator[Judged]:
        """Judge what was launched, oldest first; where the model can overlap, up to `keep` batches stay in the air.

        One bad capture spoils no other. Where all answers are none, the model is asked for what is known before any
        capture is blamed. Raises OutOfMemory for a single one, and ModelError.
        """
        while len(self._flying) > (keep if self._classifier.overlaps else 0):
            judged = self._judged(self._flying[0])
            self._proving.require_unchanged()  # before it is written down: the files may be mapped
            self._landed = time.perf_counter()
            yield judged
            self._flying.popleft()  # now that somebody else answers for its claims

    def _judged(self, flight: _Flight) -> Judged:
        answers = self._answers(flight)
        size = len(flight.ready)
        if answers and not any(_is_usable(answer) for answer in answers):
            self._proving.prove()
        model_ms = milliseconds_since(max(flight.began, self._landed)) / max(1, size)
        findings: list[Finding] = []
        unusable: list[tuple[Prepared, Reason]] = []
        for (one, _), answer in zip(flight.ready, answers, strict=True):
            if isinstance(answer, Exception) or not _is_usable(answer):
                error = answer if isinstance(answer, Exception) else None
                self._log.error(
                    "model.unusable_answer", digest=one.claim.digest[:12], exc_info=error
                )
                unusable.append((one, Reason.MODEL_ERROR))
            else:
                graded = grading.grade(answer.tolist(), self._referral)
                findings.append(Finding(one.claim, one.decoded, graded, model_ms, size))
        for one in flight.prepared:
            if one.decoded.reason is not None and one.decoded.reason.outcome is Outcome.FAILED:
                unusable.append((one, one.decoded.reason))
            elif one.decoded.reason is not None:
                findings.append(Finding(one.claim, one.decoded, None, None, size))
        return Judged(
            findings, unusable, {one.claim.job_id: one.read_ms for one in flight.prepared}
        )

    def _answers(self, flight: _Flight) -> list[Logits | Exception]:
        """Wait for the answers; where the batch failed as a whole, ask for its parts."""
        if flight.answer is not None:
            with suppress(OutOfMemory, RuntimeError):
                self._beat()
                return list(flight.answer())
        before = self._batch.limit
        answers = self._batch.run([pixels for _, pixels in flight.ready])
        if self._batch.limit < before:
            self._log.warning("model.batch_halved", limit=self._batch.limit)
        elif self._batch.limit > before:
            self._log.info("model.batch_restored", limit=self._batch.limit)
        return answers

    def _forward(self, pixels: Sequence[Pixels]) -> Sequence[Logits]:
        self._beat()
        return list(self._classifier.logits(np.stack(pixels)))


def _is_usable(answer: Logits | Exception) -> bool:
    return not isinstance(answer, Exception) and grading.is_usable(answer.tolist())


def milliseconds_since(began: float) -> float:
    """Return the milliseconds since `began`."""
    return (time.perf_counter() - began) * 1000
