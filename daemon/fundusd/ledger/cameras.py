"""Read and store the state of cameras: daemon, last sweep, and whether the inbox is offline."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.files import InboxState, OfflineReason
from fundusd.ledger import audit
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.tables import camera

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.domain.exams import FieldProtocol
    from fundusd.domain.files import SweepReport

_REPORT_FORMAT = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


def register_camera(connection: sa.Connection, camera_id: str) -> None:
    """Register a camera if it is not registered yet.

    Files that date from before the registration belong to the backlog.
    """
    if connection.scalar(sa.select(camera.c.id).where(camera.c.id == camera_id)) is None:
        connection.execute(sa.insert(camera).values(id=camera_id, registered_at=datetime.now(UTC)))
        audit.append(
            connection, audit.Entry(AuditEvent.CAMERA_REGISTERED, detail={"camera": camera_id})
        )


def expect_fields(
    connection: sa.Connection, camera_id: str, expected: Sequence[str], protocol: FieldProtocol
) -> None:
    """Store which fields a camera photographs, and which each eye of its exams should include."""
    columns = {"expected_fields": " ".join(expected), "fields": protocol}
    connection.execute(_update(camera_id).values(**columns))


def confirm_share(connection: sa.Connection, camera_id: str, share: float) -> None:
    """Store which share, 0 to 1, of a camera's negative eyes readers confirm."""
    connection.execute(_update(camera_id).values(confirmed_share=share))


def started(connection: sa.Connection, cameras: Sequence[str], release_id: int, seq: int) -> None:
    """Store that a daemon has started working for the given cameras.

    `release_id` is the daemon's release, and `seq` is the number of the audit event of its start.
    """
    connection.execute(
        sa.update(camera).where(camera.c.id.in_(cameras)).values(release_id=release_id, started=seq)
    )


def registered_at_ns(connection: sa.Connection, camera_id: str) -> int:
    """Return the time at which a camera was registered, in nanoseconds since 1970.

    If the clock was wrong then and shows an earlier time now, return the present time: otherwise
    all new captures would belong to the backlog.
    """
    registered_at = connection.execute(
        sa.select(camera.c.registered_at).where(camera.c.id == camera_id)
    ).scalar_one()
    return int(min(registered_at, datetime.now(UTC)).timestamp() * 1_000_000_000)


def swept_before(connection: sa.Connection, camera_id: str) -> bool:
    """Return whether a full sweep of a camera's inbox has ever finished."""
    swept_at = connection.scalar(sa.select(camera.c.swept_at).where(camera.c.id == camera_id))
    return swept_at is not None


def sweep_finished(connection: sa.Connection, camera_id: str, report: SweepReport) -> None:
    """Store the time and the report of a full sweep that has just finished.

    `fundusd status` shows both the time and the report.
    """
    now = datetime.now(UTC)
    first_swept_at = sa.func.coalesce(camera.c.swept_at, sa.literal(now, camera.c.swept_at.type))
    connection.execute(
        _update(camera_id).values(
            swept_at=first_swept_at,
            last_sweep_at=now,
            last_sweep=orjson.dumps(report, option=_REPORT_FORMAT).decode(),
        )
    )


def whereabouts(connection: sa.Connection, camera_id: str) -> InboxState:
    """Return the state of an inbox.

    The state consists of the last known device and inode of the inbox and, if the inbox is offline,
    why and since when it has been offline.
    """
    row = connection.execute(sa.select(camera).where(camera.c.id == camera_id)).one()
    reason = OfflineReason(row.offline_reason) if row.offline_reason else None
    return InboxState(row.place, reason, row.offline_since)


def is_away(connection: sa.Connection, camera_id: str, place: str | None) -> bool:
    """Return whether a file that is missing from an inbox may come back with it.

    It cannot if the watcher has not recorded that the inbox is offline, and if the file was looked
    for in the directory in which the watcher last saw files. `place` is the device and inode of the
    directory in which it was looked for, or None if that could not be opened.
    """
    state = whereabouts(connection, camera_id)
    return state.offline_reason is not None or place is None or place != state.place


def found_at(connection: sa.Connection, camera_id: str, at: str) -> None:
    """Store the device and inode that an inbox had when files were seen in it."""
    connection.execute(_update(camera_id).values(place=at))


def offline(connection: sa.Connection, camera_id: str, reason: OfflineReason | None) -> None:
    """Store why an inbox is offline, or that it is online if `reason` is None.

    A change is recorded in the audit trail.
    """
    changed = _update(camera_id).where(camera.c.offline_reason.is_distinct_from(reason))
    if reason is None:
        columns: dict[str, Any] = {"offline_reason": None, "offline_since": None}
        entry = audit.Entry(AuditEvent.CAMERA_ONLINE, detail={"camera": camera_id})
    else:
        since = sa.func.coalesce(camera.c.offline_since, datetime.now(UTC))
        columns = {"offline_reason": reason, "offline_since": since}
        detail = {"camera": camera_id, "reason": reason.value}
        entry = audit.Entry(AuditEvent.CAMERA_OFFLINE, detail=detail)
    if connection.execute(changed.values(**columns)).rowcount:
        audit.append(connection, entry)


def _update(camera_id: str) -> sa.Update:
    return sa.update(camera).where(camera.c.id == camera_id)
