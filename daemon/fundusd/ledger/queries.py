"""Read-only queries for the state of files, jobs and cameras."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.clinical_terms import Outcome
from fundusd.domain.files import IgnoreReason, Stat
from fundusd.domain.jobs import JobState
from fundusd.ledger import camera_orientations, daemons, delivery_list, receiver_outages, views
from fundusd.ledger.database import epoch_now, picked, rows_as_dicts
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB
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

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Account:
    """The information that the ledger has stored about a file in an inbox."""

    stat: Stat
    ignored: IgnoreReason | None
    state: JobState | None
    outcome: Outcome | None
    reason: str | None


def accounts(connection: sa.Connection, camera_id: str, directory: bytes) -> dict[bytes, Account]:
    """Return, by name, the accounts of the files that are present in a directory."""
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
        .outerjoin(result, IS_RESULT_OF_JOB)
        .where(
            sighting.c.camera_id == camera_id,
            sighting.c.directory == directory,
            sighting.c.missing_since.is_(None),
        )
    )
    by_name: dict[bytes, Account] = {}
    for row in connection.execute(query):
        by_name[bytes(row.name)] = _account(row)
    return by_name


def _account(row: Any) -> Account:
    return Account(
        stat=Stat(row.size, row.mtime_ns, row.ctime_ns, row.inode),
        ignored=IgnoreReason(row.ignored) if row.ignored else None,
        state=JobState(row.state) if row.state else None,
        outcome=Outcome(row.outcome) if row.outcome else None,
        reason=row.result_reason or row.reason,
    )


# -- status


def status(connection: sa.Connection) -> dict[str, Any]:
    """Return the state of the service, as shown by `fundusd status`.

    The state consists of the counts of jobs, results and captures, the age of the oldest open job,
    the cameras, the outbox, the last canary, the model and the dropped log lines.
    """
    counts: dict[tuple[str, str], int] = {}
    for kind, value, count in connection.execute(sa.select(*tally.c["kind", "value", "count"])):
        counts[kind, value] = count
    job_counts, result_counts = {}, {}
    for state in JobState:
        job_counts[state.value] = counts.get(("job", state), 0)
    for outcome in Outcome:
        if outcome is not Outcome.FAILED:
            result_counts[outcome.value] = counts.get(("result", outcome), 0)
    canary = daemons.last_canary(connection)
    return {
        "jobs": job_counts,
        "failed_replaced": _failed_replaced(connection),
        "results": result_counts,
        "captures": counts.get(("capture", "all"), 0),
        **_oldest_waiting(connection),
        "cameras": _cameras(connection),
        "outbox": delivery_list.counts(connection),
        "receivers_away": _receivers_away(connection),
        "canary": None if canary is None else asdict(canary),
        "model": _model(connection),
        "log_lost": daemons.last_log_loss(connection),
    }


def status_of_views(connection: sa.Connection) -> dict[str, Any]:
    """Return the part of `status` that the views show, for a role that may read no table.

    "captures" and "results" count captures whose files were not replaced. Facts that only tables
    contain have no keys.
    """
    outcome = views.column("outcome")
    query = sa.select(outcome, sa.func.count()).select_from(sa.table("v_result"))
    results: dict[str, int] = {}
    for value, count in connection.execute(
        query.where(~views.column("superseded")).group_by(outcome)
    ):
        results[value or "waiting"] = count
    since = sa.select(sa.func.min(views.column("waiting_since")))
    oldest = connection.scalar(since.select_from(sa.table("v_backlog")))
    names = ("last_sweep_at", "offline_since", "offline_reason")
    cameras = sa.select(views.column("camera_id").label("id"), *map(views.column, names))
    return {
        "captures": sum(results.values()),
        "results": results,
        **_waiting_since(connection, oldest),
        "cameras": rows_as_dicts(
            connection, cameras.select_from(sa.table("v_camera")).order_by("id")
        ),
    }


def _failed_replaced(connection: sa.Connection) -> int:
    """Return how many jobs have failed whose files have all been replaced or moved since."""
    of_job = sa.exists().where(capture.c.job_id == job.c.id)
    query = sa.select(sa.func.count()).where(
        job.c.state == JobState.FAILED, of_job, ~of_job.where(capture.c.superseded.is_(False))
    )
    return connection.execute(query).scalar_one()


def _receivers_away(connection: sa.Connection) -> dict[str, dict[str, Any]]:
    outages: dict[str, dict[str, Any]] = {}
    for receiver, outage in receiver_outages.receivers_away(connection).items():
        outages[receiver] = asdict(outage)
    return outages


def _oldest_waiting(connection: sa.Connection) -> dict[str, Any]:
    """Return when the oldest open job was created, and its age in seconds."""
    created: list[datetime] = []
    for state in (JobState.QUEUED, JobState.RUNNING):
        query = sa.select(job.c.created_at).where(job.c.state == state)
        oldest = connection.scalar(query.order_by(job.c.created_at).limit(1))
        if oldest is not None:
            created.append(oldest)
    return _waiting_since(connection, min(created, default=None))


def _waiting_since(connection: sa.Connection, oldest: datetime | None) -> dict[str, Any]:
    """Return a time and its age in seconds, which is 0 if the clock was ahead then."""
    if oldest is None:
        return {"oldest_waiting_seconds": None, "oldest_waiting_since": None}
    now = float(connection.scalar(sa.select(epoch_now())) or 0)
    seconds = max(0.0, round(now - oldest.timestamp(), 1))
    return {"oldest_waiting_seconds": seconds, "oldest_waiting_since": oldest}


def _model(connection: sa.Connection) -> dict[str, Any] | None:
    query = sa.select(*release.c["id", "model", "revision", "dtype", "referable_rule"])
    query = query.where(release.c.id == daemons.release_at_work(connection))
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else dict(row)


def _cameras(connection: sa.Connection) -> list[dict[str, Any]]:
    query = sa.select(
        incomplete.c.camera_id,
        sa.func.count().label("files"),
        sa.func.count(incomplete.c.quarantined_at).label("quarantined"),
        sa.func.min(incomplete.c.since).label("since"),
    ).group_by(incomplete.c.camera_id)
    waits: dict[str, dict[str, Any]] = {}
    for row in connection.execute(query).mappings():
        waits[row["camera_id"]] = picked(row, ("files", "quarantined", "since"))
    cameras = []
    for row in connection.execute(sa.select(camera).order_by(camera.c.id)).mappings():
        columns = picked(row, ("id", "last_sweep_at", "offline_since", "offline_reason"))
        report = orjson.loads(row["last_sweep"] or "{}")
        orientation = asdict(camera_orientations.learn_row(row))
        derived = {"incomplete": waits.get(row["id"]), "orientation": orientation}
        cameras.append(columns | report | derived)
    return cameras


def identifiers_held(connection: sa.Connection) -> tuple[int, int]:
    """Return the numbers of captures and of results that contain a patient id in clear text."""
    captures = sa.select(sa.func.count()).where(capture.c.patient_id.is_not(None))
    results = sa.select(sa.func.count()).where(result.c.content.contains('"patient_id":"'))
    return connection.execute(captures).scalar_one(), connection.execute(results).scalar_one()
