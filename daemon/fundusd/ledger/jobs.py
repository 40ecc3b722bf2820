"""The queue: every arrow between job states is one function here, one audit event, one edge in the docs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import sqlalchemy as sa

from fundusd.domain import retry_policy
from fundusd.domain.clinical_terms import FILE_REASONS, Outcome, Reason
from fundusd.domain.jobs import JobState
from fundusd.ledger import audit
from fundusd.ledger.database import epoch_now
from fundusd.ledger.tables import camera, capture, job, sighting, storable

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

LEASE_SECONDS = 900.0  # longer than any batch; a daemon that died is found out by the ledger's lock, not by this


@dataclass(frozen=True, slots=True)
class Place:
    """Where a claimed job's bytes can be read, and when its file last changed; None: other bytes are there now."""

    camera_id: str
    path: bytes
    ctime_ns: int | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A job held under a lease: whoever finishes it must show the token."""

    job_id: int
    token: str
    digest: str
    attempts: int
    camera_id: str  # in whose turn it was taken
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A capture of which it is now known what became of it, as its canonical log line wants it."""

    capture_id: int
    camera_id: str
    digest: str
    revision: int
    eye: str
    eye_source: str
    patient_key: str | None
    outcome: str
    reason: str | None
    grade: int | None
    turnaround_ms: int | None
    warnings: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        """Return the fields of the log line: the digest's first 12 digits, nothing that names a patient."""
        said = asdict(self) | {"camera": self.camera_id, "digest": self.digest[:12]}
        del said["camera_id"]
        if not self.warnings:
            del said["warnings"]
        return said


def claim(
    connection: sa.Connection,
    release_id: int,
    limit: int,
    token: str,
    served: str = "",
    mine: Sequence[str] = (),
) -> list[Claim]:
    """Take up to `limit` waiting jobs, counting an attempt each; leases run by the database's clock.

    What the token has taken already is returned again: its COMMIT may have lost its answer. With `mine`, only
    jobs of these cameras: another daemon, which can reach their files, works for the others.

    Today's captures come before the backlog, the less tried before the more tried; cameras take turns, beginning
    with the one after `served`. A job that was tried before is taken alone: whatever went wrong with it must not
    happen to its neighbours again.
    """
    held = sa.select(job).where(job.c.state == JobState.RUNNING, job.c.token == token)
    if taken := connection.execute(held.order_by(job.c.id)).all():
        return _claims(connection, taken, token)
    rescue(connection, expired_only=True)
    cameras = sorted(
        mine or connection.scalars(sa.select(camera.c.id)), key=lambda one: (one <= served, one)
    )
    if not cameras:
        return []
    queues: dict[tuple[int, int], dict[str, list[Any]]] = {}
    for row in connection.execute(waiting(cameras, release_id, limit)):
        queues.setdefault((row.lane, row.attempts), {}).setdefault(row.camera_id, []).append(row)
    rows = [
        row
        for _, by_camera in sorted(queues.items())
        for row in in_turns([by_camera.get(one, []) for one in cameras])
    ]  # fmt: skip
    if rows and rows[0].attempts:
        return _take(connection, rows[:1], token)
    return _take(connection, [row for row in rows if not row.attempts][:limit], token)


def waiting(cameras: Sequence[str], release_id: int, limit: int) -> sa.CompoundSelect[Any]:
    """Select the `limit` first jobs of each camera: along the index, however many wait."""
    firsts = [
        sa.select(job.c.id, job.c.camera_id, job.c.lane, job.c.attempts)
        .where(
            job.c.state == JobState.QUEUED,
            job.c.camera_id == one,
            job.c.release_id == release_id,
            job.c.available_at <= epoch_now(),
        )
        .order_by(job.c.lane, job.c.attempts, job.c.position, job.c.id)
        .limit(limit)
        .subquery()
        for one in cameras
    ]
    return sa.union_all(*(sa.select(first) for first in firsts))


def _take(connection: sa.Connection, chosen: Sequence[Any], token: str) -> list[Claim]:
    if not chosen:
        return []
    ids = [row.id for row in chosen]
    taken = connection.execute(
        sa.update(job)
        .where(among(ids, JobState.QUEUED))
        .values(
            state=JobState.RUNNING,
            token=token,
            lease_until=epoch_now() + LEASE_SECONDS,
            attempts=job.c.attempts + 1,
        )
        .returning(job.c.id, job.c.digest, job.c.attempts, job.c.release_id, job.c.camera_id)
    ).all()
    order = {job_id: index for index, job_id in enumerate(ids)}
    taken = sorted(taken, key=lambda row: order[row.id])
    _note(connection, "job.claimed", taken)
    return _claims(connection, taken, token)


