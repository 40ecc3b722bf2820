"""When a receiver that is away is tried again, and when operators are warned about it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fundusd.domain import retry_policy

if TYPE_CHECKING:
    from collections.abc import Callable

_WARNING_SECONDS = 3600.0


class ReceiverClock:
    """The clock of one receiver, by which all its deliveries wait while it is away.

    `now` returns seconds that never go back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.away_since: datetime | None = None
        self.failures = 0  # in succession, since the receiver last answered
        self._now = now
        self._next_at = 0.0
        self._warned_at: float | None = None

    def is_waiting(self) -> bool:
        """Return whether it is too early for the next attempt."""
        return self.failures > 0 and self._now() < self._next_at

    def failed(self) -> datetime:
        """Schedule the next attempt, and return since when the receiver has been away."""
        self.away_since = self.away_since or datetime.now(UTC)
        self.failures += 1
        self._next_at = self._now() + retry_policy.outage_seconds(self.failures)
        return self.away_since

    def is_warning_due(self) -> bool:
        """Return whether operators should be warned now, which is at most once an hour."""
        if self._warned_at is not None and self._now() - self._warned_at < _WARNING_SECONDS:
            return False
        self._warned_at = self._now()
        return True

    def answered(self) -> None:
        """End the outage."""
        self.away_since, self.failures = None, 0
