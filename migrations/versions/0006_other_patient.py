"""Keep the other patient whom the sources of a photograph name, and what has ever been final."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE capture ADD COLUMN other_patient_id TEXT")
    op.execute("ALTER TABLE capture ADD COLUMN other_patient_key TEXT")
    is_named = sa.text("other_patient_key IS NOT NULL")
    op.create_index(
        "ix_capture_other_patient",
        "capture",
        ["other_patient_key"],
        sqlite_where=is_named,
        postgresql_where=is_named,
    )
    is_sqlite = op.get_context().dialect.name == "sqlite"
    flag = "BOOLEAN DEFAULT false NOT NULL"
    if is_sqlite:
        flag = (
            "BOOLEAN DEFAULT 0 NOT NULL "
            "CONSTRAINT ck_sent_document_has_been_final CHECK (has_been_final IN (0, 1))"
        )
    op.execute(f"ALTER TABLE sent_document ADD COLUMN has_been_final {flag}")
    # what was withdrawn before may have been final
    op.execute("UPDATE sent_document SET has_been_final = true WHERE status <> 'preliminary'")
