"""Run services in threads: if one ends, all end; signals; the heartbeat."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Protocol

import structlog

from fundusd.app import malloc
from fundusd.domain.errors import ExitStatus, FundusdError, LedgerAway

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from fundusd.app.systemd import Heartbeat


_START_POLL_SECONDS = 0.05
_TIDY_SECONDS = 60.0


class Supervisor:
    """Own the services' threads; call `run` in the main thread, which takes the signals.

    READY is told once `ready` is set. SIGTERM or SIGINT stops in order, a second one at once (exit status 130);
    SIGHUP calls `reload`. `stopping` is set once all are to end.
    """

    def __init__(
        self,
        services: Sequence[Service],
        heartbeat: Heartbeat,
        reload: Callable[[], None],
        ready: threading.Event,
    ) -> None:
        self._services = services
        self._heartbeat = heartbeat
        self._reload = reload
        self._ready = ready
        self._told_ready = False
        self._tidy_at = time.monotonic() + _TIDY_SECONDS
        self.stopping = threading.Event()
        self._asked: signal.Signals | None = None
        self._reload_wanted = False
        self._log = structlog.get_logger(service="supervisor")

    def run(self) -> None:
        """Run until a signal or until a service ends; raises what ended it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        with ThreadPoolExecutor(len(self._services), thread_name_prefix="service") as pool:
            running = {
                pool.submit(service.run, self.stopping): service for service in self._services
            }
            pending = set(running)
            while len(pending) == len(running) and not self.stopping.is_set():
                pause = self._heartbeat.interval if self._told_ready else _START_POLL_SECONDS
                pending = wait(pending, timeout=pause, return_when=FIRST_COMPLETED).not_done
                self._heartbeat.tick()
                self._tell_ready_once()
                self._reload_if_wanted()
                self._tidy_up()
            self.stopping.set()
            self._log.info("service.stopping", signal=self._asked.name if self._asked else None)
            self._heartbeat.notifier.tell(STOPPING=1, STATUS="finishing the batch in hand")
            while pending:
                pending = wait(pending, timeout=self._heartbeat.interval).not_done
                self._heartbeat.tick()
        self._raise_the_cause([future.exception() for future in running])
        if self._asked is None:
            raise FundusdError(
                "A service ended by itself.",
                hint="This is a defect of fundusd: report it with its log.",
            )

    def _raise_the_cause(self, errors: Sequence[BaseException | None]) -> None:
        """Raise what a service ended with; that one waited for the database meanwhile is not the cause."""
        causes = [
            error for error in errors if error is not None and not isinstance(error, LedgerAway)
        ]
        away = [error for error in errors if isinstance(error, LedgerAway)]
        if causes:
            raise causes[0]
        if away and self._asked is None:
            raise away[0]
        if away:  # what was in hand is taken back at the next start
            self._log.warning("ledger.away", error=away[0].message, hint=away[0].hint)

    def _tidy_up(self) -> None:
        if time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + _TIDY_SECONDS
            malloc.give_back()

    def _tell_ready_once(self) -> None:
        if self._ready.is_set() and not self._told_ready:
            self._told_ready = True
            self._heartbeat.notifier.tell(READY=1, STATUS="watching")
            self._log.info("service.ready")

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        if self._asked is not None:
            os._exit(ExitStatus.INTERRUPTED)  # asked twice: the leases make it harmless
        self._asked = signal.Signals(number)
        self.stopping.set()

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reload_wanted = True

    def _reload_if_wanted(self) -> None:
        if self._reload_wanted:
            self._reload_wanted = False
            self._reload()


class Service(Protocol):
    """A supervised thread."""

    name: str

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; returning or raising earlier ends the daemon."""
        ...
