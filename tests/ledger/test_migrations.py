"""One migration history for both databases: it ends at the tables in code, also from rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests import ledger_cases as cases
from tests.upgrade_cases import copy, upgrade_to

from fundusd.domain.clinical_terms import Eye, Reason
from fundusd.domain.errors import LedgerError, SchemaBehind
from fundusd.files import package_data
from fundusd.ledger import Ledger, schema
from fundusd.ledger.tables import capture, exam, eye_result, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REVISIONS = [
    script.revision for script in ScriptDirectory.from_config(schema._config()).walk_revisions()
][::-1]


@pytest.fixture
def postgres_url(fresh_postgres_url: str) -> str:
    """Give each test a database of its own: several change the schema."""
    return fresh_postgres_url


@pytest.fixture
def empty(empty_store_url: str) -> Iterator[Ledger]:
    """Open a database that holds nothing."""
    opened = Ledger(empty_store_url, site_key=cases.SITE_KEY)
    yield opened
    opened.close()


@pytest.fixture
def migrated(store_url: str) -> Iterator[Ledger]:
    """Open a migrated database that holds no rows."""
    opened = Ledger(store_url, site_key=cases.SITE_KEY)
    yield opened
    opened.close()


def test_the_names_of_the_migrations_are_their_revisions_in_order() -> None:
    assert schema._known() == REVISIONS


def test_the_tables_in_code_and_the_migrated_database_do_not_differ(migrated: Ledger) -> None:
    with migrated.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_every_rule_of_the_tables_stands_in_the_migrated_database(migrated: Ledger) -> None:
    """Alembic compares no CHECKs."""
    inspector = sa.inspect(migrated.database.engine)
    for table in metadata.sorted_tables:
        wanted = {
            str(rule.name) for rule in table.constraints if isinstance(rule, sa.CheckConstraint)
        }
        if not migrated.database.is_sqlite:
            flags = {"capture_superseded", "capture_hinted", "exam_is_reviewed", "review_blinded"}
            flags |= {"review_stable_treated", "capture_belongs", "sent_document_has_been_final"}
            wanted -= {f"ck_{flag}" for flag in flags}  # a BOOLEAN needs no rule there
        assert {rule["name"] for rule in inspector.get_check_constraints(table.name)} == wanted, (
            table.name
        )


def test_every_rule_says_the_same_in_code_and_in_the_migration(
    tmp_path: Path, sqlite_url: str
) -> None:
    """Compare on SQLite, which keeps their text; the migration has one text for both."""
    empty = Ledger(f"sqlite:///{tmp_path / 'empty.db'}")
    with empty.database.creating():
        metadata.create_all(empty.database.engine)
    migrated = Ledger(sqlite_url)
    for table in metadata.sorted_tables:
        assert rules(migrated, table.name) == rules(empty, table.name)
    empty.close()
    migrated.close()


def rules(ledger: Ledger, table: str) -> dict[str | None, str]:
    """Return the text of each CHECK of a table by its name."""
    checks = sa.inspect(ledger.database.engine).get_check_constraints(table)
    return {check["name"]: check["sqltext"] for check in checks}


def test_an_empty_database_is_upgraded(empty: Ledger) -> None:
    assert empty.upgrade() == (None, REVISIONS[-1], 0, 0, 0, 0)
    assert empty.check() == REVISIONS[-1]
    assert empty.upgrade() == (REVISIONS[-1], REVISIONS[-1], 0, 0, 0, 0)


def test_a_schema_is_made_where_there_is_none_and_else_left_alone(empty: Ledger) -> None:
    empty.create_if_empty()
    assert empty.check() == REVISIONS[-1]
    cases.execute(empty, "UPDATE alembic_version SET version_num = '0000'")
    empty.create_if_empty()
    with pytest.raises(SchemaBehind):
        empty.check()


def test_an_empty_database_is_behind_and_the_hint_says_what_to_run(empty: Ledger) -> None:
    with pytest.raises(SchemaBehind, match="no fundusd schema") as caught:
        empty.check()
    assert "fundusd db upgrade" in caught.value.hint
    assert caught.value.exit_code == 78


def test_a_newer_schema_asks_for_a_newer_program(migrated: Ledger) -> None:
    cases.execute(migrated, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaBehind, match=r"9999.*newer") as caught:
        migrated.check()
    assert "Install" in caught.value.hint


def test_an_older_schema_asks_for_an_upgrade(
    migrated: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "newest", lambda: "9999")
    with pytest.raises(
        SchemaBehind, match=f"is at {REVISIONS[-1]}, this program needs 9999"
    ) as caught:
        migrated.check()
    assert "fundusd db upgrade" in caught.value.hint


def test_an_installation_without_migrations_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "versions").mkdir()
    monkeypatch.setattr(package_data, "folder", lambda _: tmp_path)
    with pytest.raises(LedgerError, match="no migrations") as caught:
        schema.newest()
    assert caught.value.hint


def test_an_upgrade_that_breaks_off_leaves_nothing(empty: Ledger, tmp_path: Path) -> None:
    cases.execute(empty, "CREATE TABLE v_result (id INTEGER)")  # stands in the way of the last step
    with pytest.raises(LedgerError):
        empty.upgrade()
    assert set(sa.inspect(empty.database.engine).get_table_names()) == {"v_result"}


def test_a_missing_guard_is_noticed(migrated: Ledger) -> None:
    on_table = "" if migrated.database.is_sqlite else " ON audit_event"
    cases.execute(migrated, f"DROP TRIGGER audit_event_no_delete{on_table}")
    with pytest.raises(LedgerError, match="audit_event_no_delete") as caught:
        migrated.check()
    assert "audit verify" in caught.value.hint


def test_a_missing_guard_of_the_sequence_is_noticed(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    cases.execute(ledger, "DROP TRIGGER audit_event_next_seq")
    with pytest.raises(LedgerError, match="audit_event_next_seq"):
        ledger.check()
    ledger.close()


@pytest.mark.parametrize("weaker", ["DISABLE TRIGGER", "ENABLE TRIGGER", "ENABLE REPLICA TRIGGER"])
def test_a_weakened_guard_is_noticed(postgres_url: str, weaker: str) -> None:
    ledger = Ledger(postgres_url)
    cases.execute(ledger, f"ALTER TABLE audit_event {weaker} audit_event_no_update")
    with pytest.raises(LedgerError, match="audit_event_no_update"):
        ledger.check()
    ledger.close()


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_revision_upgrades_a_database_with_rows_in_it(
    empty: Ledger, filled: Ledger, revision: str
) -> None:
    upgrade_to(empty, revision)
    copy(filled, empty)
    empty.upgrade()
    assert empty.check() == REVISIONS[-1]
    same_age = {"oldest_waiting_seconds": 0}
    assert empty.status() | same_age == filled.status() | same_age
    assert len(list(empty.results(superseded=True))) == 2
    assert empty.verify().broken_seq is None
    empty.start(cases.release())
    [claim] = empty.claim(16)  # what waited still has its turn
    assert claim.digest == cases.digest_of("B")
    cases.classify(empty, "b.jpg", "C")


def test_a7_an_upgrade_fills_the_days_of_older_photographs(empty: Ledger, filled: Ledger) -> None:
    at = datetime(2026, 6, 7, 10, 15, tzinfo=UTC)
    with filled.database.writing() as connection:
        connection.execute(sa.update(capture).where(capture.c.id == 1).values(acquired_at=at))
        connection.execute(sa.update(exam).values(key="study:1.2", day="2026-06-07"))
    upgrade_to(empty, "0001")
    copy(filled, empty)
    empty.upgrade()
    days = [row["acquired_day"] for row in cases.captures(empty)]
    assert days == [at.astimezone().date().isoformat(), None]
    assert [row["key"] for row in cases.rows(empty, exam)] == ["study:1.2:2026-06-07"]


def test_an_upgrade_judges_older_exams_by_the_rules_of_today(
    empty: Ledger, sqlite_url: str
) -> None:
    """A blurred macula beside a disc without retinopathy was a negative until revision 0002."""
    source = Ledger(sqlite_url, site_key=cases.SITE_KEY)
    source.start(cases.release())
    source.register_camera(cases.CAMERA)
    content = replace(cases.CONTENT, eye=Eye.RIGHT)
    healthy = (5.0, 0.0, 0.0, 0.0, 0.0)
    source.record([cases.refusal(cases.take(source, "blurred.dcm", "B"), Reason.BLUR, content)])
    source.record([cases.finding(cases.take(source, "disc.dcm", "D"), content, healthy)])
    left = replace(content, eye=Eye.LEFT)
    source.record([cases.finding(cases.take(source, "left.dcm", "L"), left, healthy)])
    source.fail(cases.take(source, "cut.jpg", "C"), Reason.TRUNCATED, "cut short")
    upgrade_to(empty, "0001")
    copy(source, empty)
    for table in ("eye_result", "exam"):
        for column in ("referable", "final_referable"):
            cases.execute(empty, f"UPDATE {table} SET {column} = 'no'")  # noqa: S608  ours
    cases.execute(empty, "UPDATE capture SET exam_id = NULL WHERE path_text = 'cut.jpg'")

    done = empty.upgrade()

    assert (done.before, done.after, done.changed_exams) == ("0001", REVISIONS[-1], 2)
    first, *_ = cases.rows(empty, exam)
    assert (first["referable"], first["final_referable"]) == ("indeterminate", "indeterminate")
    right = next(row for row in cases.rows(empty, eye_result) if row["eye"] == "R")
    assert (right["reason"], right["action"], right["grade"]) == ("blur", "retake", None)
    assert all(row["exam_id"] for row in cases.captures(empty))
    assert empty.verify().broken_seq is None
    source.close()


@pytest.fixture
def filled(sqlite_url: str) -> Iterator[Ledger]:
    """Open a database in which one capture is graded and one waits."""
    ledger = Ledger(sqlite_url, site_key=cases.SITE_KEY)
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    cases.classify(ledger, "a.jpg", "A")
    ledger.admit(cases.found("a.jpg", "B"))
    yield ledger
    ledger.close()


def test_sqlite_is_opened_so_that_nothing_is_lost(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": 10000,
        "trusted_schema": 0,
        "recursive_triggers": 1,
    }
    for transaction in (ledger.database.writing, ledger.database.reading):
        with transaction() as connection:
            settings = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted
            }
        assert settings == wanted
    ledger.close()


def test_postgresql_commits_to_disk_and_gives_up_waiting(postgres_url: str) -> None:
    ledger = Ledger(postgres_url)
    wanted = {
        "synchronous_commit": "on",
        "statement_timeout": "1min",
        "lock_timeout": "15s",
        "idle_in_transaction_session_timeout": "1min",
        "application_name": "fundusd",
    }
    with ledger.database.writing() as connection:
        settings = {name: connection.exec_driver_sql(f"SHOW {name}").scalar() for name in wanted}
    assert settings == wanted
    ledger.close()


def test_reading_writes_nothing(migrated: Ledger) -> None:
    with pytest.raises(LedgerError), migrated.database.reading() as connection:
        connection.execute(
            sa.text("INSERT INTO exam (key, created_at) VALUES ('1', '2026-01-01T00:00:00Z')")
        )
    with pytest.raises(LedgerError), migrated.database.reading() as connection:
        connection.execute(sa.text("DELETE FROM camera"))
    migrated.register_camera("writing goes on")
