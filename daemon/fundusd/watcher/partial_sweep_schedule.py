"""Decide which directories of an inbox to sweep next; times are monotonic seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain.files import SWEEP_SHARE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.watcher.directory_times import DirectoryTimes
    from fundusd.watcher.observer_recovery import ObserverRecovery
    from fundusd.watcher.rules import Callbacks, IntakeRules

# after directories named by events have been swept, the pause is four times as long as the sweeps,
# so that a directory of 100,000 files is not listed again for each new file
_EVENT_SHARE = 4


class PartialSweepSchedule:
    """Schedules sweeps of directories: at once after events, otherwise at regular intervals."""

    def __init__(
        self,
        observer: ObserverRecovery,
        directories: DirectoryTimes,
        rules: IntakeRules,
        callbacks: Callbacks,
    ) -> None:
        self._observer, self._directories, self._rules = observer, directories, rules
        self._now, self._beat = callbacks.monotonic, callbacks.beat
        self._event_sweep_at = 0.0
        self._active_sweep_at = 0.0
        self._check_at = 0.0

    def event_directories(self) -> Mapping[bytes, bool]:
        """Return the directories that events have named.

        Each value says whether to descend into the directory.
        """
        if self._now() < self._event_sweep_at:
            return {}
        return self._observer.take()

    def due_directories(self, check_seconds: float) -> Mapping[bytes, bool]:
        """Return the active directories and the changed directories whose sweep is due.

        The check for changes is interrupted after `check_seconds` and continued by a later call.
        """
        due: list[bytes] = []
        now = self._now()
        if not self._observer.is_healthy and now >= self._active_sweep_at:
            self._active_sweep_at = now + self._rules.active_sweep_seconds
            due += self._directories.active()
        if now >= self._check_at:
            due += self._directories.check(check_seconds, self._beat)
            if not self._directories.is_checking:
                pause = SWEEP_SHARE * self._directories.seconds_spent
                self._check_at = self._now() + max(self._rules.directory_check_seconds, pause)
        return dict.fromkeys(due, False)

    def postpone(self, seconds_spent: float) -> None:
        """Postpone the next sweeps in proportion to the time that the last ones took."""
        now = self._now()
        self._event_sweep_at = now + _EVENT_SHARE * seconds_spent
        self._active_sweep_at = max(self._active_sweep_at, now + SWEEP_SHARE * seconds_spent)

    def next_due(self, *, has_assessed: bool) -> list[float]:
        """Return the times at which a sweep or a check may be due.

        Checks take place only after a full sweep has been assessed (`has_assessed`).
        """
        now = self._now()
        due = [at for at in (self._event_sweep_at, self._active_sweep_at) if at > now]
        if has_assessed:
            due.append(self._check_at)
        return due
