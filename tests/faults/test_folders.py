"""Inboxes that go and come back, bursts of files, and signals to the daemon."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.daemon_cases import Daemon, Site, running, site
from tests.faults import oracle
from tests.faults.camera import Camera, photograph
from tests.faults.postgres import END_SESSIONS, sql

FEW = [
    photograph(number) for number in range(10)
]  # contents that many files share: each is classified once


def clinic(folder: Path, url: str) -> tuple[Site, Camera]:
    place = site(folder, url)
    return place, Camera(place.inbox)


def put(camera: Camera, numbers: range) -> None:
    for number in numbers:
        camera.put(f"P{number}/{number}_OD.jpg", photograph(number))


def finish(daemon: Daemon, place: Site, camera: Camera, *, attempts: bool = True) -> None:
    daemon.await_that(lambda: oracle.at_rest(place))
    oracle.require_bounded(daemon)
    assert daemon.stop() == 0
    oracle.require(place, camera, attempts=attempts)


def await_captures(daemon: Daemon, place: Site, count: int) -> None:
    """Wait for `count` captures, without walking the inbox each time."""
    daemon.await_that(
        lambda: oracle.ask(place, "SELECT count(*) AS n FROM capture")[0]["n"] >= count
    )


def test_an_inbox_that_is_renamed_in_a_burst_and_comes_back_loses_nothing(
    tmp_path: Path, sqlite_url: str
) -> None:
    place, camera = clinic(tmp_path, sqlite_url)
    put(camera, range(6))
    with running(place) as daemon:
        daemon.await_event("capture.graded")
        away = place.inbox.rename(tmp_path / "away")
        daemon.await_event("camera.offline")
        away.rename(place.inbox)
        put(camera, range(6, 9))
        daemon.await_event("camera.online")
        # a capture may have been tried while the inbox was away
        finish(daemon, place, camera, attempts=False)


def test_captures_that_wait_while_their_inbox_is_away_are_graded_when_it_is_back(
    tmp_path: Path, sqlite_url: str
) -> None:
    place, camera = clinic(tmp_path, sqlite_url)
    put(camera, range(20))
    with running(place) as daemon:
        daemon.await_event("capture.graded")
        away = place.inbox.rename(tmp_path / "away")
        daemon.await_event("camera.offline")
        daemon.await_event("jobs.given_back")
        away.rename(place.inbox)
        daemon.await_event("camera.online")
        finish(daemon, place, camera, attempts=True)


@pytest.mark.all_faults
def test_an_inbox_that_is_removed_and_made_again_is_watched_anew(
    tmp_path: Path, sqlite_url: str
) -> None:
    place, camera = clinic(tmp_path, sqlite_url)
    put(camera, range(4))
    with running(place) as daemon:
        daemon.await_that(lambda: bool(place.rows()) and oracle.at_rest(place))
        shutil.rmtree(place.inbox)
        camera.left.clear()
        daemon.await_event("camera.offline")
        place.inbox.mkdir()
        put(camera, range(4, 8))
        finish(daemon, place, camera)
    assert len(place.rows()) == 8


@pytest.mark.all_faults
def test_an_archive_workflow_in_which_names_return_leaves_no_capture_behind(
    tmp_path: Path, sqlite_url: str
) -> None:
    """Watchdog's reader dies when a folder is moved away, made again and moved once more."""
    place, camera = clinic(tmp_path, sqlite_url)
    (tmp_path / "archive").mkdir()
    with running(place) as daemon:
        daemon.await_event("service.ready")
        for turn in range(4):
            put(camera, range(2))
            daemon.await_that(lambda: oracle.at_rest(place) and bool(place.rows()))
            for folder in ("P0", "P1"):
                (place.inbox / folder).rename(tmp_path / "archive" / f"{folder}-{turn}")
                del camera.left[f"{folder}/{folder[1:]}_OD.jpg"]
            if turn:
                shutil.rmtree(tmp_path / "archive" / f"P0-{turn - 1}")
        put(camera, range(2, 4))
        finish(daemon, place, camera)


@pytest.mark.all_faults  # tests/watcher/test_service.py does 200
def test_a_thousand_folders_made_and_filled_at_once_lose_no_file(
    tmp_path: Path, sqlite_url: str
) -> None:
    place, camera = clinic(tmp_path, sqlite_url)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        for number in range(1000):
            camera.put(f"{number % 10}/patient{number}/exam/{number}_OD.jpg", FEW[number % 10])
        await_captures(daemon, place, 1000)
        finish(daemon, place, camera)


