"""Outlast a database that is away: a restart, a full disk, a lock. What was under way is done when it is back.

Every transaction of the ledger may be repeated: a COMMIT that raised although it happened is found done the next time.
Its effect is there once; only the log may call such an admission a touch.
"""

from __future__ import annotations

import functools
import time
from itertools import chain, repeat
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from fundusd.domain.errors import LedgerAway

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from fundusd.ledger.ledger import Ledger

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds; the last one again and again
_BEAT_SECONDS = 0.5


class Patience:
    """Try again until the database answers or `stop` is set; `beat` shows meanwhile that nobody hangs."""

    def __init__(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        self._stop, self._beat = stop, beat

    def outlast(self, ledger: Ledger, work: Callable[[], Answer]) -> Answer:
        """Return what `work` returns; raises LedgerAway at a stop, LedgerError where waiting cannot help."""
        try:
            return work()
        except LedgerAway as error:
            said = error
        import structlog  # only a daemon waits, and has it

        log, began = structlog.get_logger(service="ledger"), time.monotonic()
        log.warning("ledger.away", error=said.message, hint=said.hint)
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            self._pause(pause, said)
            try:
                ledger.hold_again()
                answer = work()
            except LedgerAway as error:
                if error.message != said.message:
                    log.warning("ledger.away", error=error.message, hint=error.hint)
                said = error
            else:
                log.info("ledger.back", seconds=round(time.monotonic() - began, 1))
                return answer
        raise said  # never: the pauses have no end

    def _pause(self, seconds: float, said: LedgerAway) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._beat()
            if self._stop.wait(min(left, _BEAT_SECONDS)):
                raise said


def patient(
    method: Callable[Concatenate[Ledger, Given], Answer],
) -> Callable[Concatenate[Ledger, Given], Answer]:
    """Have a method of the ledger outlast an outage where a daemon has asked for that."""

    def outlasting(self: Ledger, /, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        work: Callable[[], Answer] = functools.partial(method, self, *args, **kwargs)
        return work() if self.patience is None else self.patience.outlast(self, work)

    return functools.update_wrapper(outlasting, method)
