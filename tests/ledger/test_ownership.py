"""One daemon per database, also across processes, and no longer than it lives."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import LedgerAway, LedgerError
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOLDER = """
import sys
from fundusd.ledger import Ledger
with Ledger(sys.argv[1]).held():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def postgres_url(fresh_postgres_url: str) -> str:
    """Give a database of the test's own: its sessions and locks are what is tested."""
    return fresh_postgres_url


@contextmanager
def holder(url: str) -> Iterator[subprocess.Popen[str]]:
    """Hold a ledger in another process for as long as the block runs."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_ledger_is_held_by_one_at_a_time(
    ledger: Ledger, open_beside: Callable[[], Ledger]
) -> None:
    other = open_beside()
    assert not other.is_held()
    with ledger.held():
        assert other.is_held()
        with pytest.raises(LedgerError, match="Another fundusd") as caught, other.held():
            pytest.fail("two daemons on one database")
        assert caught.value.hint
        assert other.is_held()
    assert not other.is_held()
    with other.held():
        assert ledger.is_held()


def test_a_ledger_is_let_go_when_the_daemon_ends_in_an_error(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), ledger.held():
        raise RuntimeError
    assert not ledger.is_held()


def test_whoever_lets_go_has_let_go_at_once(ledger: Ledger) -> None:
    for _ in range(20):
        assert not ledger.is_held()
        with ledger.held():
            pass


def test_two_databases_are_held_apart(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger(f"sqlite:///{tmp_path / 'other.db'}")
    with ledger.held(), other.held():
        assert ledger.is_held()
        assert other.is_held()
    other.close()


def test_another_process_holds_it_until_it_is_killed(ledger: Ledger, store_url: str) -> None:
    with holder(store_url) as process:
        assert ledger.is_held()
        with pytest.raises(LedgerError), ledger.held():
            pytest.fail("two daemons on one database")
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        wait_until_free(ledger)


def wait_until_free(ledger: Ledger) -> None:
    """Wait for the server to notice; the operating system lets go at once."""
    if not ledger.database.is_sqlite:
        with ledger.database.engine.connect() as connection:
            lock = "SELECT pg_advisory_lock(0x68656C64)"
            connection.exec_driver_sql("SET lock_timeout = '30s'")
            connection.exec_driver_sql(lock)  # waits for the dead session's end
            connection.exec_driver_sql("SELECT pg_advisory_unlock(0x68656C64)")
    assert not ledger.is_held()
    with ledger.held():
        pass


def end_the_holding_session(ledger: Ledger) -> None:
    with ledger.database.engine.connect() as connection:
        ended = (
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted"
        )
        connection.exec_driver_sql(ended)


@pytest.fixture
def two(postgres_url: str) -> Iterator[tuple[Ledger, Ledger]]:
    ledgers = Ledger(postgres_url), Ledger(postgres_url)
    yield ledgers
    for opened in ledgers:
        opened.close()


def test_a_hold_whose_session_the_server_ended_is_missed_at_the_next_claim_and_taken_again(
    two: tuple[Ledger, Ledger],
) -> None:
    ledger, other = two
    with ledger.held():
        ledger.start(cases.release())
        end_the_holding_session(other)
        with pytest.raises(LedgerAway, match="has ended the session"):
            ledger.claim(1)
        ledger.regain()
        assert ledger.claim(1) == []
        assert other.is_held()


def test_a_hold_that_another_has_is_waited_for_until_that_one_has_started(
    two: tuple[Ledger, Ledger],
) -> None:
    """Until then it may be a session of ours that the server has not missed yet."""
    ledger, other = two
    with ledger.held():
        ledger.start(cases.release())
        end_the_holding_session(other)
        with other.held():
            for _ in range(2):
                with pytest.raises(LedgerAway, match="is running on this database"):
                    ledger.regain()
            other.start(cases.release(2))
            with pytest.raises(LedgerError, match="took over") as caught:
                ledger.regain()
            assert not isinstance(caught.value, LedgerAway), (
                "waiting cannot help: it must begin anew"
            )


def test_nothing_is_written_by_a_daemon_that_another_has_taken_over_from(
    two: tuple[Ledger, Ledger],
) -> None:
    ledger, other = two
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    other.start(cases.release(2))
    with pytest.raises(LedgerError, match="took over"):
        ledger.admit(cases.found())
    assert cases.captures(other) == []


def test_a_start_that_is_not_written_is_none(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(sqlite_url)

    def full(*_: object) -> None:
        monkeypatch.undo()
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorname = "SQLITE_FULL"
        raise error

    monkeypatch.setattr(ledger.database.engine.dialect, "do_commit", full)
    with pytest.raises(LedgerAway, match="SQLITE_FULL"):
        ledger.start(cases.release())
    ledger.regain()
    ledger.start(cases.release())
    ledger.regain()
    ledger.close()


def test_an_outage_longer_than_a_lease_costs_no_attempt(ledger: Ledger) -> None:
    ledger.admit(cases.found())
    (claim,) = ledger.claim(1)
    cases.expire_leases(ledger)
    ledger.regain()
    assert ledger.claim(1) == []
    assert ledger.record([cases.finding(claim)]) != [None]
    assert cases.the_job(ledger)["attempts"] == 1


def test_a_daemon_begins_anew_where_another_was_at_work_meanwhile(
    two: tuple[Ledger, Ledger],
) -> None:
    ledger, other = two
    with ledger.held():
        ledger.start(cases.release())
        end_the_holding_session(other)
        with other.held():
            other.start(cases.release(2))
        with pytest.raises(LedgerError, match="took over"):
            ledger.regain()


def test_a_session_that_the_server_ended_is_let_go_without_an_error(postgres_url: str) -> None:
    ledger = Ledger(postgres_url)
    with ledger.held():
        with ledger.database.engine.connect() as connection:
            ended = (
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks"
                " WHERE locktype = 'advisory' AND granted"
            )
            connection.exec_driver_sql(ended)
        wait_until_free(ledger)
    ledger.close()


@pytest.fixture
def cameras(postgres_url: str) -> Iterator[Callable[..., Ledger]]:
    """Open the ledger for some cameras, as the daemon of another machine does."""
    opened: list[Ledger] = []

    def of(*names: str) -> Ledger:
        opened.append(Ledger(postgres_url, site_key=cases.SITE_KEY, cameras=names))
        return opened[-1]

    yield of
    for ledger in opened:
        ledger.close()


def test_daemons_for_different_cameras_share_a_postgresql(cameras: Callable[..., Ledger]) -> None:
    first, second = cameras("room1", "room2"), cameras("room3")
    with first.held(), second.held():
        with pytest.raises(LedgerAway, match="Another fundusd"), cameras("room2", "room4").held():
            pytest.fail("two daemons for one camera")
        with cameras("room4").held():
            pass
        with pytest.raises(LedgerAway), cameras().held():
            pytest.fail("the whole database, while daemons work on it")
        first.start(cases.release(1))
        second.start(cases.release(2))
        first.admit(cases.found("a.jpg", "A", camera_id="room1"))
        second.admit(cases.found("b.jpg", "B", camera_id="room3"))
        (mine,), (theirs,) = first.claim(9), second.claim(9)
        assert (mine.camera_id, theirs.camera_id) == ("room1", "room3")
        assert first.record([cases.finding(mine)]) != [None]
        assert second.record([cases.finding(theirs)]) != [None]
        first.stop()
    assert first.verify().broken_seq is None


def test_a_daemon_that_starts_takes_back_only_what_was_left_of_its_own_cameras(
    cameras: Callable[..., Ledger],
) -> None:
    first, second = cameras("room1"), cameras("room3")
    with second.held():
        with first.held():
            first.start(cases.release(1))
            second.start(cases.release(2))
            first.admit(cases.found("a.jpg", "A", camera_id="room1"))
            second.admit(cases.found("b.jpg", "B", camera_id="room3"))
            second.admit(cases.found("c.jpg", "C", camera_id="room3"))
            first.claim(1)
            (held,) = second.claim(1)
        again = cameras("room1")
        with again.held():
            assert again.start(cases.release(3)) == 1
            assert [claim.camera_id for claim in again.claim(9)] == ["room1"]
            assert second.record([cases.finding(held)]) != [None], (
                "a neighbour's start is no reason to stop"
            )
            assert len(second.claim(9)) == 1, "nor does it take what waits there"
            with pytest.raises(LedgerError, match="took over"):
                first.admit(cases.found("d.jpg", "D", camera_id="room1"))


def test_bytes_that_two_cameras_show_wait_for_the_daemon_that_saw_them_last(
    cameras: Callable[..., Ledger],
) -> None:
    first, second = cameras("room1"), cameras("room3")
    with first.held(), second.held():
        first.start(cases.release(1))
        second.start(cases.release(1))
        first.admit(cases.found("a.jpg", "A", camera_id="room1"))
        second.admit(cases.found("b.jpg", "A", camera_id="room3"))
        assert first.claim(9) == []
        (claim,) = second.claim(9)
        assert {place.camera_id for place in claim.places} == {"room1", "room3"}


def test_a_failed_capture_is_queued_again_under_the_release_of_its_own_camera(
    cameras: Callable[..., Ledger],
) -> None:
    first, second = cameras("room1"), cameras("room3")
    with first.held(), second.held():
        first.start(cases.release(1))
        first.admit(cases.found("a.jpg", "A", camera_id="room1"))
        (claim,) = first.claim(1)
        first.fail(claim, Reason.TRUNCATED, "cut short")
        second.start(cases.release(2))
        assert cameras().retry_failed() == 1
        assert len(first.claim(1)) == 1


def test_a_running_job_goes_to_the_camera_that_showed_its_bytes_last(
    cameras: Callable[..., Ledger],
) -> None:
    """The daemon that runs it may die: then nobody else would take it back."""
    first, second = cameras("room1"), cameras("room3")
    with first.held(), second.held():
        first.start(cases.release(1))
        second.start(cases.release(1))
        first.admit(cases.found("a.jpg", "A", camera_id="room1"))
        (running,) = first.claim(1)
        second.admit(cases.found("b.jpg", "A", camera_id="room3"))
        assert second.claim(1) == []
        cases.expire_leases(first)
        (again,) = second.claim(1)
        assert again.digest == running.digest
        assert first.record([cases.finding(running)]) == [None]
        assert second.record([cases.finding(again)]) != [None]


def test_a_failed_job_whose_file_is_touched_goes_to_that_files_camera(
    cameras: Callable[..., Ledger],
) -> None:
    first, second = cameras("room1"), cameras("room3")
    with first.held(), second.held():
        first.start(cases.release(1))
        second.start(cases.release(1))
        second.admit(cases.found("b.jpg", "A", camera_id="room3"))
        first.admit(cases.found("a.jpg", "A", camera_id="room1"))
        (claim,) = first.claim(1)
        first.fail(claim, Reason.FILE_MISSING, "gone")
        second.admit(cases.found("b.jpg", "A", camera_id="room3", mtime_ns=99))
        assert [again.digest for again in second.claim(1)] == [claim.digest]


def test_status_tells_whether_a_daemon_runs_for_these_cameras(
    cameras: Callable[..., Ledger],
) -> None:
    first, operator = cameras("room1"), cameras()
    with first.held():
        assert operator.is_held()
        assert operator.is_held(["room1", "room2"])
        assert not operator.is_held(["room2"])
    with cameras().held():
        assert operator.is_held(["room2"])
