"""The database becomes unreachable while the daemon works: nothing is lost, doubled or retried."""

from __future__ import annotations

import resource
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.daemon_cases import Daemon, Site, drop, jpeg, running, site
from tests.faults.postgres import Server

from fundusd.app import outage_notice, settings_file
from fundusd.domain.clinical_terms import Grade

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 12  # captures, all of different bytes


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="fundusd-postgres-") as folder:
        made = Server(folder)
        yield made
        made.remove()


def put(place: Site, numbers: range) -> None:
    for number in numbers:
        picture = jpeg(tuple(Grade)[number % 5])
        drop(place, f"P{number}/{number}_OD.jpg", picture + number.to_bytes(2))


def require_untroubled(place: Site, daemon: Daemon) -> None:
    """Require one result per capture, from one attempt, by the daemon that was started first."""
    daemon.await_that(lambda: len(place.rows()) == COUNT and place.is_done())
    assert daemon.process.poll() is None
    rows = place.rows()
    assert Counter(row["outcome"] for row in rows) == {"graded": COUNT}
    assert {row["attempts"] for row in rows} == {1}
    assert len({row["digest"] for row in rows}) == COUNT
    daemon.await_that(place.is_held)  # it does not work on without owning the database
    assert daemon.stop() == 0
    graded = [line["digest"] for line in daemon.lines if line["event"] == "capture.graded"]
    assert sorted(graded) == sorted({row["digest"][:12] for row in rows})
    assert place.verdict().broken_seq is None


def test_a_server_that_crashes_in_the_middle_of_the_work_is_waited_for(
    server: Server, tmp_path: Path
) -> None:
    place = site(tmp_path, server.url.render_as_string(hide_password=False))
    put(place, range(COUNT // 2))
    with running(place) as daemon:
        daemon.await_event("capture.graded")
        server.crash()
        put(place, range(COUNT // 2, COUNT))
        away = daemon.await_event("ledger.away")
        assert away["hint"]
        server.start()
        daemon.await_event("ledger.back")
        require_untroubled(place, daemon)


def test_sessions_that_the_server_ends_again_and_again_cost_nothing(
    server: Server, tmp_path: Path
) -> None:
    place = site(tmp_path, server.url.render_as_string(hide_password=False))
    with running(place) as daemon:
        daemon.await_event("service.ready")
        ended = 0
        for number in range(COUNT):
            put(place, range(number, number + 1))
            daemon.await_event("capture.graded", number + 1)
            ended += server.end_sessions()
        assert ended >= COUNT
        require_untroubled(place, daemon)


def test_a_daemon_waits_at_its_start_for_a_server_that_is_not_there_yet(
    server: Server, tmp_path: Path
) -> None:
    place = site(tmp_path, server.url.render_as_string(hide_password=False))
    put(place, range(COUNT))
    server.crash()
    with running(place) as daemon:
        daemon.await_event("ledger.away")
        server.start()
        daemon.await_event("service.ready")
        require_untroubled(place, daemon)


def test_a_stop_while_the_server_is_away_ends_in_order_and_loses_nothing(
    server: Server, tmp_path: Path
) -> None:
    place = site(tmp_path, server.url.render_as_string(hide_password=False))
    with running(place) as daemon:
        daemon.await_event("service.ready")
        server.crash()
        put(place, range(COUNT))
        daemon.await_event("ledger.away")
        assert daemon.stop() == 0
    server.start()
    with running(place) as daemon:
        require_untroubled(place, daemon)


@contextmanager
def locked(place: Site) -> Iterator[None]:
    """Lock the SQLite file, like a backup that hangs."""
    with closing(sqlite3.connect(place.folder / "fundusd.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def sqlite_site(folder: Path) -> Site:
    return site(folder, f"sqlite:///{folder}/fundusd.db")


def test_a_locked_sqlite_file_is_waited_for(tmp_path: Path) -> None:
    place = sqlite_site(tmp_path)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        with locked(place):
            put(place, range(COUNT))
            assert "SQLITE_BUSY" in daemon.await_event("ledger.away")["error"]
            waiting = outage_notice.read(settings_file.load(place.path))
            assert waiting is not None
            assert "SQLITE_BUSY" in waiting["error"]
        daemon.await_event("ledger.back")
        require_untroubled(place, daemon)


def test_a_disk_that_is_full_for_a_while_is_waited_for(tmp_path: Path) -> None:
    """No file of the daemon may grow, which SQLite sees as a full disk."""
    place = sqlite_site(tmp_path)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        before = resource.prlimit(
            daemon.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY)
        )
        put(place, range(COUNT))
        assert daemon.await_event("ledger.away")["error"].split("SQLITE_")[1][:5] in {
            "IOERR",
            "FULL)",
        }
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, before)
        daemon.await_event("ledger.back")
        require_untroubled(place, daemon)


def test_a_second_daemon_stands_by_and_takes_over(tmp_path: Path, store_url: str) -> None:
    place = site(tmp_path, store_url)
    with running(place) as first:
        first.await_event("service.ready")
        with running(place) as second:
            assert "Another fundusd" in second.await_event("ledger.away")["error"]
            put(place, range(COUNT // 2))
            first.await_event("capture.graded", COUNT // 2)
            first.process.kill()
            second.await_event("service.ready")
            put(place, range(COUNT // 2, COUNT))
            second.await_event("capture.graded", COUNT // 2)
            second.await_that(lambda: len(place.rows()) == COUNT and place.is_done())
            assert second.stop() == 0
    rows = place.rows()
    assert Counter(row["outcome"] for row in rows) == {"graded": COUNT}
    assert len({row["digest"] for row in rows}) == COUNT
    assert place.verdict().broken_seq is None
