"""A SQLite file that only seems to have changed keeps its log; the others do not get it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from fundusd.ledger.pinned_file import PinnedFile, log_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENT = "INSERT INTO audit_event (row_hash) VALUES (randomblob(32))"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to a database with audit events in the file and in its log."""
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as opened:
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("CREATE TABLE audit_event (seq INTEGER PRIMARY KEY, row_hash BLOB)")
        opened.execute("CREATE TABLE ballast (content BLOB)")
        opened.execute(EVENT)
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        opened.execute(EVENT)
        yield opened


@pytest.fixture
def pinned(tmp_path: Path, connection: sqlite3.Connection) -> Iterator[PinnedFile]:
    """Yield the file, which a link names."""
    del connection  # it is open
    (tmp_path / "link.db").symlink_to("a.db")
    file = PinnedFile(tmp_path / "link.db")
    assert file.change() == ""
    yield file
    file.close()


def test_commits_that_are_copied_from_the_log_are_no_change(
    pinned: PinnedFile, connection: sqlite3.Connection
) -> None:
    for statement in ("INSERT INTO ballast VALUES (zeroblob(300000))", EVENT, "VACUUM", EVENT):
        connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert pinned.change() == ""
    connection.execute(EVENT)
    assert pinned.set_log_aside() is None


def test_a_file_that_is_being_written_is_not_overwritten_for_certain(
    pinned: PinnedFile, connection: sqlite3.Connection, tmp_path: Path
) -> None:
    connection.execute("INSERT INTO ballast VALUES (zeroblob(300000))")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (tmp_path / "a.db").open("r+b") as file:  # the schema is on the first page
        file.seek(100)
        file.write(b"\xff" * 3000)
    assert pinned.change() == ""


def test_a_link_that_leads_elsewhere_leaves_the_log_of_the_old_file(
    pinned: PinnedFile, tmp_path: Path
) -> None:
    (tmp_path / "b.db").write_bytes(b"another")
    (tmp_path / "link.db").unlink()
    (tmp_path / "link.db").symlink_to("b.db")
    assert pinned.change() == "is another one than at the start."
    assert pinned.set_log_aside() is None
    assert log_of(tmp_path / "a.db").exists()


def test_an_event_that_is_gone_or_another_one_means_that_the_file_was_overwritten(
    pinned: PinnedFile, tmp_path: Path
) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other, isolation_level=None)) as backup:
        backup.execute("PRAGMA journal_mode=WAL")
        backup.execute("CREATE TABLE audit_event (seq INTEGER PRIMARY KEY, row_hash BLOB)")
        backup.execute(EVENT)
    (tmp_path / "a.db").write_bytes(other.read_bytes())
    assert "overwritten" in pinned.change()
    kept = pinned.set_log_aside()
    assert kept is not None
    assert kept.exists()
    assert not log_of(tmp_path / "a.db").exists()
    assert (tmp_path / "a.db").read_bytes() == other.read_bytes()
