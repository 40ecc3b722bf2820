"""Let readings follow their photographs, and photographs their files."""

import orjson
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    op.execute(f"ALTER TABLE capture ADD COLUMN moved_to {'INTEGER' if is_sqlite else 'BIGINT'}")
    is_moved = sa.text("moved_to IS NOT NULL")
    op.create_index(
        "ix_capture_moved_to",
        "capture",
        ["moved_to"],
        sqlite_where=is_moved,
        postgresql_where=is_moved,
    )
    op.create_table(
        "review_photograph",
        sa.Column(
            "review_id", BIG_ID, sa.ForeignKey("review.id"), primary_key=True, autoincrement=False
        ),
        sa.Column("digest", sa.Text, primary_key=True),
    )
    op.create_index("ix_review_photograph_digest", "review_photograph", ["digest"])
    _moves()
    _photographs()


def _moves() -> None:
    """Fill in where files were moved, from the audit chain."""
    rows = op.get_bind().execute(
        sa.text("SELECT entity_id, detail FROM audit_event WHERE event = 'capture.moved'")
    )
    moves = []
    for row in rows:
        detail = orjson.loads(row.detail) if isinstance(row.detail, str | bytes) else row.detail
        moves.append({"moved_to": int(row.entity_id), "at_id": detail["from_capture"]})
    if moves:
        update = sa.text("UPDATE capture SET moved_to = :moved_to WHERE id = :at_id")
        op.get_bind().execute(update, moves)


def _photographs() -> None:
    """Fill in the photographs of each review: those that the eye had when it was recorded."""
    op.execute(
        """
        INSERT INTO review_photograph (review_id, digest)
        SELECT DISTINCT r.id, c.digest
        FROM review r
        JOIN capture c ON c.exam_id = r.exam_id
        WHERE coalesce(c.corrected_eye, c.eye) = r.eye AND c.received_at <= r.created_at
        """
    )
