"""Append the audit events of jobs to the chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.clinical_terms import Outcome
from fundusd.ledger import audit
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.recorded import Recorded, recorded
from fundusd.ledger.tables import capture, job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.domain.clinical_terms import Reason


def note(connection: sa.Connection, event: AuditEvent, rows: Sequence[Any]) -> None:
    """Append an audit event to the chain for each job row."""
    entries = []
    for row in rows:
        entry = audit.Entry(
            event,
            "job",
            row.id,
            release_id=row.release_id,
            digest=row.digest,
            detail={"attempts": row.attempts},
        )
        entries.append(entry)
    audit.append(connection, *entries)


def note_failed(
    connection: sa.Connection, which: sa.ColumnElement[bool], reason: Reason
) -> list[Recorded]:
    """Append an audit event for each capture of failed jobs, and return these captures."""
    query = (
        sa.select(capture, job.c.attempts, job.c.release_id.label("under")).join(job).where(which)
    )
    rows = connection.execute(query).mappings().all()
    entries = []
    for row in rows:
        detail = {
            "reason": reason.value,
            "attempts": row["attempts"],
            "eye": row["eye"],
            "job_id": row["job_id"],
            "capture_digest": audit.capture_digest(row),
        }
        entry = audit.Entry(
            AuditEvent.CAPTURE_FAILED,
            "capture",
            row["id"],
            row["patient_key"],
            row["under"],
            row["digest"],
            detail,
        )
        entries.append(entry)
    audit.append(connection, *entries)
    return [recorded(row, Outcome.FAILED, reason, None) for row in rows]