def _claims(connection: sa.Connection, taken: Sequence[Any], token: str) -> list[Claim]:
    places = _places(connection, [row.id for row in taken])
    return [
        Claim(row.id, token, row.digest, row.attempts, row.camera_id, tuple(places.get(row.id, ())))
        for row in taken
    ]


def among(ids: Sequence[int], state: JobState) -> sa.ColumnElement[bool]:
    """Pick jobs by id that are in a state: `|| ''` keeps SQLite from going through all others in that state."""
    return sa.and_(job.c.id.in_(ids), job.c.state.concat("") == state)


def _places(connection: sa.Connection, ids: list[int]) -> dict[int, list[Place]]:
    query = (
        sa.select(capture.c.job_id, capture.c.camera_id, capture.c.path, sighting.c.ctime_ns)
        .outerjoin(sighting, sighting.c.capture_id == capture.c.id)
        .where(capture.c.job_id.in_(ids))
        .order_by(capture.c.superseded, capture.c.id.desc())
    )
    places: dict[int, list[Place]] = {}
    for row in connection.execute(query):
        places.setdefault(row.job_id, []).append(
            Place(row.camera_id, bytes(row.path), row.ctime_ns)
        )
    return places


def _note(connection: sa.Connection, event: str, rows: Sequence[Any], **detail: Any) -> None:
    entries = [
        audit.Entry(
            event,
            "job",
            row.id,
            None,
            row.release_id,
            row.digest,
            {"attempts": row.attempts} | detail,
        )
        for row in rows
    ]
    if entries:
        audit.append(connection, *entries)


def settle(
    connection: sa.Connection, held: Sequence[Claim], state: JobState, **columns: Any
) -> set[int]:
    """Leave `running` where the token still holds the lease; return those jobs: others took the rest over."""
    by_token: dict[str, list[int]] = {}  # all that was claimed together has one
    for one in held:
        by_token.setdefault(one.token, []).append(one.job_id)
    settled: set[int] = set()
    for token, ids in by_token.items():
        guarded = sa.and_(among(ids, JobState.RUNNING), job.c.token == token)
        left = (
            sa.update(job)
            .where(guarded)
            .values(state=state, token=None, lease_until=None, **columns)
        )
        settled |= set(connection.scalars(left.returning(job.c.id)))
    return settled


def postpone(
    connection: sa.Connection, held: Claim, reason: Reason, error: str, wait_seconds: float
) -> bool:
    """Try again later: running -> queued, the attempt stays counted; False when the lease is lost."""
    columns = {"reason": reason, "action": reason.action, "error": storable(error)}
    if not settle(
        connection, [held], JobState.QUEUED, available_at=epoch_now() + wait_seconds, **columns
    ):
        return False
    detail = {
        "reason": reason.value,
        "attempts": held.attempts,
        "wait_seconds": round(wait_seconds),
    }
    audit.append(
        connection,
        audit.Entry("job.postponed", "job", held.job_id, digest=held.digest, detail=detail),
    )
    return True


def fail(
    connection: sa.Connection, held: Claim, reason: Reason, error: str
) -> list[Recorded] | None:
    """Give a job up: running -> failed; return its captures, or None when the lease is lost.

    Not by its file when its bytes were shown anew meanwhile, at another path or there again: running -> queued.
    """
    if reason in FILE_REASONS and _were_shown(connection, held):
        return [] if postpone(connection, held, reason, error, 0.0) else None
    if not settle(
        connection,
        [held],
        JobState.FAILED,
        reason=reason,
        action=reason.action,
        error=storable(error),
    ):
        return None
    return _audit_failed(connection, [held.job_id], reason)


def _were_shown(connection: sa.Connection, held: Claim) -> bool:
    """Tell whether a job's bytes were admitted or touched since it was claimed."""
    now = _places(connection, [held.job_id]).get(held.job_id, [])
    return any(place not in held.places for place in now if place.ctime_ns is not None)


def _audit_failed(connection: sa.Connection, ids: Sequence[int], reason: Reason) -> list[Recorded]:
    query = (
        sa.select(capture, job.c.attempts, job.c.release_id.label("under"))
        .join(job)
        .where(job.c.id.in_(ids))
    )
    rows = connection.execute(query).mappings().all()
    entries = [
        audit.Entry(
            f"capture.{Outcome.FAILED}",
            "capture",
            row["id"],
            row["patient_key"],
            row["under"],
            row["digest"],
            {
                "reason": reason.value,
                "attempts": row["attempts"],
                "eye": row["eye"],
                "job_id": row["job_id"],
                "capture_digest": audit.capture_digest(row),
            },
        )
        for row in rows
    ]
    audit.append(connection, *entries)
    return [recorded(row, Outcome.FAILED, reason, None) for row in rows]


