"""Notice within seconds that the database was moved, removed, replaced or restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from fundusd.domain.errors import LedgerAbsent, LedgerReplaced

if TYPE_CHECKING:
    import threading

    from fundusd.ledger import Ledger

_PAUSE_SECONDS = 5.0


class DatabaseWatch:
    """The service that looks every few seconds whether the database is still the same.

    Every write looks, too; while nothing is written, this service is the only one that does.
    """

    name = "database"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set; raises LedgerReplaced if the database is another one."""
        while not stop.wait(_PAUSE_SECONDS):
            self._ledger.require_same()


def require_same(ledger: Ledger) -> None:
    """Raise LedgerReplaced, and log it, if that is why the work on a database has failed."""
    ledger.outage_retry = None  # the service is ending
    replaced: LedgerReplaced | None = None
    try:
        ledger.require_same()
    except LedgerReplaced as error:
        replaced = error
    except LedgerAbsent as error:
        replaced = LedgerReplaced(error.message, hint=ledger.database.restore_hint)
    if replaced is not None:
        hint = f"{_set_log_aside(ledger)}{replaced.hint}"
        log = structlog.get_logger(service=DatabaseWatch.name)
        log.error("ledger.replaced", error=replaced.message, hint=hint)
        raise LedgerReplaced(replaced.message, hint=hint)


def _set_log_aside(ledger: Ledger) -> str:
    """Keep the old log from the file in its place; return a sentence on it, or ""."""
    try:
        kept = ledger.database.set_log_aside()
    except OSError as error:
        return f"The -wal file of the old database could not be moved away ({error.strerror}). "
    return "" if kept is None else f"What the file in its place lacks is kept in {kept}. "
