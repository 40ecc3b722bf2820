"""The tables of follow-ups and of corrections by people."""

from __future__ import annotations

import sqlalchemy as sa

from fundusd.domain.clinical_terms import Eye
from fundusd.domain.readings import CorrectionKind, FollowUpEnd, FollowUpKind
from fundusd.ledger.tables.columns import BigId, UTCTime, index, metadata, one_of, partial_index

# what has to happen for an eye that a reader could not grade; closing it fills the last columns
follow_up = sa.Table(
    "follow_up",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("exam_id", BigId, sa.ForeignKey("exam.id"), nullable=False),
    sa.Column("eye", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("review_id", BigId, sa.ForeignKey("review.id"), nullable=False),
    sa.Column("opened_at", UTCTime, nullable=False),
    sa.Column("closed_at", UTCTime),
    sa.Column("closed_by", sa.Text),
    sa.Column("closed_how", sa.Text),
    one_of("eye", Eye),
    one_of("kind", FollowUpKind),
    one_of("closed_how", FollowUpEnd),
    sa.CheckConstraint(
        "(closed_at IS NULL) = (closed_by IS NULL) AND (closed_at IS NULL) = (closed_how IS NULL)",
        name="closed",
    ),
)
index(follow_up, "ix_follow_up_exam_id", "exam_id eye")
partial_index(follow_up, "ix_follow_up_open", "opened_at", follow_up.c.closed_at.is_(None))

# what people corrected; rows are added, never changed, and the newest one about a thing counts
correction = sa.Table(
    "correction",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("exam_id", BigId, sa.ForeignKey("exam.id"), nullable=False),
    sa.Column("patient_key", sa.Text),  # of the exam: an absent eye is absent from all its exams
    sa.Column("capture_id", BigId, sa.ForeignKey("capture.id")),
    sa.Column("other_exam_id", BigId, sa.ForeignKey("exam.id")),
    sa.Column("eye", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("until", sa.Text),  # YYYY-MM-DD, the last day; NULL: for good
    sa.Column("reader", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    one_of("kind", CorrectionKind),
    one_of("eye", Eye),
)
index(correction, "ix_correction_exam_id", "exam_id")
partial_index(
    correction, "ix_correction_patient_key", "patient_key", correction.c.patient_key.isnot(None)
)
