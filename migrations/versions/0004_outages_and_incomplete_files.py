"""Outages and files that are not complete are written down; each camera knows which daemon works for it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

UTC_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
OFFLINE = "offline_reason IN ('missing', 'unreadable', 'empty', 'mass_disappearance')"

V_CAMERA = """
CREATE VIEW v_camera AS
SELECT id AS camera_id, registered_at, last_sweep_at, offline_since, offline_reason
FROM camera
"""
V_INCOMPLETE = """
CREATE VIEW v_incomplete AS
SELECT camera_id, path_text AS path, reason, size, since, quarantined_at
FROM incomplete
"""


def upgrade() -> None:
    # one by one, not in a batch: a batch would copy the table, and lose what it does not know of
    op.add_column("camera", sa.Column("place", sa.Text()))
    op.add_column("camera", sa.Column("offline_since", UTC_TIME))
    # by hand: SQLite takes a rule only along with its column
    rule = f"CONSTRAINT ck_camera_offline_reason CHECK ({OFFLINE})"
    op.execute(f"ALTER TABLE camera ADD COLUMN offline_reason TEXT {rule}")
    number = "INTEGER" if op.get_context().dialect.name == "sqlite" else "BIGINT"
    rule = "CONSTRAINT fk_camera_release_id_release REFERENCES release (id)"
    op.execute(f"ALTER TABLE camera ADD COLUMN release_id {number} {rule}")
    op.add_column(
        "camera", sa.Column("started", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.create_table(
        "incomplete",
        sa.Column("camera_id", sa.Text(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("path_text", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("since", UTC_TIME, nullable=False),
        sa.Column("quarantined_at", UTC_TIME),
        sa.CheckConstraint(
            "reason IN ('empty', 'changing', 'held', 'unreadable')",
            name=op.f("ck_incomplete_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["camera_id"], ["camera.id"], name=op.f("fk_incomplete_camera_id_camera")
        ),
        sa.PrimaryKeyConstraint("camera_id", "path", name=op.f("pk_incomplete")),
    )
    op.execute(V_CAMERA)
    op.execute(V_INCOMPLETE)
