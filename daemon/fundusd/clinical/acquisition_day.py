"""Convert times and dates of photographs, and notice a camera's clock that is wrong; pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

_AHEAD = timedelta(minutes=10)
_BEHIND = timedelta(days=2)  # a camera may deliver the photographs of a weekend late
_NO_DATE = date(1900, 1, 1)  # and before: what cameras write for an unknown date
_FIRST_CAMERAS = 1990  # an earlier year is that of a clock without a battery
_NEW_YEAR = (1, 1)  # to which such clocks are reset, for example 2000-01-01


def in_utc(moment: datetime | None) -> datetime | None:
    """Return a time in UTC, or None if there is no time or it cannot be expressed in UTC."""
    if moment is None:
        return None
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError):  # 00010101: some cameras write this for no date
        return None


def local_day(moment: datetime | None) -> date | None:
    """Return the clinic's date of a time, or None if there is no time or it stands for no date."""
    if moment is None:
        return None
    try:
        return real_day(moment.astimezone().date())
    except (OverflowError, ValueError):  # the first or the last day of the calendar
        return None


def real_day(day: date | None) -> date | None:
    """Return a date, or None if there is none or it stands for no date.

    >>> real_day(date(1, 1, 1)), real_day(date(2026, 6, 7))
    (None, datetime.date(2026, 6, 7))
    """
    return None if day is None or day <= _NO_DATE else day


def is_clock_off(
    acquired_at: datetime | None,
    acquired_day: date | None,
    received_at: datetime,
    *,
    is_backlog: bool,
) -> bool:
    """Return whether the time or date of a photograph shows that the camera's clock may be wrong.

    That is so if the photograph was taken after it was received or more than two days before. A
    photograph of the backlog may be older, but not as old as a clock that has lost its battery.
    """
    received_day = received_at.astimezone().date()
    if acquired_at is not None:
        is_ahead = acquired_at - received_at > _AHEAD
        is_late = acquired_at - received_at < -_BEHIND
    elif acquired_day is not None:
        is_ahead = acquired_day > received_day
        is_late = acquired_day - received_day < -_BEHIND
    else:
        return False
    return is_ahead or (is_late and (not is_backlog or is_reset(acquired_day)))


def is_reset(day: date | None) -> bool:
    """Return whether a clock that has lost its battery probably gave this date."""
    return day is None or day.year < _FIRST_CAMERAS or (day.month, day.day) == _NEW_YEAR
