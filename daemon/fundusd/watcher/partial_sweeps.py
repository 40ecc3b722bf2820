"""Looks into single folders of an inbox between its full sweeps, a slice of time after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.watcher.ignore_rules import ignored_by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from fundusd.watcher.sweep import Sweep

    class NewSweep(Protocol):
        """Begin a sweep of one folder."""

        def __call__(self, *, start: bytes, deep: bool, hinted: bool) -> Sweep:
            """Begin with `start`; with `deep` all that lies below as well."""
            ...


class Looks:
    """One round of looks after the other; each ends with what it found gone, from all of its folders together."""

    def __init__(self, new_sweep: NewSweep, monotonic: Callable[[], float]) -> None:
        self._new_sweep, self._monotonic = new_sweep, monotonic
        self._folders: dict[bytes, tuple[bool, bool]] = {}  # deep, hinted
        self._sweep: Sweep | None = None
        self.busy = False
        self.spent = 0.0  # seconds of this round
        self.vanished = 0
        self.gone: list[bytes] = []

    def begin(self, *rounds: tuple[Mapping[bytes, bool], bool]) -> None:
        """Begin a round: folders and whether all below is meant, and whether a hint named them."""
        for folders, hinted in rounds:
            for folder, deep in folders.items():
                if not any(map(ignored_by_name, folder.split(b"/"))):
                    deep_before, hinted_before = self._folders.get(folder, (False, False))
                    self._folders[folder] = deep or deep_before, hinted or hinted_before
        self.busy = bool(self._folders)
        self.spent, self.vanished, self.gone = 0.0, 0, []

    def go_on(self, seconds: float) -> bool:
        """Look on for so long; True when that ended the round."""
        if not self.busy:
            return False
        began = self._monotonic()
        while self._monotonic() < began + seconds and self._step():
            pass
        self.spent += self._monotonic() - began
        self.busy = self._sweep is not None or bool(self._folders)
        if self._sweep is not None:
            self._sweep.pause()
        return not self.busy

    def forget(self) -> None:
        """Give the round up: the inbox is away, or another one."""
        self._folders, self._sweep, self.busy = {}, None, False

    def _step(self) -> bool:
        if self._sweep is None:
            if not self._folders:
                return False
            folder = next(iter(self._folders))
            deep, hinted = self._folders.pop(folder)
            self._sweep = self._new_sweep(start=folder, deep=deep, hinted=hinted)
        if not self._sweep.step():
            self.vanished += self._sweep.tally.vanished
            self.gone += self._sweep.gone
            self._sweep = None
        return True
