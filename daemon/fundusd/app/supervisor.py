"""Run the services in threads, handle signals, and stop all services when one ends."""

from __future__ import annotations

import os
import signal
import threading
import time
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
_TRIM_SECONDS = 60.0


class Supervisor:
    """Runs services in threads.

    Call `run` in the main thread, which receives the signals. On SIGTERM or SIGINT, the supervisor
    asks all services to stop. On a second such signal, it exits at once with status 130. On SIGHUP,
    it calls `reload`. Once `ready` is set, it sends READY to systemd. `stopping` is set once all
    services must end.
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
        self._is_ready_sent = False
        self._trim_at = time.monotonic() + _TRIM_SECONDS
        self.stopping = threading.Event()
        self._stop_signal: signal.Signals | None = None
        self._reload_wanted = False
        self._log = structlog.get_logger(service="supervisor")

    def run(self) -> None:
        """Run until a signal arrives or a service ends.

        Raises the error of the service that failed, or FundusdError if a service ended without an
        error and without a signal.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        with ThreadPoolExecutor(len(self._services), thread_name_prefix="service") as pool:
            running = {
                pool.submit(service.run, self.stopping): service for service in self._services
            }
            pending = set(running)
            while len(pending) == len(running) and not self.stopping.is_set():
                pause = self._heartbeat.interval if self._is_ready_sent else _START_POLL_SECONDS
                pending = wait(pending, timeout=pause, return_when=FIRST_COMPLETED).not_done
                self._heartbeat.tick()
                self._send_ready_once()
                self._reload_if_wanted()
                self._trim_memory()
            self.stopping.set()
            self._log.info(
                "service.stopping", signal=self._stop_signal.name if self._stop_signal else None
            )
            self._heartbeat.notifier.tell(STOPPING=1, STATUS="finishing the current batch")
            while pending:
                pending = wait(pending, timeout=self._heartbeat.interval).not_done
                self._heartbeat.tick()
        self._raise_the_cause([future.exception() for future in running])
        if self._stop_signal is None:
            raise FundusdError(
                "A service ended by itself.",
                hint="This is a defect of fundusd. Report it with the log.",
            )

    def _raise_the_cause(self, errors: Sequence[BaseException | None]) -> None:
        """Raise the error that ended a service, preferring any other error to LedgerAway.

        A service that is waiting for the database when a signal stops the daemon ends with
        LedgerAway, which is then only logged.
        """
        away: LedgerAway | None = None
        for error in errors:
            if isinstance(error, LedgerAway):
                away = away or error
            elif error is not None:
                raise error
        if away is None:
            return
        if self._stop_signal is None:
            raise away
        # at its next start, the daemon reclaims the jobs that were in progress
        self._log.warning("ledger.away", error=away.message, hint=away.hint)

    def _trim_memory(self) -> None:
        if time.monotonic() >= self._trim_at:
            self._trim_at = time.monotonic() + _TRIM_SECONDS
            malloc.trim()

    def _send_ready_once(self) -> None:
        if self._ready.is_set() and not self._is_ready_sent:
            self._is_ready_sent = True
            self._heartbeat.notifier.tell(READY=1, STATUS="watching")
            self._log.info("service.ready")

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        if self._stop_signal is not None:
            os._exit(ExitStatus.INTERRUPTED)  # nothing is lost: the leases of the jobs expire
        self._stop_signal = signal.Signals(number)
        self.stopping.set()

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reload_wanted = True

    def _reload_if_wanted(self) -> None:
        if self._reload_wanted:
            self._reload_wanted = False
            self._reload()


class Service(Protocol):
    """A service that the supervisor runs in a separate thread."""

    name: str

    def run(self, stop: threading.Event) -> None:
        """Do the work of the service until `stop` is set.

        If this function returns or raises earlier, the daemon ends.
        """
        ...
