"""Create and check the schema; one migration history for both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from fundusd.domain.errors import LedgerError, SchemaBehind
from fundusd.files import package_data

if TYPE_CHECKING:
    from alembic.config import Config

    from fundusd.ledger.database import Database

GUARDS = {
    "sqlite": frozenset({"audit_event_no_update", "audit_event_no_delete", "audit_event_next_seq"}),
    "postgresql": frozenset({"audit_event_no_update", "audit_event_no_delete"}),
}


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(package_data.folder("migrations")))
    return config


def _known() -> list[str]:
    """List the revisions this program has, oldest first: our migrations begin with theirs, 0001 and on.

    Read off the names, since alembic takes longer to import than most commands to answer.
    """
    names = package_data.folder("migrations") / "versions"
    return sorted(path.name.partition("_")[0] for path in names.glob("[0-9]*_*.py"))


def newest() -> str:
    """Return the schema revision that this program needs."""
    revisions = _known()
    if not revisions:
        raise LedgerError("This installation holds no migrations.", hint="Install fundusd again.")
    return revisions[-1]


def current(connection: sa.Connection) -> str | None:
    """Return the schema revision of the database, None for an empty one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the schema to the newest revision in one transaction; return revisions before and after."""
    from alembic import command

    config = _config()
    with database.writing() as connection:
        before = current(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return before, newest()


def check(connection: sa.Connection) -> str:
    """Return the schema's revision; raises SchemaBehind, or LedgerError when it is newer or unguarded."""
    found, wanted = current(connection), newest()
    if found is None:
        raise SchemaBehind(
            "The database holds no fundusd schema yet.", hint="Run: fundusd db upgrade"
        )
    if found != wanted:
        if found not in _known():
            raise SchemaBehind(
                f"The database schema ({found}) is newer than this program ({wanted}).",
                hint="Install the fundusd that made it, or a later one.",
            )
        raise SchemaBehind(
            f"The database schema is at {found}, this program needs {wanted}.",
            hint="Run: fundusd db upgrade",
        )
    if missing := GUARDS[connection.dialect.name] - _triggers(connection):
        raise LedgerError(
            f"The audit guard is missing from the database: {', '.join(sorted(missing))}.",
            hint="Someone removed it. Run: fundusd audit verify, and restore the database from a backup.",
        )
    return found


def _triggers(connection: sa.Connection) -> set[str]:
    query = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_event'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE tgrelid = 'audit_event'::regclass AND tgenabled = 'A'",
    }[connection.dialect.name]
    return set(connection.scalars(sa.text(query)))
