"""Record and read the starts and stops of daemons, and the self-tests of the model."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.errors import LedgerError, LedgerReplaced
from fundusd.ledger import audit
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database_troubles import restore_hint
from fundusd.ledger.tables import STARTED, audit_event, camera, job

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from fundusd.domain.inference import SelfTestResult
    from fundusd.ledger.transactions import Recording

_CANARY = (AuditEvent.MODEL_VERIFIED, AuditEvent.MODEL_REFUSED)
_NEWEST_EVENTS = 50_000  # audit events: without an index, only the newest are searched


@dataclass(frozen=True, slots=True)
class Canary:
    """The result of a self-test of the model on known phantoms."""

    at: str  # UTC, ISO 8601
    release_id: int
    passed: bool
    cosine: float | None

    def vouches_for(self, release_id: int) -> bool:
        """Return whether the given release passed this self-test."""
        return self.passed and self.release_id == release_id


# -- what a daemon records


def started(recording: Recording, version: str) -> int:
    """Record that a daemon started, and return the number of the audit event."""
    _append(recording, AuditEvent.APPLICATION_STARTED, {"version": version})
    return last_start(recording.connection)


def stopped(recording: Recording) -> None:
    """Record that the daemon ended normally."""
    _append(recording, AuditEvent.APPLICATION_STOPPED, {})


def model_verified(recording: Recording, result: SelfTestResult) -> None:
    """Record that the model passed its self-test on known phantoms."""
    _append(recording, AuditEvent.MODEL_VERIFIED, result._asdict())


def model_refused(recording: Recording, problem: str) -> None:
    """Record that the model must not grade, and why.

    At the next start, the model is tested thoroughly.
    """
    _append(recording, AuditEvent.MODEL_REFUSED, {"problem": problem})


def log_lost(recording: Recording, count: int, since: datetime) -> None:
    """Record that `count` log lines were dropped since the start, the first of them at `since`."""
    detail = {"count": count, "since": since.isoformat(timespec="seconds")}
    _append(recording, AuditEvent.LOG_LOST, detail)


def _append(recording: Recording, event: AuditEvent, detail: dict[str, Any]) -> None:
    entry = audit.Entry(event, release_id=recording.release_id, detail=detail)
    audit.append(recording.connection, entry)


# -- starts and releases


def require_newest(connection: sa.Connection, cameras: Sequence[str], started: int) -> None:
    """Raise LedgerError if the last start of a daemon for these cameras is not `started`.

    Raises LedgerReplaced if the database does not know this start, so that it is an older copy.
    """
    newest = last_start(connection, cameras)
    if newest < started:
        raise LedgerReplaced(
            "The database was replaced by an older copy while this daemon was running.",
            hint="The service ends, and starts again on the copy, into which the log of"
            f" the old one may be mixed. {restore_hint(connection.engine.url)}",
        )
    if newest > started:
        raise LedgerError(
            "Another fundusd took over while the database was unavailable.",
            hint="This daemon restarts and stands by.",
        )


def last_start(connection: sa.Connection, cameras: Sequence[str] = ()) -> int:
    """Return the number of the audit event of the last start, or 0 if there was no start.

    If `cameras` is not empty, only the starts of daemons that work for these cameras count.
    """
    if cameras:
        query = sa.select(sa.func.max(camera.c.started)).where(camera.c.id.in_(cameras))
    else:
        query = sa.select(audit_event.c.seq).where(STARTED)
        query = query.order_by(audit_event.c.seq.desc()).limit(1)
    return connection.scalar(query) or 0


def release_at_work(connection: sa.Connection) -> int:
    """Return the release under which a daemon last started, or 0 if none has ever started."""
    query = sa.select(audit_event.c.release_id).where(STARTED)
    return connection.scalar(query.order_by(audit_event.c.seq.desc()).limit(1)) or 0


def by_release(connection: sa.Connection, job_ids: Sequence[int]) -> dict[int, Sequence[int]]:
    """Return the ids of jobs, grouped by release.

    The release of a job is that of the daemon that works for the job's camera.
    """
    at_work = release_at_work(connection)
    if connection.dialect.name == "sqlite":
        # one daemon works for all cameras, even for those that are no longer in its settings
        return {at_work: job_ids}
    query = (
        sa.select(job.c.id, camera.c.release_id)
        .outerjoin(camera, camera.c.id == job.c.camera_id)
        .where(job.c.id.in_(job_ids))
        .order_by(job.c.id)
    )
    groups: dict[int, list[int]] = {}
    for row in connection.execute(query):
        groups.setdefault(row.release_id or at_work, []).append(row.id)
    return dict(groups)


# -- the model's last canary


def last_canary(connection: sa.Connection, host: str | None = None) -> Canary | None:
    """Return the last canary, or None if there is no recent canary.

    If `host` is given, only canaries on that host count.
    """
    newest = connection.scalar(sa.select(sa.func.max(audit_event.c.seq))) or 0
    query = sa.select(audit_event).where(
        audit_event.c.seq > newest - _NEWEST_EVENTS, audit_event.c.event.in_(_CANARY)
    )
    if host is not None:
        query = query.where(audit_event.c.host == host)
    row = connection.execute(query.order_by(audit_event.c.seq.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    cosine = orjson.loads(row.detail).get("cosine")
    return Canary(row.at, row.release_id, row.event == AuditEvent.MODEL_VERIFIED, cosine)


def last_log_loss(connection: sa.Connection) -> dict[str, Any] | None:
    """Return the count of log lines dropped since the last start, and since when; None if none."""
    newest = connection.scalar(sa.select(sa.func.max(audit_event.c.seq))) or 0
    query = sa.select(audit_event.c.detail).where(
        audit_event.c.seq > max(newest - _NEWEST_EVENTS, last_start(connection)),
        audit_event.c.event == AuditEvent.LOG_LOST,
    )
    detail = connection.scalar(query.order_by(audit_event.c.seq.desc()).limit(1))
    return None if detail is None else dict(orjson.loads(detail))


def is_in_doubt(connection: sa.Connection, release_id: int) -> bool:
    """Return whether the model is in doubt under a release.

    The model is in doubt if the last canary failed, whichever host it ran on. It is also in doubt
    if the last canary on this host tested another release.
    """
    newest = last_canary(connection)
    if newest is not None and not newest.passed:
        return True
    here = last_canary(connection, socket.gethostname())  # other hosts may share the database
    return here is not None and not here.vouches_for(release_id)
