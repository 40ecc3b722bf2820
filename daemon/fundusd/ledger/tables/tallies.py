"""The table of running counts."""

from __future__ import annotations

import sqlalchemy as sa

from fundusd.ledger.tables.columns import metadata

# kept up to date by triggers, so that `status` need not count a year's rows
tally = sa.Table(
    "tally",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),  # job, result, capture
    sa.Column("value", sa.Text, primary_key=True),  # a job's state, a result's outcome, all
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.CheckConstraint("count >= 0", name="count"),
)
