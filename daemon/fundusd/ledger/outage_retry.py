"""Retry a transaction during an outage of the database: a restart, a full disk or a lock.

Every transaction of the ledger may be repeated. If a COMMIT succeeds although it raises an error,
the retry recognises this and stores nothing twice. If that transaction admitted a file, however,
the log may report that the file was touched rather than admitted.
"""

from __future__ import annotations

import time
from itertools import chain, repeat
from typing import TYPE_CHECKING, TypeVar

from fundusd.domain.errors import LedgerAway

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

Answer = TypeVar("Answer")

_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds; the last one is repeated
_BEAT_SECONDS = 0.5


class OutageRetry:
    """Retries a transaction until the database answers or `stop` is set.

    While waiting, `beat` is called so that the watchdog sees a live process. Before each retry,
    `regain` is called to acquire the lock on the database again if the outage ended its session.
    `tell` is called with each new error, and with None when the thread waits no longer.
    """

    def __init__(
        self,
        stop: threading.Event,
        beat: Callable[[], None],
        regain: Callable[[], None],
        tell: Callable[[LedgerAway | None], None],
    ) -> None:
        self._stop, self._beat, self._regain, self._tell = stop, beat, regain, tell

    def call(self, work: Callable[[], Answer]) -> Answer:
        """Call `work`, repeatedly during an outage, and return its result.

        Raises LedgerAway if `stop` is set during the outage. Raises LedgerError at once if an error
        is not due to an outage.
        """
        try:
            return work()
        except LedgerAway as error:
            last_error = error
        self._tell(last_error)
        try:
            return self._call_again(work, last_error)
        finally:
            self._tell(None)

    def _call_again(self, work: Callable[[], Answer], last_error: LedgerAway) -> Answer:
        import structlog  # only a daemon retries, and it has structlog loaded

        log, began = structlog.get_logger(service="ledger"), time.monotonic()
        log.warning("ledger.away", error=last_error.message, hint=last_error.hint)
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            self._pause(pause, last_error)
            try:
                self._regain()
                answer = work()
            except LedgerAway as error:
                if error.message != last_error.message:
                    log.warning("ledger.away", error=error.message, hint=error.hint)
                    self._tell(error)
                last_error = error
            else:
                log.info("ledger.back", seconds=round(time.monotonic() - began, 1))
                return answer
        raise last_error  # unreachable: the pauses are endless

    def _pause(self, seconds: float, last_error: LedgerAway) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._beat()
            if self._stop.wait(min(left, _BEAT_SECONDS)):
                raise last_error
