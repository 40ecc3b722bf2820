"""Keep the other patient whom the sources of a photograph name."""

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
