"""Know the site: the identity of the database, and which site key its rows were made with."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

UTC_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "site",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text),
        sa.Column("adopted_at", UTC_TIME),
        sa.CheckConstraint("id = 1", name="single"),
    )
