"""See that a running service's model is still what it was: its files, and its answers to known phantoms."""

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


class Proving:
    """Look after the model between batches; everything raises ModelError, after which nothing is to be graded."""

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
        self._last = now()  # it has just passed its gate
        self._log = structlog.get_logger(service="worker")

    def is_due(self, *, idle: bool) -> bool:
        """Tell whether `prove` is to be called now, when nothing is under way."""
        return canary_schedule.is_due(self._now(), self._last, idle=idle)

    def require_unchanged(self) -> None:
        """See that the model's files hold what they held."""
        if touched := self._classifier.require_unchanged(self._beat):
            self._log.debug("model.touched", keys=touched)

    def prove(self, stop: threading.Event | None = None) -> None:
        """Show it the known phantoms, one after another until `stop`, and write down what came of it."""
        self.require_unchanged()  # which says better what is wrong
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