def test_captures_written_while_the_daemon_is_stopped_are_all_found(
    tmp_path: Path, sqlite_url: str
) -> None:
    place, camera = clinic(tmp_path, sqlite_url)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        daemon.process.send_signal(signal.SIGSTOP)
        for number in range(2000):
            camera.put(f"P{number % 50}/{number}_OD.jpg", FEW[number % 10])
        daemon.process.send_signal(signal.SIGCONT)
        await_captures(daemon, place, 2000)
        finish(daemon, place, camera)


def test_a_stop_during_a_burst_ends_in_order_and_the_next_start_takes_the_rest(
    tmp_path: Path, store_url: str
) -> None:
    place, camera = clinic(tmp_path, store_url)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        put(camera, range(15))
        daemon.await_event("capture.graded")
        put(camera, range(15, 20))
        assert daemon.stop() == 0
    with running(place) as daemon:
        finish(daemon, place, camera)


def test_a_daemon_killed_while_it_prepares_the_model_leaves_no_process_behind(
    tmp_path: Path, sqlite_url: str
) -> None:
    """Otherwise the process that reads the checkpoint would wait forever, holding all of it."""
    place, camera = clinic(tmp_path, sqlite_url)
    put(camera, range(2))
    with running(place, XDG_CACHE_HOME=str(tmp_path / "cache")) as daemon:
        daemon.await_that(lambda: bool(spawned_by(daemon)))
        children = spawned_by(daemon)
        daemon.process.kill()
        daemon.await_that(
            lambda: not any(Path(f"/proc/{child}").exists() for child in children), alive=False
        )
    with running(place, XDG_CACHE_HOME=str(tmp_path / "cache")) as daemon:
        daemon.await_event("service.ready")
        finish(daemon, place, camera)


def spawned_by(daemon: Daemon) -> list[str]:
    """Return the processes that multiprocessing has started for a daemon."""
    tasks = Path(f"/proc/{daemon.process.pid}/task").glob("*/children")
    children = [child for task in tasks for child in task.read_text().split()]
    return [
        child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def test_a_daemon_that_slept_past_its_leases_doubles_nothing(
    tmp_path: Path, store_url: str
) -> None:
    """When a laptop or a paused machine wakes up, the leases of running jobs have expired."""
    place, camera = clinic(tmp_path, store_url)
    put(camera, range(10))
    with running(place) as daemon:
        daemon.await_event("capture.graded")
        daemon.await_that(lambda: outslept(daemon, store_url))
        finish(daemon, place, camera, attempts=False)


def outslept(daemon: Daemon, store_url: str) -> bool:
    """Stop the daemon until its leases expire; return False if it was in a transaction."""
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        sql(store_url, "UPDATE job SET lease_until = 1 WHERE state = 'running'")
    except sa.exc.OperationalError:
        return False
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    return True


def test_a_daemon_that_slept_while_another_took_over_writes_nothing(
    tmp_path: Path, postgres_url: str
) -> None:
    place, camera = clinic(tmp_path, postgres_url)
    put(camera, range(10))
    with running(place) as first:
        first.await_event("capture.graded")
        first.process.send_signal(signal.SIGSTOP)
        sql(postgres_url, END_SESSIONS)
        with running(place) as second:
            second.await_event("service.ready")
            first.process.send_signal(signal.SIGCONT)
            put(camera, range(10, 14))
            first.await_that(lambda: first.process.poll() is not None, alive=False)
            assert first.process.wait() == 75
            finish(second, place, camera, attempts=False)


@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url"])
@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.all_faults) for seed in range(2, 9))]
)
def test_kills_at_random_moments_lose_nothing(
    seed: int, database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place, camera = clinic(tmp_path, request.getfixturevalue(database))
    chance = random.Random(seed)
    for number in range(4):
        put(camera, range(5 * number, 5 * number + 5))
        with running(place) as daemon:
            daemon.await_event("service.started")
            time.sleep(chance.uniform(0, 3))
            assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    with running(place) as daemon:
        daemon.await_event("service.ready")  # SIGTERM before that would end it by default
        finish(daemon, place, camera, attempts=False)
