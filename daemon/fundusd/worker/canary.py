"""Verify that the files of a running model and its answers to known phantoms are unchanged."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from fundusd.domain.errors import LedgerError, ModelRefused
from fundusd.worker import canary_schedule

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from datetime import datetime

    from fundusd.domain.inference import Classifier, SelfTestResult
    from fundusd.ledger import Ledger


class ModelCanary:
    """Verifies the model between batches.

    `require_unchanged` and `run` raise ModelError if the model must no longer be used.
    """

    def __init__(
        self,
        classifier: Classifier,
        ledger: Ledger,
        beat: Callable[[], None],
        now: Callable[[], datetime],
    ) -> None:
        self._classifier = classifier
        self._ledger = ledger
        self._beat = beat
        self._now = now
        self._last = now()  # a model that was just loaded has passed its self-test
        self._log = structlog.get_logger(service="worker")

    def is_due(self, *, idle: bool) -> bool:
        """Return whether `run` should be called now."""
        return canary_schedule.is_due(self._now(), self._last, idle=idle)

    def require_unchanged(self) -> None:
        """Verify that the model's files have not changed since they were loaded."""
        if touched := self._classifier.require_unchanged(self._beat):
            self._log.debug("model.touched", keys=touched)

    def run(self, stop: threading.Event | None = None) -> None:
        """Classify the known phantoms and record the result.

        Return early, without a result, once `stop` is set.
        """
        self.require_unchanged()  # comes first because its error is more precise
        began = time.perf_counter()
        results: list[SelfTestResult] = []
        try:
            for result in self._classifier.run_self_test():
                results.append(result)
                self._beat()
                if stop is not None and stop.is_set():
                    return
        except ModelRefused as error:
            self._log.error("model.canary", error=error.message, hint=error.hint)
            with suppress(LedgerError):
                self._ledger.model_refused(error.message)
            raise
        self._last = self._now()
        lowest, seconds = min(results), round(time.perf_counter() - began, 2)
        self._log.info(
            "model.canary", cosine=lowest.cosine, tolerance=lowest.tolerance, seconds=seconds
        )
        self._ledger.model_verified(lowest)
