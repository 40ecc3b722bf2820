"""Databases as older versions left them, for tests of upgrades."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command
from tests import ledger_cases as cases

from fundusd.ledger import schema
from fundusd.ledger.tables import metadata

if TYPE_CHECKING:
    from fundusd.ledger import Ledger


def upgrade_to(ledger: Ledger, revision: str) -> None:
    """Upgrade to a revision, as the program did that had it as its newest; without its views."""
    config = schema._config()
    with ledger.database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.exec_driver_sql("CREATE VIEW view_digest AS SELECT 'older' AS digest")


def copy(source: Ledger, target: Ledger) -> None:
    """Write rows as the program with the target's revision would: only the columns it has."""
    with target.database.writing() as connection:
        known = sa.inspect(connection)
        for table in metadata.sorted_tables:
            if table.name == "tally" or not known.has_table(table.name):  # triggers count
                continue
            columns = [column["name"] for column in known.get_columns(table.name)]
            for row in cases.rows(source, table):
                connection.execute(sa.insert(table).values({name: row[name] for name in columns}))
            has_sequence = "id" in columns and table.name not in {"camera", "site"}
            if has_sequence and connection.dialect.name == "postgresql":
                connection.execute(sa.text(f"SELECT setval('{table.name}_id_seq', 100)"))
