"""Where the file of a photograph is and when it was taken, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.reports.wording import day

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from fundusd.clinical.shot import Shot

_NAMED = 3  # files in one sentence


def taken(shot: Shot) -> str:
    """Return when a photograph was taken or, if that is not known, when it was received."""
    if shot.acquired_at is not None:
        return f"taken on {_minute(shot.acquired_at)}"
    if shot.acquired_day is not None:
        return f"taken on {day(shot.acquired_day)}"
    if shot.received_at is not None:
        return (
            f"received on {_minute(shot.received_at)}, the day on which it was taken is not known"
        )
    return "taken at an unknown time"


def files(shots: Sequence[Shot]) -> str:
    """Return the files of photographs and when they were taken, for a person who looks for them.

    Only the first few are named.
    """
    named = []
    for shot in shots[:_NAMED]:
        where = f"camera {shot.camera_id}, {shot.path}" if shot.path else f"camera {shot.camera_id}"
        named.append(f"capture {shot.capture_id}: {where}, {taken(shot)}")
    if len(shots) > _NAMED:
        named.append(f"and {len(shots) - _NAMED} more")
    return "; ".join(named)


def _minute(at: datetime) -> str:
    local = at.astimezone()
    return f"{day(local)} at {local:%H:%M}"
