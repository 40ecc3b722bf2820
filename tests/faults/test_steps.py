"""The daemon is killed, or its connection breaks, at each named step: work continues from there."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.daemon_cases import Daemon, Site, running, site
from tests.faults import oracle
from tests.faults.armed import PLACES, SINGLE, TRANSACTIONS
from tests.faults.camera import Camera, photograph

if TYPE_CHECKING:
    from collections.abc import Iterator

ARMED = str(Path(__file__).with_name("armed.py"))
ENDING = ("give_back", "stop")  # steps that happen only at a stop
# the steps at which most could be lost always run, the others with FUNDUSD_FAULTS=all
DANGEROUS = {
    ("sqlite", "admit.after_commit", "lose"),
    ("sqlite", "claim.after_commit", "kill"),
    ("sqlite", "record.middle", "kill"),
    ("sqlite", "record.after_commit", "lose"),
    ("postgresql", "record.before_commit", "lose"),
    ("postgresql", "record.after_commit", "kill"),
}


def cases() -> Iterator[object]:
    for database in ("sqlite", "postgresql"):
        for name in TRANSACTIONS:
            for moment, action in (
                ("begin", "kill"),
                ("middle", "kill"),
                ("before_commit", "kill"),
                ("after_commit", "kill"),
                ("before_commit", "lose"),
                ("after_commit", "lose"),
            ):
                if moment != "middle" or name not in SINGLE:
                    yield case(database, f"{name}.{moment}", action)
        for step in PLACES:
            yield case(database, step, "kill")


def case(database: str, step: str, action: str) -> object:
    marks = () if (database, step, action) in DANGEROUS else (pytest.mark.all_faults,)
    return pytest.param(database, step, action, id=f"{database}-{step}-{action}", marks=marks)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """Lay out a clinic, with an empty database for `create_if_empty`, otherwise a migrated one."""
    database, step = request.getfixturevalue("database"), request.getfixturevalue("step")
    if not step.startswith("create_if_empty"):
        url = request.getfixturevalue(
            {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[database]
        )
    elif database == "sqlite":
        url = f"sqlite:///{tmp_path / 'new.db'}"
    else:
        url = request.getfixturevalue("empty_postgres_url")
    return site(tmp_path, url)


def before_opening(camera: Camera) -> None:
    """Export the captures that exist when the daemon starts."""
    for number in range(3):
        camera.put(f"P{number}/{number}_OD.jpg", photograph(number))
    camera.put("P4/series.dcm", photograph(4))
    camera.put("P5/again_OD.jpg", photograph(0))
    camera.put_truncated("P5/cut_OS.jpg", photograph(5))
    camera.put_sidecar("P5/report.html")


def opening_hours(camera: Camera) -> None:
    """Export, export again, rename and delete."""
    camera.put("P6/6_OS.jpg", photograph(6))
    camera.put("P7/no_extension", photograph(9))
    camera.put("P0/0_OD.jpg", photograph(10))
    camera.rename("P1/1_OD.jpg", "P1/renamed_OD.jpg")
    camera.delete("P2/2_OD.jpg")
    camera.put_sidecar("P6/notes.txt")


def ended(daemon: Daemon) -> bool:
    return daemon.process.poll() is not None


@pytest.mark.parametrize(("database", "step", "action"), list(cases()))
def test_the_work_goes_on_from_any_step(database: str, step: str, action: str, place: Site) -> None:
    camera = Camera(place.inbox)
    before_opening(camera)
    ending = step.startswith(ENDING)
    with running(place, program=(ARMED, step, action, "1", "--")) as daemon:
        daemon.await_that(lambda: ended(daemon) or has_said(daemon, "capture.graded"), alive=False)
        opening_hours(camera)
        if step.startswith("offline"):
            go_away_and_return(daemon, place)
        if step.startswith("keep_incomplete"):
            leave_open(daemon, camera)
        if ending:
            stop_in_a_burst(daemon, place, camera, action)
        else:
            work_on(daemon, place, died=action == "kill")
            daemon.await_event("fault.fired")
    if ending or action == "kill":
        with running(place) as daemon:
            daemon.await_event("service.ready")
            work_on(daemon, place, died=False)
    # the next start releases jobs that a stop could not release, and counts their attempts
    oracle.require(place, camera, attempts=action == "lose" and not ending)


def work_on(daemon: Daemon, place: Site, *, died: bool) -> None:
    """Wait until all is done, then stop; or wait until the fault has killed the daemon."""
    if died:
        daemon.await_that(lambda: ended(daemon), alive=False)
        assert daemon.process.wait() == -signal.SIGKILL
    else:
        daemon.await_that(lambda: oracle.at_rest(place))
        oracle.require_bounded(daemon)
        assert daemon.stop() == 0


def has_said(daemon: Daemon, event: str) -> bool:
    return any(line["event"] == event for line in daemon.lines)


def go_away_and_return(daemon: Daemon, place: Site) -> None:
    """Take the inbox away until that is recorded or the fault has killed the daemon."""
    away = place.inbox.rename(place.folder / "away")
    daemon.await_that(lambda: ended(daemon) or has_said(daemon, "fault.fired"), alive=False)
    away.rename(place.inbox)


def leave_open(daemon: Daemon, camera: Camera) -> None:
    """Hold a capture open until it is recorded as incomplete."""
    data = photograph(33)
    with camera.at("P8/slow_OD.jpg").open("wb", buffering=0) as file:
        file.write(data[:5000])
        daemon.await_that(lambda: ended(daemon) or has_said(daemon, "fault.fired"), alive=False)
        file.write(data[5000:])
    camera.finished("P8/slow_OD.jpg", data)


def stop_in_a_burst(daemon: Daemon, place: Site, camera: Camera, action: str) -> None:
    """Stop while jobs wait: claimed jobs are released, and the stop is recorded."""
    picture = photograph(0)
    for number in range(40):
        camera.put(f"burst/{number}_OD.jpg", picture + number.to_bytes(4))
    daemon.await_that(
        lambda: len(oracle.ask(place, "SELECT 1 FROM job WHERE state = 'queued'")) > 10
    )
    expected = -signal.SIGKILL if action == "kill" else 0
    assert daemon.stop() == expected
    daemon.await_event("fault.fired")
