"""The table of the audit trail."""

from __future__ import annotations

import sqlalchemy as sa

from fundusd.ledger.tables.columns import BigId, metadata, partial_index

audit_event = sa.Table(
    "audit_event",
    metadata,
    sa.Column("seq", BigId, primary_key=True, autoincrement=False),
    # text on both databases, because the hash covers these bytes
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),  # DICOM PS3.15 event id
    sa.Column("action", sa.Text, nullable=False),  # C R U D E
    sa.Column("outcome", sa.Integer, nullable=False),  # 0 4 8 12
    sa.Column("actor_kind", sa.Text, nullable=False),
    sa.Column("actor_id", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("entity_kind", sa.Text),
    sa.Column("entity_id", BigId),
    sa.Column("patient_key", sa.Text),
    sa.Column("release_id", BigId),
    sa.Column("digest", sa.Text),
    sa.Column("detail", sa.Text, nullable=False),  # canonical JSON of whitelisted keys
    sa.Column("prev_hash", sa.LargeBinary, nullable=False),
    sa.Column("row_hash", sa.LargeBinary, nullable=False),
)
STARTED: sa.ColumnElement[bool] = audit_event.c.event == sa.literal_column("'application.started'")
partial_index(audit_event, "ix_audit_event_started", "seq", STARTED)
partial_index(
    audit_event,
    "ix_audit_event_patient_key",
    "patient_key seq",
    audit_event.c.patient_key.isnot(None),
)
