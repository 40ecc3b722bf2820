"""Cameras take turns, counts are kept instead of counted, and no query of the daemon's walks through history."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# what is counted: table, kind, and the column that tells apart (None: all rows are one)
COUNTED = (("job", "job", "state"), ("result", "result", "outcome"), ("capture", "capture", None))


def upgrade() -> None:
    _turns()
    _sightings()
    _tallies()
    op.create_index(
        "ix_audit_event_started",
        "audit_event",
        ["seq"],
        sqlite_where=sa.text("event = 'application.started'"),
        postgresql_where=sa.text("event = 'application.started'"),
    )


def _turns() -> None:
    # SQLite adds no foreign key to a column that may not be NULL
    op.add_column("job", sa.Column("camera_id", sa.Text(), nullable=False, server_default=""))
    op.execute("""UPDATE job SET camera_id = coalesce(
        (SELECT c.camera_id FROM capture c WHERE c.job_id = job.id ORDER BY c.id LIMIT 1), '')""")
    op.drop_index("ix_job_claim", "job")
    op.drop_index("ix_job_lease", "job")
    op.create_index(
        "ix_job_claim", "job", ["state", "camera_id", "lane", "attempts", "position", "id"]
    )
    op.create_index("ix_job_since", "job", ["state", "created_at"])


def _sightings() -> None:
    for name, columns, where in (
        ("ix_sighting_present", ["camera_id", "directory"], "missing_since IS NULL"),
        ("ix_sighting_missing", ["camera_id", "inode", "mtime_ns"], "missing_since IS NOT NULL"),
    ):
        op.create_index(
            name, "sighting", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )


def _tallies() -> None:
    op.create_table(
        "tally",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", name=op.f("pk_tally")),
        sa.CheckConstraint("count >= 0", name=op.f("ck_tally_count")),
    )
    triggers = _sqlite if op.get_context().dialect.name == "sqlite" else _postgres
    for table, kind, column in COUNTED:
        value = column or "'all'"
        op.execute(f"INSERT INTO tally SELECT '{kind}', {value}, count(*) FROM {table} GROUP BY 2")  # noqa: S608
        for statement in triggers(table, kind, column):
            op.execute(statement)


def _sqlite(table: str, kind: str, column: str | None) -> list[str]:
    def value(row: str) -> str:
        return f"{row}.{column}" if column else "'all'"

    one_more = f"""INSERT INTO tally VALUES ('{kind}', {value("NEW")}, 1)
        ON CONFLICT (kind, value) DO UPDATE SET count = count + 1;"""  # noqa: S608
    one_less = (
        f"UPDATE tally SET count = count - 1 WHERE kind = '{kind}' AND value = {value('OLD')};"  # noqa: S608
    )
    statements = [
        f"CREATE TRIGGER {table}_tally_insert AFTER INSERT ON {table} BEGIN {one_more} END",
        f"CREATE TRIGGER {table}_tally_delete AFTER DELETE ON {table} BEGIN {one_less} END",
    ]
    if column:
        statements.append(
            f"""CREATE TRIGGER {table}_tally_update AFTER UPDATE OF {column} ON {table}
                WHEN OLD.{column} <> NEW.{column} BEGIN {one_less} {one_more} END"""
        )
    return statements


def _postgres(table: str, kind: str, column: str | None) -> list[str]:
    """Count once per statement: a row at a time would write one tally over and over."""
    value = column or "'all'"
    more = f"SELECT {value} AS value, 1 AS change FROM new_rows"  # noqa: S608
    less = f"SELECT {value} AS value, -1 AS change FROM old_rows"  # noqa: S608
    changes = {
        "insert": (more, "REFERENCING NEW TABLE AS new_rows"),
        "delete": (less, "REFERENCING OLD TABLE AS old_rows"),
    }
    if column:
        changes["update"] = (
            f"{more} UNION ALL {less}",
            "REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows",
        )
    statements = []
    for event, (change, seen) in changes.items():
        name = f"{table}_tally_{event}"
        statements += [
            # two statements: the CHECK would look at a negative row before ON CONFLICT makes it a sum
            f"""CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                INSERT INTO tally SELECT '{kind}', value, 0 FROM ({change}) AS c GROUP BY value
                ORDER BY value ON CONFLICT DO NOTHING;
                UPDATE tally SET count = count + c.change
                FROM (SELECT value, sum(change) AS change FROM ({change}) AS c GROUP BY value) AS c
                WHERE tally.kind = '{kind}' AND tally.value = c.value AND c.change <> 0;
                RETURN NULL; END $$""",  # noqa: S608
            f"""CREATE TRIGGER {name} AFTER {event.upper()} ON {table} {seen}
                FOR EACH STATEMENT EXECUTE FUNCTION {name}()""",
        ]
    return statements
