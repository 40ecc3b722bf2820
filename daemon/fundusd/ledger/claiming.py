"""Claim waiting jobs under a lease, in the order in which they are to be worked on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from fundusd.domain.jobs import JobState
from fundusd.domain.retry_policy import LONGEST_PAUSE_SECONDS
from fundusd.ledger import failures, jobs
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import epoch_now, is_due
from fundusd.ledger.job_events import note
from fundusd.ledger.jobs import LEASE_SECONDS, Claim
from fundusd.ledger.tables import camera, job

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from fundusd.ledger.transactions import Recording

T = TypeVar("T")

_CAMERAS = sa.select(camera.c.id, camera.c.offline_reason)


def claim(
    recording: Recording,
    limit: int,
    token: str,
    served: str = "",
    cameras: Sequence[str] = (),
    longest_pause: float = LONGEST_PAUSE_SECONDS,
) -> list[Claim]:
    """Claim up to `limit` waiting jobs, counting an attempt for each.

    Leases are timed by the database's clock. If `token` has already claimed jobs, these are
    returned again, because the answer to the COMMIT may have been lost. If `cameras` is not empty,
    only jobs of these cameras are claimed. The other jobs are left to the daemons that can read the
    files of the other cameras.

    Today's captures come before the backlog, and jobs with fewer attempts before jobs with more.
    Cameras take turns, beginning with the one after `served`. A job that was tried before is
    claimed alone, so that if it fails again, it cannot affect other jobs. A job that is not due
    within `longest_pause` seconds was postponed while the clock was wrong, and is due at once.
    Jobs that were given back because their camera is offline are left alone until it is online.
    """
    connection, release_id = recording.connection, recording.release_id
    held = sa.select(job).where(job.c.state == JobState.RUNNING, job.c.token == token)
    if claimed := connection.execute(held.order_by(job.c.id)).all():
        return _claims(connection, claimed, token)
    failures.rescue(recording, expired_only=True)
    reasons = {row.id: row.offline_reason for row in connection.execute(_CAMERAS)}
    offline = {name for name, reason in reasons.items() if reason is not None}
    names = list(cameras or reasons)
    names.sort(key=lambda name: (name <= served, name))
    if not names:
        return []
    query = waiting(names, release_id, limit, longest_pause, offline)
    rows = list(_in_order(connection.execute(query), names))
    if rows and rows[0].attempts:
        return _take(connection, rows[:1], token)
    untried = [row for row in rows if not row.attempts]
    return _take(connection, untried[:limit], token)


def waiting(
    cameras: Sequence[str],
    release_id: int,
    limit: int,
    longest_pause: float,
    offline: Container[str] = (),
) -> sa.CompoundSelect[Any]:
    """Return a query for the first `limit` waiting jobs of each camera.

    Those that rest are left out if their camera is one of `offline`. The database answers the query
    from an index.
    """
    selects = []
    for camera_id in cameras:
        first = (
            sa.select(job.c.id, job.c.camera_id, job.c.lane, job.c.attempts)
            .where(
                job.c.state == JobState.QUEUED,
                job.c.camera_id == camera_id,
                job.c.release_id == release_id,
                is_due(job.c.available_at, longest_pause),
                job.c.available_at < jobs.RESTING if camera_id in offline else sa.true(),
            )
            .order_by(job.c.lane, job.c.attempts, job.c.position, job.c.id)
            .limit(limit)
            .subquery()
        )
        selects.append(sa.select(first))
    return sa.union_all(*selects)


def _in_order(rows: Iterable[Any], cameras: Sequence[str]) -> Iterator[Any]:
    """Yield jobs ordered by lane and then by number of attempts.

    Among jobs with the same lane and number of attempts, the cameras take turns.
    """
    groups: dict[tuple[int, int], dict[str, list[Any]]] = {}
    for row in rows:
        groups.setdefault((row.lane, row.attempts), {}).setdefault(row.camera_id, []).append(row)
    for _, by_camera in sorted(groups.items()):
        yield from in_turns([by_camera.get(camera_id, []) for camera_id in cameras])


def in_turns(queues: Sequence[Sequence[T]]) -> list[T]:
    """Return the first item of each queue, then the second item of each queue, and so on.

    >>> in_turns(["aaa", "b", "cc"])
    ['a', 'b', 'c', 'a', 'c', 'a']
    """
    items: list[T] = []
    for turn in range(max(map(len, queues), default=0)):
        for queue in queues:
            if turn < len(queue):
                items.append(queue[turn])
    return items


def _take(connection: sa.Connection, chosen: Sequence[Any], token: str) -> list[Claim]:
    """Claim the chosen jobs, and return the claims in the same order."""
    if not chosen:
        return []
    ids = jobs.numbers(chosen)
    statement = (
        sa.update(job)
        .where(jobs.among(ids, JobState.QUEUED))
        .values(
            state=JobState.RUNNING,
            token=token,
            lease_until=epoch_now() + LEASE_SECONDS,
            attempts=job.c.attempts + 1,
        )
        .returning(job.c.id, job.c.digest, job.c.attempts, job.c.release_id, job.c.camera_id)
    )
    order = dict(zip(ids, range(len(ids)), strict=True))
    rows = sorted(connection.execute(statement), key=lambda row: order[row.id])
    note(connection, AuditEvent.JOB_CLAIMED, rows)
    return _claims(connection, rows, token)


def _claims(connection: sa.Connection, rows: Sequence[Any], token: str) -> list[Claim]:
    places = jobs.places(connection, jobs.numbers(rows))
    claims = []
    for row in rows:
        of_job = tuple(places.get(row.id, ()))
        claims.append(Claim(row.id, token, row.digest, row.attempts, row.camera_id, of_job))
    return claims
