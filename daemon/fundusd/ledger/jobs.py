"""Move jobs from state to state.

Each transition is one function, one audit event and one edge of the diagram in the docs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.jobs import JobState
from fundusd.ledger import audit
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.captures import add_warnings
from fundusd.ledger.database import epoch_now
from fundusd.ledger.job_events import note
from fundusd.ledger.tables import camera, capture, job, sighting, storable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.domain.clinical_terms import Reason

# longer than any batch takes; a dead daemon is noticed sooner, because its lock is released
LEASE_SECONDS = 900.0

# `available_at` of a job that was given back because its camera was offline: seconds since 1970
RESTING = 1e15

_FREE = {"token": None, "lease_until": None}


@dataclass(frozen=True, slots=True)
class Place:
    """A path at which a job's bytes were seen.

    `ctime_ns` is None if the path now holds other bytes.
    """

    camera_id: str
    path: bytes
    ctime_ns: int | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that is held under a lease.

    Only the holder of `token` can finish the job.
    """

    job_id: int
    token: str
    digest: str
    attempts: int
    camera_id: str  # the camera in whose turn the job was claimed
    places: tuple[Place, ...]


# -- which jobs


def among(ids: Sequence[int], state: JobState) -> sa.ColumnElement[bool]:
    """Return a condition that selects the jobs in `ids` whose state is `state`.

    The `|| ''` in the SQL keeps SQLite from reading all jobs in that state.
    """
    return sa.and_(job.c.id.in_(ids), job.c.state.concat("") == state)


def of(cameras: Sequence[str]) -> sa.ColumnElement[bool]:
    """Return a condition that selects the jobs of `cameras`, or all jobs if `cameras` is empty."""
    return job.c.camera_id.in_(cameras) if cameras else sa.true()


def places(connection: sa.Connection, ids: Sequence[int]) -> dict[int, list[Place]]:
    """Return the places where each job's bytes were seen, keyed by job.

    Current captures come before superseded ones, and newer captures before older ones.
    """
    query = (
        sa.select(capture.c.job_id, capture.c.camera_id, capture.c.path, sighting.c.ctime_ns)
        .outerjoin(sighting, sighting.c.capture_id == capture.c.id)
        .where(capture.c.job_id.in_(ids))
        .order_by(capture.c.superseded, capture.c.id.desc())
    )
    by_job: dict[int, list[Place]] = {}
    for row in connection.execute(query):
        place = Place(row.camera_id, bytes(row.path), row.ctime_ns)
        by_job.setdefault(row.job_id, []).append(place)
    return by_job


# -- running -> another state, by the holder of the lease


def settle(
    connection: sa.Connection, claims: Sequence[Claim], state: JobState, **columns: Any
) -> set[int]:
    """Move claimed jobs from `running` to `state`, and return the ids of the moved jobs.

    A job whose lease was lost is not moved.
    """
    by_token: dict[str, list[int]] = {}  # jobs that were claimed together share a token
    for claim in claims:
        by_token.setdefault(claim.token, []).append(claim.job_id)
    settled: set[int] = set()
    for token, ids in by_token.items():
        guarded = sa.and_(among(ids, JobState.RUNNING), job.c.token == token)
        statement = sa.update(job).where(guarded).values(state=state, **_FREE, **columns)
        settled |= set(connection.scalars(statement.returning(job.c.id)))
    return settled


def postpone(
    connection: sa.Connection,
    claim: Claim,
    reason: Reason,
    error: str,
    wait_seconds: float,
    warnings: Sequence[str] = (),
) -> bool:
    """Queue a job again, to be claimed after a delay: running -> queued.

    The attempt is counted. `warnings` are codes that were read from the header. Return False if the
    lease was lost.
    """
    columns = {
        "reason": reason,
        "action": reason.action,
        "error": storable(error),
        "available_at": epoch_now() + wait_seconds,
    }
    if not settle(connection, [claim], JobState.QUEUED, **columns):
        return False
    add_warnings(connection, claim.job_id, warnings)
    detail = {
        "reason": reason.value,
        "attempts": claim.attempts,
        "wait_seconds": round(wait_seconds),
    }
    entry = audit.Entry(
        AuditEvent.JOB_POSTPONED, "job", claim.job_id, digest=claim.digest, detail=detail
    )
    audit.append(connection, entry)
    return True


def were_seen_again(connection: sa.Connection, claim: Claim) -> bool:
    """Return whether a job's bytes have been admitted or touched since the job was claimed."""
    for place in places(connection, [claim.job_id]).get(claim.job_id, []):
        if place.ctime_ns is not None and place not in claim.places:
            return True
    return False


def give_back(connection: sa.Connection, claims: Sequence[Claim], wait_seconds: float = 0.0) -> int:
    """Release unprocessed jobs without counting an attempt: running -> queued.

    The jobs cannot be claimed again for `wait_seconds`. If that is not 0, a job whose camera is
    recorded as offline rests until the camera is online. Return the number of released jobs.
    """
    columns: dict[str, Any] = {"attempts": job.c.attempts - 1}
    if wait_seconds:
        is_offline = job.c.camera_id.in_(
            sa.select(camera.c.id).where(camera.c.offline_reason.is_not(None))
        )
        columns["available_at"] = sa.case((is_offline, RESTING), else_=epoch_now() + wait_seconds)
    returned = settle(connection, claims, JobState.QUEUED, **columns)
    entries = []
    for claim in claims:
        if claim.job_id in returned:
            entry = audit.Entry(AuditEvent.JOB_GIVEN_BACK, "job", claim.job_id, digest=claim.digest)
            entries.append(entry)
    audit.append(connection, *entries)
    return len(entries)


# -- running -> another state, without a token


def move(connection: sa.Connection, rows: Sequence[Any], **columns: Any) -> None:
    """Move running jobs to another state."""
    statement = sa.update(job).where(job.c.id.in_(numbers(rows)))
    connection.execute(statement.values(**_FREE, **columns))


def numbers(rows: Sequence[Any]) -> list[int]:
    """Return the ids of job rows."""
    return [row.id for row in rows]


def renew(connection: sa.Connection, cameras: Sequence[str] = ()) -> None:
    """Renew the leases of all running jobs.

    If `cameras` is not empty, only leases on jobs of these cameras are renewed. Only the daemon
    that owns the jobs may renew their leases.
    """
    running = sa.update(job).where(job.c.state == JobState.RUNNING, of(cameras))
    connection.execute(running.values(lease_until=epoch_now() + LEASE_SECONDS))


# -- failed -> queued


def reopen(connection: sa.Connection, ids: Sequence[int]) -> int:
    """Queue failed jobs again: failed -> queued.

    The number of attempts is reset to 0. The reason stays until there is a result, because the
    captures still leave their exams in doubt. Return the number of jobs that were queued.
    """
    columns = {
        "state": JobState.QUEUED,
        "attempts": 0,
        "available_at": 0.0,
    }
    statement = sa.update(job).where(among(ids, JobState.FAILED)).values(**columns)
    returned = (job.c.id, job.c.digest, job.c.attempts, job.c.release_id)
    rows = connection.execute(statement.returning(*returned)).all()
    note(connection, AuditEvent.JOB_RETRIED, rows)
    return len(rows)
