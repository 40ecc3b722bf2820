"""Where the file of a photograph is and when it was taken, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.reports.wording import day

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from fundusd.clinical.shot import Shot

_LONGEST = 48  # characters of a path in a sentence; a report lists the whole path


def taken(shot: Shot) -> str:
    """Return when a photograph was taken or, if that is not known, when it was received."""
    if shot.acquired_at is not None:
        return f"taken on {_minute(shot.acquired_at)}"
    if shot.acquired_day is not None:
        return f"taken on {day(shot.acquired_day)}"
    if shot.received_at is not None:
        return f"received on {_minute(shot.received_at)}, taken at an unknown time"
    return "taken at an unknown time"


def files(shots: Sequence[Shot]) -> str:
    """Return which file the first photograph is, when it was taken, and how many more there are."""
    first, *others = shots
    path = first.path if len(first.path) <= _LONGEST else f"…{first.path[-_LONGEST:]}"
    where = f"camera {first.camera_id}, {path}, {taken(first)}"
    more = f"; and {len(others)} more" if others else ""
    return f"capture {first.capture_id}: {where}{more}"


def _minute(at: datetime) -> str:
    local = at.astimezone()
    return f"{day(local)} at {local:%H:%M}"