def recorded(row: Any, outcome: str, reason: str | None, grade: int | None) -> Recorded:
    """Tell of a capture's row what its log line needs."""
    said = ("camera_id", "digest", "revision", "eye", "eye_source", "patient_key", "turnaround_ms")
    warnings = tuple(orjson.loads(row["warnings"] or "[]"))
    told = {name: row[name] for name in said}
    return Recorded(
        row["id"], outcome=outcome, reason=reason, grade=grade, warnings=warnings, **told
    )


def give_back(connection: sa.Connection, held: Sequence[Claim], wait_seconds: float = 0.0) -> int:
    """Return jobs untouched, at a stop or for a while: running -> queued, the attempt is not counted."""
    later = {"available_at": epoch_now() + wait_seconds} if wait_seconds else {}
    returned = settle(connection, held, JobState.QUEUED, attempts=job.c.attempts - 1, **later)
    back = [one for one in held if one.job_id in returned]
    audit.append(
        connection,
        *(audit.Entry("job.given_back", "job", one.job_id, digest=one.digest) for one in back),
    )
    return len(back)


def of(cameras: Sequence[str]) -> sa.ColumnElement[bool]:
    """Pick the jobs of some cameras; of all, where none is named."""
    return job.c.camera_id.in_(cameras) if cameras else sa.true()


def rescue(connection: sa.Connection, *, expired_only: bool, mine: Sequence[str] = ()) -> int:
    """Take back jobs whose worker is gone: running -> queued with the attempt counted, or -> failed at the limit.

    With `expired_only` false every running job, or every one of `mine`, is taken back: only for whoever holds them.
    """
    running = (
        sa.select(job).where(job.c.state == JobState.RUNNING).with_for_update(skip_locked=True)
    )
    rows = connection.execute(
        running.where(job.c.lease_until < epoch_now() if expired_only else of(mine))
    ).all()
    spent = [row for row in rows if retry_policy.is_exhausted(row.attempts)]
    back = [row for row in rows if not retry_policy.is_exhausted(row.attempts)]
    free = {"token": None, "lease_until": None}
    if back:
        ids = [row.id for row in back]
        connection.execute(
            sa.update(job).where(job.c.id.in_(ids)).values(state=JobState.QUEUED, **free)
        )
        _note(connection, "job.reclaimed", back)
    if spent:
        reason = Reason.ATTEMPTS_EXHAUSTED
        columns = {
            "reason": reason,
            "action": reason.action,
            "error": "every attempt ended with the process",
        }
        ids = [row.id for row in spent]
        connection.execute(
            sa.update(job).where(job.c.id.in_(ids)).values(state=JobState.FAILED, **columns, **free)
        )
        _audit_failed(connection, ids, reason)
    return len(rows)


def renew(connection: sa.Connection, mine: Sequence[str] = ()) -> None:
    """Let the leases of all running jobs, or of all of `mine`, begin anew: only for whoever holds them."""
    running = sa.update(job).where(job.c.state == JobState.RUNNING, of(mine))
    connection.execute(running.values(lease_until=epoch_now() + LEASE_SECONDS))


def reopen(connection: sa.Connection, ids: Sequence[int]) -> int:
    """Queue failed jobs again with all their attempts: failed -> queued; return how many."""
    again = (
        sa.update(job)
        .where(among(ids, JobState.FAILED))
        .values(
            state=JobState.QUEUED,
            attempts=0,
            available_at=0.0,
            reason=None,
            action=None,
            error=None,
        )
        .returning(job.c.id, job.c.digest, job.c.attempts, job.c.release_id)
    )
    rows = connection.execute(again).all()
    _note(connection, "job.retried", rows)
    return len(rows)


def in_turns(queues: Sequence[Sequence[T]]) -> list[T]:
    """Take the first of each queue, then the second of each, until all are empty.

    >>> in_turns(["aaa", "b", "cc"])
    ['a', 'b', 'c', 'a', 'c', 'a']
    """
    rounds = zip_longest(*([[item] for item in queue] for queue in queues), fillvalue=())
    return list(chain.from_iterable(chain.from_iterable(rounds)))
