"""The database that goes, is replaced or restored is noticed, and no other begins in its place."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from tests.daemon_cases import DEADLINE, Daemon, Site, dicom, drop, running, site
from tests.faults.camera import photograph

from fundusd.domain.clinical_terms import Grade
from fundusd.domain.errors import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Postgres

NOTICED_WITHIN = 10.0  # seconds


def command(place: Site, *words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "fundusd", *words, "--config", str(place.path)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def work(place: Site, name: str, number: int) -> None:
    """Run a daemon until it has graded a capture."""
    drop(place, name, photograph(number))
    with running(place) as daemon:
        daemon.await_event("capture.graded")
        daemon.await_event("service.ready")
        assert daemon.stop() == 0


def await_replaced(daemon: Daemon, within: float = DEADLINE) -> str:
    """Wait until the daemon has ended because of its database, and return the hint that it gave."""
    replaced = daemon.await_event("ledger.replaced", within=within)
    assert replaced["error"]
    assert "systemctl start fundusd" in replaced["hint"]
    assert daemon.process.wait(DEADLINE) == ExitStatus.TEMPORARY
    return str(replaced["hint"])


def require_refused(place: Site, words: str) -> None:
    """Require that no daemon starts, and that the hint says how to adopt the database."""
    with running(place) as daemon:
        failed = daemon.await_event("service.failed")
        assert words in failed["error"]
        assert "fundusd db adopt" in failed["hint"]
        assert daemon.process.wait(DEADLINE) == ExitStatus.CONFIG
    checked = command(place, "check")
    assert checked.returncode == ExitStatus.NO
    assert f"WRONG database: {failed['error']}" in checked.stdout


def require_going_on(place: Site) -> None:
    with running(place) as daemon:
        daemon.await_event("service.ready")
        assert daemon.stop() == 0


@pytest.fixture
def sqlite_site(tmp_path: Path) -> Site:
    """Give a site whose daemon has graded one capture."""
    place = site(tmp_path, f"sqlite:///{tmp_path}/fundusd.db")
    work(place, "1_OD.jpg", 0)
    return place


@pytest.mark.parametrize("moment", ["while idle", "before a capture"])
def test_a_file_that_is_moved_away_stops_the_work_and_none_takes_its_place(
    sqlite_site: Site, moment: str
) -> None:
    place, file = sqlite_site, sqlite_site.folder / "fundusd.db"
    away = place.folder / "away.db"
    with running(place) as daemon:
        daemon.await_event("service.ready")
        file.rename(away)
        if moment == "before a capture":
            drop(place, "2_OS.jpg", photograph(1))
        assert f"{file}-wal and {file}-shm away" in await_replaced(daemon, NOTICED_WITHIN)
        assert not any(line["event"] == "capture.graded" for line in daemon.lines)
    require_refused(place, "does not exist")
    assert not file.exists()
    away.rename(file)
    work(place, "2_OS.jpg", 1)
    assert len(place.rows()) == 2


def test_a_fresh_database_is_taken_only_if_an_operator_adopts_it(sqlite_site: Site) -> None:
    place, file = sqlite_site, sqlite_site.folder / "fundusd.db"
    for beside in file.parent.glob("fundusd.db*"):
        beside.unlink()
    require_refused(place, "does not exist")
    refused = command(place, "db", "upgrade")
    assert refused.returncode == ExitStatus.CONFIG
    assert "this site has worked on another one" in refused.stderr
    assert not file.exists()
    assert "at a new site, start the service" in command(place, "results").stderr
    adopted = command(place, "db", "adopt")
    assert adopted.returncode == 0, adopted.stderr
    work(place, "2_OS.jpg", 1)
    require_going_on(place)
    assert place.verdict().broken_seq is None


def test_an_older_copy_that_is_restored_under_the_daemon_is_noticed(sqlite_site: Site) -> None:
    place, file = sqlite_site, sqlite_site.folder / "fundusd.db"
    backup = place.folder / "backup.db"
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(file)) as target:
            source.backup(target)
        assert f"{file}-wal and {file}-shm away" in await_replaced(daemon, NOTICED_WITHIN)
    require_going_on(place)


def test_a_state_folder_whose_disk_is_not_mounted_is_not_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, cache = tmp_path / "state", tmp_path / "cache"
    for folder, name in ((state, "STATE_DIRECTORY"), (cache, "CACHE_DIRECTORY")):
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    place = site(tmp_path, f"sqlite:///{state}/fundusd.db")
    settings = place.path.read_text()
    place.path.write_text(settings.replace(f"{place.folder}/site.key", f"{state}/site.key"))
    assert place.path.read_text() != settings
    work(place, "1_OD.jpg", 0)
    unmounted = state.rename(tmp_path / "unmounted")
    state.mkdir()
    require_refused(place, "does not exist")
    assert [file.name for file in state.iterdir()] == []
    shutil.rmtree(state)
    unmounted.rename(state)
    require_going_on(place)
    shutil.rmtree(cache)  # it may be emptied
    cache.mkdir()
    require_going_on(place)


# -- backups that are put in place without stopping the service


def back_up(file: Path) -> Path:
    """Back up a database as docs/operations.md says; return the copy."""
    backup = file.with_name("backup.db")
    with closing(sqlite3.connect(file)) as source:
        source.execute("VACUUM INTO ?", (str(backup),))
    return backup


def raw_copy(file: Path) -> Path:
    """Copy the file of a service that is stopped; return the copy."""
    backup = file.with_name("backup.db")
    backup.write_bytes(file.read_bytes())
    return backup


def copy_over(backup: Path, file: Path) -> None:
    """Write into the file itself, as cp does."""
    file.write_bytes(backup.read_bytes())


def move_over(backup: Path, file: Path) -> None:
    backup.rename(file)


@pytest.mark.parametrize("put_in_place", [copy_over, move_over])
@pytest.mark.parametrize("how", [back_up, raw_copy])
def test_a_backup_that_is_put_in_place_under_the_daemon_is_not_mixed_with_the_old_log(
    sqlite_site: Site, how: Callable[[Path], Path], put_in_place: Callable[[Path, Path], None]
) -> None:
    place, file = sqlite_site, sqlite_site.folder / "fundusd.db"
    backup = how(file)
    events = place.verdict().events
    for number in range(1, 4):
        work(place, f"{number}_OS.jpg", number)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        put_in_place(backup, file)
        hint = await_replaced(daemon, NOTICED_WITHIN)
    [kept] = file.parent.glob("fundusd.db-wal.*")
    assert str(kept) in hint
    verdict = place.verdict()
    assert (verdict.events, verdict.problem) == (events, "")
    with running(place) as daemon:  # what the backup does not know is graded again
        daemon.await_event("capture.graded")
        daemon.await_event("service.ready")
        assert daemon.stop() == 0
    assert place.verdict().problem == ""
    assert "ok    database" in command(place, "check").stdout


def test_looking_at_the_file_does_not_release_the_locks_of_sqlite(sqlite_site: Site) -> None:
    """Otherwise a command beside the service would delete the log, as if it was the last one.

    A process that closes a file loses all its locks on it: https://sqlite.org/howtocorrupt.html
    """
    place, file = sqlite_site, sqlite_site.folder / "fundusd.db"
    with running(place) as daemon:
        daemon.await_event("service.ready")
        for number in range(1, 4):
            drop(place, f"{number}_OS.jpg", photograph(number))
            daemon.await_event("capture.graded", count=number)
            with closing(sqlite3.connect(file)) as other:
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the file changes
            assert command(place, "status").returncode == 0
            assert file.with_name("fundusd.db-wal").exists()
        daemon.process.kill()
        daemon.process.wait()
    assert len(place.rows()) == 4
    assert place.verdict().problem == ""


def test_a_backup_beside_the_log_of_a_killed_daemon_is_not_opened(sqlite_site: Site) -> None:
    place, file = sqlite_site, sqlite_site.folder / "fundusd.db"
    backup = back_up(file)
    drop(place, "2_OS.jpg", photograph(1))
    with running(place) as daemon:
        daemon.await_event("capture.graded")
        daemon.process.kill()
        daemon.process.wait()
    log = file.with_name("fundusd.db-wal")
    before = log.read_bytes()
    backup.rename(file)
    content = file.read_bytes()
    for words in (["check"], ["status"], ["run"], ["db", "upgrade"], ["review", "list"]):
        refused = command(place, *words)
        said = refused.stdout + refused.stderr
        assert "is not the log of this file" in said, words
        assert f"mv {log}" in said, words
        assert (file.read_bytes(), log.read_bytes()) == (content, before)
    log.unlink()
    file.with_name("fundusd.db-shm").unlink(missing_ok=True)
    require_going_on(place)
    assert place.verdict().problem == ""


# -- PostgreSQL


@pytest.fixture
def replace_database(postgres: Postgres, postgres_url: str) -> Callable[[str], None]:
    """Give a function that drops the database and makes it anew from a template."""
    name = str(sa.make_url(postgres_url).database)
    admin = sa.create_engine(
        postgres.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )

    def replaced(template: str) -> None:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")

    return replaced


def test_a_database_that_is_dropped_and_made_anew_is_not_begun_again(
    tmp_path: Path, postgres_url: str, replace_database: Callable[[str], None]
) -> None:
    place = site(tmp_path, postgres_url)
    work(place, "1_OD.jpg", 0)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        replace_database("template1")
        await_replaced(daemon)
    require_refused(place, "is empty")
    assert command(place, "db", "adopt").returncode == 0
    work(place, "2_OS.jpg", 1)


def test_an_older_copy_of_a_dropped_database_is_noticed(
    tmp_path: Path,
    postgres: Postgres,
    postgres_url: str,
    replace_database: Callable[[str], None],
) -> None:
    place = site(tmp_path, postgres_url)
    work(place, "1_OD.jpg", 0)
    copy = postgres.create(str(sa.make_url(postgres_url).database))
    with running(place) as daemon:
        daemon.await_event("service.ready")
        replace_database(copy)
        await_replaced(daemon)
    require_going_on(place)
    postgres.drop(copy)


# -- the site key


def test_a_lost_or_other_site_key_is_refused_while_it_is_in_use(
    tmp_path: Path, store_url: str
) -> None:
    place = site(tmp_path, store_url)
    key = place.folder / "site.key"
    drop(place, "1.dcm", dicom(Grade.MILD))
    with running(place) as daemon:
        patient_key = daemon.await_event("capture.graded")["patient_key"]
        daemon.await_event("service.ready")
        assert daemon.stop() == 0
    kept = key.read_bytes()
    key.unlink()
    require_key_refused(place, "is gone")
    assert not key.exists()
    key.write_bytes(b"8d969eef6ecad3c29a3a629280e686cf")
    key.chmod(0o600)
    require_key_refused(place, "is another key")
    key.write_bytes(kept)
    assert "ok    site key: valid" in command(place, "check").stdout
    drop(place, "2.dcm", dicom(Grade.MILD, seed=2))
    with running(place) as daemon:
        assert daemon.await_event("capture.graded")["patient_key"] == patient_key
        assert daemon.stop() == 0
    key.write_bytes(b"8d969eef6ecad3c29a3a629280e686cf")
    assert command(place, "db", "adopt", "--site-key").returncode == 0
    require_going_on(place)


def require_key_refused(place: Site, words: str) -> None:
    with running(place) as daemon:
        failed = daemon.await_event("service.failed")
        assert words in failed["error"]
        assert "fundusd db adopt --site-key" in failed["hint"]
        assert daemon.process.wait(DEADLINE) == ExitStatus.CONFIG
    checked = command(place, "check")
    assert checked.returncode == ExitStatus.NO
    assert "WRONG site key" in checked.stdout
    assert words in checked.stdout


def test_a_key_of_which_no_row_depends_may_change(tmp_path: Path, store_url: str) -> None:
    place = site(tmp_path, store_url)
    work(place, "hand.jpg", 0)  # nobody's
    (place.folder / "site.key").unlink()
    require_going_on(place)
