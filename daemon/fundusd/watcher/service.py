"""The watcher service: one thread that finds captures in all inboxes and admits them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from fundusd.watcher.inbox import TICK_SECONDS, InboxWatch
from fundusd.watcher.observer import ObserverFailures
from fundusd.watcher.rules import Callbacks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fundusd.domain.files import Inbox
    from fundusd.ledger import Ledger
    from fundusd.watcher.rules import IntakeRules


class Watcher:
    """Finds settled captures and admits them.

    `admitted` is called whenever there is new work for the worker, and `beat` whenever the watcher
    has made progress. `run` raises LedgerError if the database cannot be used.
    """

    name = "watcher"

    def __init__(
        self,
        inboxes: Sequence[Inbox],
        rules: IntakeRules,
        ledger: Ledger,
        *,
        admitted: Callable[[], None],
        beat: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inboxes, self._rules, self._ledger = inboxes, rules, ledger
        self._callbacks = Callbacks(admitted, beat, monotonic)
        self._wake = threading.Event()
        self._sweep_requested = threading.Event()

    def request_sweep(self) -> None:
        """Request a full sweep of every inbox.

        Any thread or signal handler may call this method.
        """
        self._sweep_requested.set()
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Watch all inboxes until `stop` is set."""
        with ObserverFailures(self._wake.set) as failures:
            watches: list[InboxWatch] = []
            for inbox in self._inboxes:
                watch = InboxWatch(inbox, self._rules, self._ledger, self._callbacks, failures)
                watches.append(watch)
            try:
                while not stop.is_set():
                    self._wake.clear()
                    self._wake.wait(self._step(watches))
            finally:
                for watch in watches:
                    watch.close()

    def _step(self, watches: Sequence[InboxWatch]) -> float:
        """Do what is due in every inbox, and return the seconds until there is more to do."""
        self._callbacks.beat()
        if self._sweep_requested.is_set():
            self._sweep_requested.clear()
            for watch in watches:
                watch.request_sweep()
        return min((watch.step() for watch in watches), default=TICK_SECONDS)
