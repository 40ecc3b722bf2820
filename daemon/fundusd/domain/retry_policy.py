"""The delays and the limits of retries; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_PAUSE_SECONDS = 86_400.0  # that any setting allows
LONGEST_OUTAGE_PAUSE_SECONDS = 3600.0
MAX_ATTEMPTS = 5  # how many times the process may die while working on a capture


def wait_seconds(attempts: int, schedule: Sequence[float]) -> float | None:
    """Return the seconds to wait after `attempts` failures, or None if no attempt is left.

    >>> wait_seconds(1, [10, 60])
    10.0
    >>> wait_seconds(3, [10, 60]) is None
    True
    """
    if 1 <= attempts <= len(schedule):
        return float(schedule[attempts - 1])
    return None


def outage_seconds(attempts: int) -> float:
    """Return the seconds until the next attempt after `attempts` failures, at most an hour.

    There is no limit on the number of attempts.

    >>> [outage_seconds(attempts) for attempts in (1, 2, 3, 50)]
    [30.0, 60.0, 120.0, 3600.0]
    """
    return min(LONGEST_OUTAGE_PAUSE_SECONDS, 30.0 * 2.0 ** min(attempts - 1, 10))


def is_exhausted(attempts: int) -> bool:
    """Return whether the process has died too many times while working on a job."""
    return attempts >= MAX_ATTEMPTS
