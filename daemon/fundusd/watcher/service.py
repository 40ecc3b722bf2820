"""The watcher service: one thread that finds captures in all inboxes and hands them to the ledger."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from fundusd.watcher.candidates import Calls
from fundusd.watcher.inbox import TICK_SECONDS, InboxWatch
from fundusd.watcher.observer import Troubles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fundusd.domain.files import Inbox
    from fundusd.ledger import Ledger
    from fundusd.watcher.rules import IntakeRules


class Watcher:
    """Find settled captures and have them admitted; `run` raises LedgerError.

    `admitted` is called after each admission that makes work, `beat` at every sign of progress.
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
        self._calls = Calls(admitted, beat, monotonic)
        self._wake = threading.Event()
        self._sweep_wanted = threading.Event()

    def request_sweep(self) -> None:
        """Ask for a full sweep of every inbox, from any thread or signal."""
        self._sweep_wanted.set()
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set."""
        with Troubles(self._wake.set) as troubles:
            watches = [
                InboxWatch(inbox, self._rules, self._ledger, self._calls, troubles)
                for inbox in self._inboxes
            ]
            try:
                while not stop.is_set():
                    self._wake.clear()
                    self._wake.wait(self._turn(watches))
            finally:
                for watch in watches:
                    watch.close()

    def _turn(self, watches: Sequence[InboxWatch]) -> float:
        self._calls.beat()
        if self._sweep_wanted.is_set():
            self._sweep_wanted.clear()
            for watch in watches:
                watch.request_sweep()
        return min((watch.turn() for watch in watches), default=TICK_SECONDS)
