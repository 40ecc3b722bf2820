"""When known phantoms are to be shown to the model again; pure."""

from __future__ import annotations

from datetime import datetime, timedelta

_NIGHT = timedelta(
    hours=3
)  # the clinic's clock: long after the last patient, long before the first
_LONGEST = timedelta(hours=30)  # for a service that always has something to do


def is_due(now: datetime, last: datetime, *, idle: bool) -> bool:
    """Tell whether it is time, at `now` with a time zone: once a night when idle, after 30 hours in any case.

    >>> from datetime import UTC
    >>> evening, morning = datetime(2026, 11, 23, 22, tzinfo=UTC), datetime(2026, 11, 24, 3, tzinfo=UTC)
    >>> is_due(morning, evening, idle=True), is_due(morning, evening, idle=False)
    (True, False)
    """
    # whichever way: a clock that was set back from 2099 must not put it off until then
    return (idle and _night(now) != _night(last)) or abs(now - last) >= _LONGEST


def _night(at: datetime) -> int:
    """Give the number of the day, where days begin at three by the wall clock."""
    return (at.replace(tzinfo=None) - _NIGHT).toordinal()
