"""Upgrades of a database with rows in it: a second revision, newer views, and one that fails.

The second revision is written by the tests: into a copy of the migrations, which takes their place.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import LedgerError, SchemaBehind
from fundusd.files import package_data
from fundusd.ledger import Ledger, ViewQuery, views
from fundusd.ledger.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND_REVISION = '''
"""A throw-away revision: a new column with values, and a changed type where there are types."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("capture", sa.Column("note", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE capture SET note = 'file ' || path_text")
    if op.get_context().dialect.name == "postgresql":  # refuses this while a view reads the column
        op.execute("ALTER TABLE capture ALTER COLUMN width TYPE BIGINT")
'''
FAILS_AT_ITS_END = """
    op.execute("UPDATE capture SET note = no_such_column")
"""


@pytest.fixture
def store(empty_store_url: str) -> Iterator[Ledger]:
    """Open a database that this test may change as it likes, with rows that the ledger wrote."""
    ledger = Ledger(empty_store_url, site_key=cases.SITE_KEY)
    ledger.upgrade()
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    cases.classify(ledger, "P1/a_OD.jpg", "A")
    cases.classify(ledger, "P1/a_OD.jpg", "B")
    ledger.record([cases.refusal(cases.take(ledger, "hand.jpg", "hand"), Reason.NOT_RETINA)])
    ledger.fail(cases.take(ledger, "cut.jpg", "cut"), Reason.TRUNCATED, "cut short")
    ledger.admit(cases.found("waits.jpg", "waits"))
    yield ledger
    ledger.close()


class NextRelease:
    """The program after this one: with a second revision and other views."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._migrations, self._views, self._patch = folder / "migrations", folder / "views", patch
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package_data.folder("migrations"), self._migrations, ignore=ignored)
        shutil.copytree(views._FOLDER, self._views, ignore=ignored)

    def add_revision(self, text: str = SECOND_REVISION) -> None:
        (self._migrations / "versions" / "9999_notes.py").write_text(text)

    def add_column(self, view: str, column: str) -> None:
        """Add a column to a view, before its FROM clause."""
        path = self._views / f"{view}.sql"
        text, changed = re.subn(r"\nFROM ", f",\n    {column}\nFROM ", path.read_text(), count=1)
        assert changed
        path.write_text(text)

    def install(self) -> None:
        self._patch.setattr(package_data, "folder", lambda _: self._migrations)
        self._patch.setattr(views, "_FOLDER", self._views)
        views.definitions.cache_clear()
        views.digest.cache_clear()

    def uninstall(self) -> None:
        self._patch.undo()
        views.definitions.cache_clear()
        views.digest.cache_clear()


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NextRelease]:
    release = NextRelease(tmp_path, monkeypatch)
    yield release
    release.uninstall()


def contents(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of all tables."""
    return {table.name: cases.rows(ledger, table) for table in metadata.sorted_tables}


def shape(ledger: Ledger) -> dict[str, Any]:
    """Return the columns of tables, the definitions of views and the revision."""
    inspector = sa.inspect(ledger.database.engine)
    with ledger.database.reading() as connection:
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    shapes: dict[str, Any] = {"revision": revision}
    for table in inspector.get_table_names():
        shapes[table] = [column["name"] for column in inspector.get_columns(table)]
    for view in inspector.get_view_names():
        shapes[view] = inspector.get_view_definition(view)
    return shapes


def column_of(ledger: Ledger, view: str, column: str) -> list[Any]:
    with ledger.database.reading() as connection:
        query = sa.text(f"SELECT {column} FROM {view} ORDER BY capture_id")  # noqa: S608  our own
        return list(connection.scalars(query))


def test_a_second_revision_keeps_every_row_and_brings_current_views(
    store: Ledger, next_release: NextRelease
) -> None:
    before = contents(store)
    filled = {name for name, rows in before.items() if rows}
    assert filled >= {"audit_event", "capture", "exam", "eye_result", "job", "result", "sighting"}
    results = list(store.results(superseded=True))
    next_release.add_revision()
    next_release.add_column("v_result", "c.note")
    next_release.install()
    with pytest.raises(SchemaBehind, match="is at 0007, this program needs 9999"):
        store.check()

    assert store.upgrade() == ("0007", "9999", 2, 0, 0, 0)

    assert store.check() == "9999"
    assert contents(store) == before
    assert column_of(store, "v_result", "note") == [
        f"file {row['path_text']}" for row in before["capture"]
    ]
    for row, old in zip(store.results(superseded=True), results, strict=True):
        assert row == {**old, "note": f"file {old['path']}"}
    assert store.verify().broken_seq is None
    assert [claim.digest for claim in store.claim(16)] == [cases.digest_of("waits")]
    cases.classify(store, "later.jpg", "later")
    assert store.upgrade() == ("9999", "9999", 0, 0, 0, 0)


def test_a_second_revision_that_fails_leaves_everything_as_it_was(
    store: Ledger, next_release: NextRelease
) -> None:
    rows, shapes = contents(store), shape(store)
    next_release.add_revision(SECOND_REVISION + FAILS_AT_ITS_END)
    next_release.add_column("v_camera", "place")
    next_release.install()
    with pytest.raises(LedgerError):
        store.upgrade()
    next_release.uninstall()
    assert (contents(store), shape(store)) == (rows, shapes)
    assert store.check() == "0007"


def test_a_view_that_fails_takes_the_revision_back_with_it(
    store: Ledger, next_release: NextRelease
) -> None:
    rows, shapes = contents(store), shape(store)
    next_release.add_revision()
    next_release.add_column("v_worklist", "c.no_such_column")
    next_release.install()
    with pytest.raises(LedgerError):
        store.upgrade()
    next_release.uninstall()
    assert (contents(store), shape(store)) == (rows, shapes)


def test_a_changed_view_asks_for_an_upgrade_without_any_revision(
    store: Ledger, next_release: NextRelease
) -> None:
    next_release.add_column("v_result", "c.size")
    next_release.install()
    with pytest.raises(SchemaBehind, match="views") as caught:
        store.check()
    assert "fundusd db upgrade" in caught.value.hint
    assert store.upgrade() == ("0007", "0007", 0, 0, 0, 0)
    assert store.check() == "0007"
    assert set(column_of(store, "v_result", "size")) == {10}


def test_a_view_that_someone_dropped_comes_back_with_an_upgrade(store: Ledger) -> None:
    cases.execute(store, "DROP VIEW v_backlog")
    store.upgrade()
    assert [row["path"] for row in store.ask(ViewQuery("v_backlog", ()))] == ["waits.jpg"]


# -- databases that this program must not touch


@pytest.mark.parametrize("revision", ["0005", "0006"])
def test_a_database_of_a_development_version_is_left_alone(store: Ledger, revision: str) -> None:
    """These ended at revision 0006 and did not store the checksum of the views."""
    cases.execute(store, "DROP VIEW view_digest")
    cases.execute(store, "UPDATE alembic_version SET version_num = :revision", revision=revision)
    rows, shapes = contents(store), shape(store)
    for step in (store.check, store.upgrade):
        with pytest.raises(SchemaBehind, match=f"development version .*{revision}") as caught:
            step()
        assert caught.value.exit_code == 78
        assert "start with a new database" in caught.value.hint
        assert "Export" in caught.value.hint
    store.create_if_empty()
    assert (contents(store), shape(store)) == (rows, shapes)


def test_a_database_of_a_newer_release_is_left_alone(store: Ledger) -> None:
    cases.execute(store, "UPDATE alembic_version SET version_num = '0008'")
    rows, shapes = contents(store), shape(store)
    for step in (store.check, store.upgrade):
        with pytest.raises(SchemaBehind, match=r"0008\) is newer than this program") as caught:
            step()
        assert caught.value.exit_code == 78
        assert "Install the fundusd that made it" in caught.value.hint
    assert (contents(store), shape(store)) == (rows, shapes)


# -- what others have made of the views


def test_an_upgrade_keeps_grants_on_the_views(empty_postgres_url: str) -> None:
    ledger = Ledger(empty_postgres_url)
    ledger.upgrade()
    for statement in (
        'CREATE ROLE "a reader"',
        'GRANT SELECT ON v_result, v_worklist TO "a reader" WITH GRANT OPTION',
        "GRANT SELECT ON v_camera TO PUBLIC",
    ):
        cases.execute(ledger, statement)
    try:
        before = grants(ledger)
        ledger.upgrade()
        assert grants(ledger) == before
        assert [row[:2] for row in before] == [
            ("v_camera", "PUBLIC"),
            ("v_result", "a reader"),
            ("v_worklist", "a reader"),
        ]
    finally:
        cases.execute(ledger, 'DROP OWNED BY "a reader"')
        cases.execute(ledger, 'DROP ROLE "a reader"')
        ledger.close()


def grants(ledger: Ledger) -> list[Any]:
    query = """SELECT table_name, grantee, privilege_type, is_grantable
        FROM information_schema.role_table_grants
        WHERE table_schema = 'public' AND grantee <> current_user ORDER BY table_name, grantee"""
    with ledger.database.reading() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def test_an_upgrade_says_so_where_other_views_use_ours(empty_postgres_url: str) -> None:
    ledger = Ledger(empty_postgres_url)
    ledger.upgrade()
    cases.execute(ledger, "CREATE VIEW of_the_clinic AS SELECT path FROM v_result")
    shapes = shape(ledger)
    with pytest.raises(LedgerError, match="other objects") as caught:
        ledger.upgrade()
    assert "Drop these objects" in caught.value.hint
    assert shape(ledger) == shapes
    cases.execute(ledger, "DROP VIEW of_the_clinic")
    ledger.upgrade()
    ledger.close()
