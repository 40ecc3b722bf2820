"""The table of what identifies a site, which has one row from the first start of a daemon on."""

from __future__ import annotations

import sqlalchemy as sa

from fundusd.ledger.tables.columns import UTCTime, metadata

site = sa.Table(
    "site",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("identity", sa.Text, nullable=False),  # random; a copy of the database has the same
    sa.Column("key_id", sa.Text),  # a digest of the site key that its rows were made with
    sa.Column("adopted_at", UTCTime),  # by an operator, until the next start of a daemon
    sa.CheckConstraint("id = 1", name="single"),
)
