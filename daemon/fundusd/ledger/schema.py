"""Create, upgrade and check the schema, which is the same on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from fundusd.domain.errors import LedgerError, SchemaBehind
from fundusd.files import package_data
from fundusd.ledger import database_troubles, foreign_tables, views

if TYPE_CHECKING:
    from alembic.config import Config

    from fundusd.ledger.database import Database
    from fundusd.ledger.path_metadata import PathMetadata

GUARDS = {
    "sqlite": frozenset({"audit_event_no_update", "audit_event_no_delete", "audit_event_next_seq"}),
    "postgresql": frozenset({"audit_event_no_update", "audit_event_no_delete"}),
}
_TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_event'",
    "postgresql": "SELECT tgname FROM pg_trigger "
    "WHERE tgrelid = CAST('audit_event' AS regclass) AND tgenabled = 'A'",
}
_VERSION = "alembic_version"
_UPGRADE = "Run: fundusd db upgrade"


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(package_data.folder("migrations")))
    return config


def _known() -> list[str]:
    """Return the schema revisions that this program knows, oldest first.

    The revisions are taken from the names of the migration files, because importing alembic would
    take longer than most commands.
    """
    versions = package_data.folder("migrations") / "versions"
    return sorted(path.name.partition("_")[0] for path in versions.glob("[0-9]*_*.py"))


def newest() -> str:
    """Return the schema revision that this program needs."""
    revisions = _known()
    if not revisions:
        raise LedgerError("This installation has no migrations.", hint="Install fundusd again.")
    return revisions[-1]


def current(connection: sa.Connection) -> str | None:
    """Return the schema revision of the database, or None if the database is empty.

    Raises LedgerError if this role may not look into any schema, so that no table can be seen, or
    LedgerUnfit if the tables are those of another program.
    """
    if not sa.inspect(connection).has_table(_VERSION):
        is_postgres = connection.dialect.name == "postgresql"
        if is_postgres and connection.scalar(sa.select(sa.func.current_schema())) is None:
            raise database_troubles.as_error(database_troubles.LACKS_RIGHTS, connection.engine.url)
        foreign_tables.require_none(connection)
        return None
    revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return revision


def is_empty(database: Database) -> bool:
    """Return whether a database has no schema, or is a SQLite file that does not exist."""
    if database.is_absent:
        return True
    with database.reading() as connection:
        return current(connection) is None


class Upgrade(NamedTuple):
    """The schema revisions before and after an upgrade, and what it changed."""

    before: str | None
    after: str
    judged_exams: int = 0  # by the rules of this program, because they were judged by older ones
    changed_exams: int = 0  # of these, those of which the result of an eye or the person changed
    regrouped_exams: int = 0  # exams with photographs that belong to others
    queued_documents: int = 0  # about these, because what receivers were sent is not right any more


def upgrade(database: Database, paths: PathMetadata) -> Upgrade:
    """Bring tables, views and the results of exams up to date in one transaction.

    `paths` reads the days that names give, which older versions ignored without a time.
    Raises SchemaBehind and changes nothing if the database was made by a newer release or by a
    development version.
    """
    from alembic import command

    from fundusd.ledger import rejudging
    from fundusd.ledger.views.replace import replaced

    config = _config()
    with database.writing() as connection:
        before = current(connection)
        if before is not None:
            _require_known(connection, before)
        config.attributes["connection"] = connection
        with replaced(connection):
            command.upgrade(config, "head")
        if before is None or before == newest():
            return Upgrade(before, newest())
        return Upgrade(before, newest(), *rejudging.rejudge_all(connection, paths, before))


def check(connection: sa.Connection) -> str:
    """Check that this program can work with the schema, and return the schema's revision.

    Raises SchemaBehind if this program cannot work with the schema. Raises LedgerError if a guard
    of the audit trail is missing.
    """
    if not _may_read_tables(connection):
        return _check_views(connection)
    revision, needed = current(connection), newest()
    if revision is None:
        raise SchemaBehind("The database has no fundusd schema yet.", hint=_UPGRADE)
    _require_known(connection, revision)
    if revision != needed:
        raise SchemaBehind(
            f"The database schema is at {revision}, this program needs {needed}.", hint=_UPGRADE
        )
    if views.installed_digest(connection) != views.digest():
        raise SchemaBehind("The views in the database are not current.", hint=_UPGRADE)
    if missing := GUARDS[connection.dialect.name] - _triggers(connection):
        raise LedgerError(
            f"The audit guard is missing from the database: {', '.join(sorted(missing))}.",
            hint="Someone removed it. Run: fundusd audit verify, "
            "and restore the database from a backup.",
        )
    return revision


def _may_read_tables(connection: sa.Connection) -> bool:
    """Return False if a role of PostgreSQL may read the views at most."""
    if connection.dialect.name == "sqlite" or not sa.inspect(connection).has_table(_VERSION):
        return True
    may_read = sa.func.has_table_privilege(_VERSION, "SELECT")
    return bool(connection.scalar(sa.select(may_read)))


def _check_views(connection: sa.Connection) -> str:
    """Check the views for a role that may not read the tables; return the schema's revision."""
    if views.installed_digest(connection) != views.digest():
        raise SchemaBehind("The views in the database are not current.", hint=_UPGRADE)
    return newest()


def _require_known(connection: sa.Connection, revision: str) -> None:
    """Raise SchemaBehind if a development version or a newer release made the database."""
    if views.installed_digest(connection) is None:  # every release stores it
        foreign_tables.require_none(connection)
        raise SchemaBehind(
            f"A development version of fundusd made this database (schema {revision}).",
            hint="Export what you need with that version (fundusd results --csv), "
            "then start with a new database.",
        )
    if revision not in _known():
        raise SchemaBehind(
            f"The database schema ({revision}) is newer than this program ({newest()}).",
            hint="Install the fundusd that made it, or a later one.",
        )


def _triggers(connection: sa.Connection) -> set[str]:
    return set(connection.exec_driver_sql(_TRIGGERS[connection.dialect.name]).scalars())
