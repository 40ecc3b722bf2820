"""Record in the ledger and in the log how many log lines were dropped."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from fundusd.app.log_sink import LogSink
    from fundusd.ledger import Ledger

_CHECK_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 5.0
_LAST_PAUSE_SECONDS = 3600.0  # a log that stays broken adds an audit event per hour


class LogLossRecorder:
    """The service that records dropped log lines, at growing intervals while more are dropped.

    When the log is written again, it records the final number and logs it.
    """

    name = "log"

    def __init__(
        self, sink: LogSink, ledger: Ledger, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._sink, self._ledger, self._now = sink, ledger, monotonic
        self._recorded = 0
        self._record_at = 0.0
        self._pause = _FIRST_PAUSE_SECONDS
        self._logged = 0
        self._log = structlog.get_logger(service=self.name)

    def run(self, stop: threading.Event) -> None:
        """Record losses until `stop` is set. Raises LedgerError if the database cannot be used."""
        while not stop.wait(_CHECK_SECONDS):
            self.check()

    def check(self) -> None:
        """Record the lines that were dropped since the last record, if that is due."""
        lost, is_losing = self._sink.lost, self._sink.is_losing
        if lost is None:
            return
        if lost.number > self._recorded and (self._now() >= self._record_at or not is_losing):
            self._ledger.log_lost(lost.number, lost.since)
            self._recorded = lost.number
            self._record_at = self._now() + self._pause
            self._pause = min(2 * self._pause, _LAST_PAUSE_SECONDS)
        if lost.number > self._logged and not is_losing:
            self._logged = lost.number
            self._pause, self._record_at = _FIRST_PAUSE_SECONDS, 0.0
            seconds = (datetime.now(UTC) - lost.since).total_seconds()
            self._log.warning("log.lost", count=lost.number, seconds=round(seconds))
