"""Keep the other day that the sources of a photograph name."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("ALTER TABLE capture ADD COLUMN other_acquired_day TEXT")
