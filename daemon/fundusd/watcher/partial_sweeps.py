"""Sweep single directories, in slices of time, between the full sweeps of an inbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from fundusd.watcher.ignore_rules import IgnoreRules
    from fundusd.watcher.sweep import Sweep

    class BeginSweep(Protocol):
        """A function that begins a sweep of one directory."""

        def __call__(self, *, start: bytes, deep: bool, hinted: bool) -> Sweep:
            """Return a sweep of the directory `start` and, if `deep`, of everything below it."""
            ...


@dataclass(frozen=True, slots=True)
class _Request:
    deep: bool = False
    hinted: bool = False


class PartialSweeps:
    """Runs partial sweeps in rounds, and collects the vanished files of each round."""

    def __init__(
        self, begin_sweep: BeginSweep, ignore_rules: IgnoreRules, monotonic: Callable[[], float]
    ) -> None:
        self._begin_sweep, self._monotonic = begin_sweep, monotonic
        self._ignore_rules = ignore_rules
        self._requests: dict[bytes, _Request] = {}
        self._sweep: Sweep | None = None
        self.is_running = False
        self.seconds_spent = 0.0  # on this round
        self.vanished = 0
        self.gone: list[bytes] = []

    def add(self, directories: Mapping[bytes, bool], *, hinted: bool) -> None:
        """Request sweeps of directories in the next round.

        Each value says whether to descend into the directory.
        """
        for directory, deep in directories.items():
            if not self._ignore_rules.covers(directory):
                earlier = self._requests.get(directory, _Request())
                request = _Request(deep or earlier.deep, hinted or earlier.hinted)
                self._requests[directory] = request

    def begin(self) -> None:
        """Begin a round with the requested directories."""
        self.is_running = bool(self._requests)
        self.seconds_spent, self.vanished, self.gone = 0.0, 0, []

    def run(self, seconds: float) -> bool:
        """Continue the round for up to `seconds`, and return whether it is complete."""
        if not self.is_running:
            return False
        began = self._monotonic()
        while self._monotonic() < began + seconds and self._step():
            pass
        self.seconds_spent += self._monotonic() - began
        self.is_running = self._sweep is not None or bool(self._requests)
        if self._sweep is not None:
            self._sweep.pause()
        return not self.is_running

    def abandon(self) -> None:
        """Abandon the round, because the inbox is offline or its directory was replaced."""
        self._requests, self._sweep, self.is_running = {}, None, False

    def _step(self) -> bool:
        if self._sweep is None:
            if not self._requests:
                return False
            directory = next(iter(self._requests))
            request = self._requests.pop(directory)
            self._sweep = self._begin_sweep(
                start=directory, deep=request.deep, hinted=request.hinted
            )
        if not self._sweep.step():
            self.vanished += self._sweep.tally.vanished
            self.gone += self._sweep.gone
            self._sweep = None
        return True
