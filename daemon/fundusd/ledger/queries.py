"""What people and programs ask the ledger; reads only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from fundusd.domain.clinical_terms import Outcome
from fundusd.domain.files import IgnoreReason, Stat
from fundusd.domain.jobs import JobState
from fundusd.ledger import daemons, deliveries
from fundusd.ledger.database import epoch_now
from fundusd.ledger.tables import (
    camera,
    capture,
    incomplete,
    job,
    release,
    result,
    sighting,
    tally,
)

_WAITING = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Account:
    """How one file of an inbox stands in the ledger."""

    stat: Stat
    ignored: IgnoreReason | None
    state: JobState | None
    outcome: Outcome | None
    reason: str | None


def accounts(connection: sa.Connection, camera_id: str, directory: bytes) -> dict[bytes, Account]:
    """Return how each file of one directory stands, by name."""
    query = (
        sa.select(
            sighting,
            job.c.state,
            job.c.reason,
            result.c.outcome,
            result.c.reason.label("result_reason"),
        )
        .outerjoin(capture, capture.c.id == sighting.c.capture_id)
        .outerjoin(job, job.c.id == capture.c.job_id)
        .outerjoin(
            result,
            sa.and_(result.c.digest == job.c.digest, result.c.release_id == job.c.release_id),
        )
        .where(
            sighting.c.camera_id == camera_id,
            sighting.c.directory == directory,
            sighting.c.missing_since.is_(None),
        )
    )
    return {
        bytes(row.name): Account(
            stat=Stat(row.size, row.mtime_ns, row.ctime_ns, row.inode),
            ignored=IgnoreReason(row.ignored) if row.ignored else None,
            state=JobState(row.state) if row.state else None,
            outcome=Outcome(row.outcome) if row.outcome else None,
            reason=row.result_reason or row.reason,
        )
        for row in connection.execute(query)
    }


def status(connection: sa.Connection) -> dict[str, Any]:
    """Return counts by state, the oldest waiting job's age, the cameras' last sweeps and the release."""
    now = float(connection.scalar(sa.select(epoch_now())) or 0)
    counts = {
        (row["kind"], row["value"]): row["count"]
        for row in connection.execute(sa.select(tally)).mappings()
    }
    since = [at for state in _WAITING if (at := connection.scalar(_oldest(state))) is not None]
    at_work = sa.select(release).where(release.c.id == daemons.release_at_work(connection))
    made = connection.execute(at_work).mappings().one_or_none()
    outcomes = [outcome.value for outcome in Outcome if outcome is not Outcome.FAILED]
    return {
        "jobs": {state.value: counts.get(("job", state.value), 0) for state in JobState},
        "results": {outcome: counts.get(("result", outcome), 0) for outcome in outcomes},
        "captures": counts.get(("capture", "all"), 0),
        "oldest_waiting_seconds": max(0.0, round(now - min(since).timestamp(), 1))
        if since
        else None,
        "cameras": _cameras(connection),
        "outbox": deliveries.counts(connection),
        "canary": None if (canary := daemons.last_canary(connection)) is None else asdict(canary),
        "model": None
        if made is None
        else {key: made[key] for key in ("id", "model", "revision", "dtype")},
    }


def _oldest(state: JobState) -> sa.Select[Any]:
    return (
        sa.select(job.c.created_at).where(job.c.state == state).order_by(job.c.created_at).limit(1)
    )


def _cameras(connection: sa.Connection) -> list[dict[str, Any]]:
    of_files = (
        sa.func.count(),
        sa.func.count(incomplete.c.quarantined_at),
        sa.func.min(incomplete.c.since),
    )
    counts = sa.select(incomplete.c.camera_id, *of_files).group_by(incomplete.c.camera_id)
    waits = {
        row[0]: {"files": row[1], "quarantined": row[2], "since": row[3]}
        for row in connection.execute(counts)
    }
    rows = connection.execute(sa.select(camera).order_by(camera.c.id)).mappings()
    return [_camera(row) | {"incomplete": waits.get(row["id"])} for row in rows]


def _camera(row: Any) -> dict[str, Any]:
    report = orjson.loads(row["last_sweep"]) if row["last_sweep"] else {}
    own = {name: row[name] for name in ("id", "last_sweep_at", "offline_since", "offline_reason")}
    return own | report


def identifiers_held(connection: sa.Connection) -> tuple[int, int]:
    """Count the captures and results that hold a patient's identifier in clear."""
    captures = sa.select(sa.func.count()).where(capture.c.patient_id.is_not(None))
    results = sa.select(sa.func.count()).where(result.c.content.contains('"patient_id":"'))
    return connection.execute(captures).scalar_one(), connection.execute(results).scalar_one()
