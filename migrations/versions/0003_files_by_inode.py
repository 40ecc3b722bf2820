"""Renamed files are looked up by what they are: whether their old path is gone is then asked of the file system."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    missing = sa.text("missing_since IS NOT NULL")
    op.drop_index("ix_sighting_missing", "sighting", sqlite_where=missing, postgresql_where=missing)
    op.create_index("ix_sighting_file", "sighting", ["camera_id", "inode", "mtime_ns"])
