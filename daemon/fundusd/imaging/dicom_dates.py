"""Read from a DICOM header when a photograph was taken.

No function here raises an exception, whatever values the header contains.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from fundusd.imaging.dicom_values import text

if TYPE_CHECKING:
    from pydicom import Dataset

_DATE = re.compile(r"(\d{4})[.-]?(\d\d)[.-]?(\d\d)$")
_TIME = re.compile(r"(\d\d):?(\d\d):?(\d\d)?(?:\.(\d{1,6}))?$")
_DATETIME = re.compile(r"(\d{8})(\d{4}(?:\d\d)?(?:\.\d{1,6})?)([+-]\d{4})?$")
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)$")
_MAX_OFFSET = timedelta(hours=14)


def acquired_at(ds: Dataset) -> datetime | None:
    """Return the time at which the photograph was taken, or None if the header does not give it.

    The datetime is naive if the header gives no time zone. A time of another day than that of the
    photograph does not count.
    """
    day = acquired_day(ds)
    zone = _zone(text(ds, "TimezoneOffsetFromUTC"))
    stamp = _DATETIME.match(text(ds, "AcquisitionDateTime") or "")
    if stamp and (taken := _local_time(stamp[1], stamp[2])):
        return taken.replace(tzinfo=_zone(stamp[3]) or zone)
    for kind in ("Acquisition", "Content", "Study"):
        taken = _local_time(text(ds, f"{kind}Date"), text(ds, f"{kind}Time"))
        if taken and taken.date() == day:
            return taken.replace(tzinfo=zone)
    return None


def acquired_day(ds: Dataset) -> date | None:
    """Return the date on which the photograph was taken, or None if the header does not give it.

    The header may give a date without a time.
    """
    stamp = text(ds, "AcquisitionDateTime") or ""
    dates = [text(ds, f"{kind}Date") for kind in ("Acquisition", "Content", "Study")]
    for written in (stamp[:8], *dates):
        if day := _date(written):
            return day
    return None


def _date(written: str | None) -> date | None:
    parts = _DATE.match(written or "")
    if not parts:
        return None
    year, month, day = (int(part) for part in parts.groups())
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _local_time(written: str | None, time: str | None) -> datetime | None:
    day, clock = _date(written), _TIME.match(time or "")
    if not day or not clock:
        return None
    hour, minute, second = (int(part) for part in clock.groups(default="0")[:3])
    microsecond = int((clock[4] or "0").ljust(6, "0"))
    second = min(second, 59)  # DICOM allows leap seconds, datetime does not
    time_of_day = (hour, minute, second, microsecond)
    try:
        return datetime(day.year, day.month, day.day, *time_of_day)  # noqa: DTZ001  see the callers
    except ValueError:
        return None


def _zone(offset: str | None) -> timezone | None:
    match = _OFFSET.match(offset or "")
    if not match:
        return None
    delta = timedelta(hours=int(match[2]), minutes=int(match[3]))
    if delta > _MAX_OFFSET:
        return None
    if not delta:
        return UTC
    return timezone(-delta if match[1] == "-" else delta)
