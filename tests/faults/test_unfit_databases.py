"""A database that no restart can help ends the service for good, with the sentence that helps."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from tests.daemon_cases import DEADLINE, Site, drop, running, site
from tests.faults.camera import photograph
from tests.ledger.test_database_troubles import Forgetful

from fundusd.domain.errors import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import Postgres


def require_refused(place: Site, words: str, hint: str) -> None:
    """Require that `run` ends for good, and that `check` says the same."""
    drop(place, "1_OD.jpg", photograph(0))
    with running(place) as daemon:
        failed = daemon.await_event("service.failed")
        assert words in failed["error"]
        assert hint in failed["hint"]
        assert daemon.process.wait(DEADLINE) == ExitStatus.CONFIG
        assert not any(line["event"].startswith("capture.") for line in daemon.lines)
    checked = command(place, ["check"])
    assert checked.returncode == ExitStatus.NO
    assert words in checked.stdout
    assert hint in checked.stdout


def command(place: Site, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "fundusd", *words, "--config", str(place.path)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_a_damaged_database_is_not_restarted(tmp_path: Path, sqlite_url: str) -> None:
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    damaged = bytearray(file.read_bytes())
    damaged[4096:] = b"\xa5" * (len(damaged) - 4096)
    file.write_bytes(damaged)
    require_refused(site(tmp_path, sqlite_url), "is damaged", "restore the last backup")


def test_damage_in_the_middle_of_a_database_is_seen_by_both_checks(
    tmp_path: Path, sqlite_url: str
) -> None:
    """The pages that a start reads are whole."""
    place = site(tmp_path, sqlite_url)
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE padding (text TEXT)")
        connection.executemany("INSERT INTO padding VALUES (?)", [("x" * 1000,)] * 100)
    with file.open("r+b") as database:
        database.seek(-30_000 - 4096 * 4, os.SEEK_END)
        database.write(bytes(30_000))
    for words in (["check"], ["db", "check"]):
        ended = command(place, words)
        assert ended.returncode in {ExitStatus.NO, ExitStatus.CONFIG}, words
        assert "is damaged" in ended.stdout + ended.stderr, words


def test_a_database_that_is_not_utf8_is_refused(
    tmp_path: Path, postgres: Postgres, postgres_url: str
) -> None:
    admin = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(
            "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
        )
    url = sa.make_url(postgres_url).set(database="ascii").render_as_string(hide_password=False)
    try:
        require_refused(site(tmp_path, url), "not encoded in UTF-8", "createdb -E UTF8")
    finally:
        postgres.drop("ascii")


def test_a_pooler_in_between_is_refused(tmp_path: Path, postgres_url: str) -> None:
    with Forgetful(postgres_url) as link:
        require_refused(site(tmp_path, link.url), "pooler", "server itself")


def test_a_database_of_another_program_is_refused_and_left_as_it_is(
    tmp_path: Path, empty_store_url: str
) -> None:
    engine = sa.create_engine(empty_store_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE patients (name TEXT)")
    file = tmp_path / "empty.db"
    before = file.read_bytes() if file.exists() else b""
    place = site(tmp_path, empty_store_url)
    require_refused(place, "belongs to another program: it has the table patients", "[store] url")
    for words in (["db", "upgrade"], ["db", "adopt"], ["db", "check"], ["status"]):
        ended = command(place, words)
        assert ended.returncode == ExitStatus.CONFIG, words
        assert "it has the table patients" in ended.stderr
    assert sa.inspect(engine).get_table_names() == ["patients"]
    if file.exists():
        assert file.read_bytes() == before
        assert list(tmp_path.glob("empty.db*")) == [file]
