"""Decide when the model must classify known phantoms again; pure."""

from __future__ import annotations

from datetime import datetime, timedelta

# by the clinic's clock: long after the last patient and long before the first
_NIGHT = timedelta(hours=3)
_MAX_INTERVAL = timedelta(hours=30)  # for a service that is never idle


def is_due(now: datetime, last: datetime, *, idle: bool) -> bool:
    """Return whether the canary is due: once a night when idle, and after 30 hours in any case.

    `now` must have a time zone.

    >>> from datetime import UTC
    >>> evening = datetime(2026, 11, 23, 22, tzinfo=UTC)
    >>> morning = datetime(2026, 11, 24, 3, tzinfo=UTC)
    >>> is_due(morning, evening, idle=True), is_due(morning, evening, idle=False)
    (True, False)
    """
    # an absolute difference, as a clock set back from 2099 must not postpone the canary until then
    return (idle and _night(now) != _night(last)) or abs(now - last) >= _MAX_INTERVAL


def _night(at: datetime) -> int:
    """Return the ordinal of the day, where each day begins at three o'clock by the wall clock."""
    return (at.replace(tzinfo=None) - _NIGHT).toordinal()
