"""When a job that did not work is tried again; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_ATTEMPTS = 5  # attempts lost with the process: no capture may kill it more often


def wait_seconds(attempts: int, schedule: Sequence[float]) -> float | None:
    """Return the seconds until the next attempt after `attempts` failed ones, None when there is none.

    >>> wait_seconds(1, [10, 60])
    10.0
    >>> wait_seconds(3, [10, 60]) is None
    True
    """
    return float(schedule[attempts - 1]) if 1 <= attempts <= len(schedule) else None


def outage_seconds(attempts: int) -> float:
    """Return the seconds until the next attempt to reach whoever was away `attempts` times: up to an hour, for ever.

    >>> [outage_seconds(attempts) for attempts in (1, 2, 3, 50)]
    [30.0, 60.0, 120.0, 3600.0]
    """
    return min(3600.0, 30.0 * 2.0 ** min(attempts - 1, 10))


def is_exhausted(attempts: int) -> bool:
    """Tell whether a job whose attempts were all lost with the process may not be tried again."""
    return attempts >= MAX_ATTEMPTS
