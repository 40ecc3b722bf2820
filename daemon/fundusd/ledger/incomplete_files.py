"""What keeps captures from coming in: inboxes that are away, files that are not complete."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from fundusd.domain.clinical_terms import FILE_REASONS
from fundusd.domain.files import InboxState, IncompleteFile, OfflineReason, WaitReason
from fundusd.domain.jobs import JobState
from fundusd.ledger import audit, requeue
from fundusd.ledger.tables import camera, capture, incomplete, job, sighting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def whereabouts(connection: sa.Connection, camera_id: str) -> InboxState:
    """Return where an inbox was when files were last seen in it, and whether it counts as away."""
    row = connection.execute(sa.select(camera).where(camera.c.id == camera_id)).one()
    return InboxState(
        row.place,
        OfflineReason(row.offline_reason) if row.offline_reason else None,
        row.offline_since,
    )


def found_at(connection: sa.Connection, camera_id: str, at: str) -> None:
    """Note which directory the inbox is that files were seen in."""
    connection.execute(sa.update(camera).where(camera.c.id == camera_id).values(place=at))


def offline(connection: sa.Connection, camera_id: str, reason: OfflineReason | None) -> None:
    """Note that an inbox is away, or with None that it is there; what is so already changes nothing."""
    this = sa.update(camera).where(
        camera.c.id == camera_id, camera.c.offline_reason.is_distinct_from(reason)
    )
    since = None if reason is None else sa.func.coalesce(camera.c.offline_since, datetime.now(UTC))
    if not connection.execute(this.values(offline_reason=reason, offline_since=since)).rowcount:
        return
    event = "camera.online" if reason is None else "camera.offline"
    detail = {"camera": camera_id} | ({} if reason is None else {"reason": reason.value})
    audit.append(connection, audit.Entry(event, detail=detail))


def queue_unread(
    connection: sa.Connection, camera_id: str, release_id: int, *, are_clear: bool = True
) -> int:
    """Queue again what failed because a file could not be read that is there; return how many."""
    query = (
        sa.select(job.c.id)
        .join(capture, capture.c.job_id == job.c.id)
        .join(sighting, sighting.c.capture_id == capture.c.id)
        .where(
            job.c.state == JobState.FAILED,
            job.c.reason.in_(FILE_REASONS),
            capture.c.camera_id == camera_id,
            sighting.c.missing_since.is_(None),
        )
    )
    unread = connection.scalars(query.distinct()).all()
    return requeue.reopen(connection, unread, release_id, are_clear=are_clear) if unread else 0


def incomplete_files(connection: sa.Connection, camera_id: str) -> dict[bytes, IncompleteFile]:
    """Return the files of an inbox that are not complete, by path."""
    rows = connection.execute(sa.select(incomplete).where(incomplete.c.camera_id == camera_id))
    return {
        bytes(row.path): IncompleteFile(
            WaitReason(row.reason), row.size, row.since, row.quarantined_at
        )
        for row in rows
    }


def keep_incomplete(
    connection: sa.Connection,
    camera_id: str,
    files: Mapping[bytes, IncompleteFile],
    shown: Callable[[bytes], str],
) -> None:
    """Remember these files of an inbox as not complete, and no others."""
    connection.execute(sa.delete(incomplete).where(incomplete.c.camera_id == camera_id))
    rows = [
        {
            "camera_id": camera_id,
            "path": path,
            "path_text": shown(path),
            "reason": one.reason,
            "size": one.size,
            "since": one.since,
            "quarantined_at": one.quarantined_at,
        }
        for path, one in files.items()
    ]
    if rows:
        connection.execute(sa.insert(incomplete), rows)
