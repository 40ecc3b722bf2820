"""What a test does to a database behind the daemon's back."""

from __future__ import annotations

import sqlalchemy as sa

END_SESSIONS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE application_name = 'fundusd' AND datname = current_database()"
)


def sql(url: str, statement: str) -> None:
    """Run one statement."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()
