"""The inbox is a share that comes and goes: an outage is not a deletion."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.daemon_cases import Daemon, Site, running, site
from tests.faults import mounting, oracle
from tests.faults.camera import Camera, photograph

if TYPE_CHECKING:
    from collections.abc import Iterator

OUTAGE = ("camera.offline", "camera.mass_disappearance")
pytestmark = pytest.mark.skipif(mounting.why_not() is not None, reason=str(mounting.why_not()))


@pytest.fixture(autouse=True)
def mounts() -> Iterator[None]:
    with mounting.own_mounts():
        yield


@pytest.fixture
def place(tmp_path: Path, sqlite_url: str) -> Site:
    mounting.mount_tmpfs(tmp_path / "share")
    return site(tmp_path, sqlite_url)


def join(place: Site) -> None:
    """Mount the share on the inbox."""
    mounting.bind(place.folder / "share", place.inbox)


def put(camera: Camera, numbers: range) -> None:
    for number in numbers:
        camera.put(f"P{number}/{number}_OD.jpg", photograph(number))


def await_notice(daemon: Daemon, since: int) -> None:
    """Wait until the daemon reports that the inbox is offline, or a different directory."""
    events = ("camera.offline", "camera.mass_disappearance", "hints.attached")
    daemon.await_that(lambda: any(line["event"] in events for line in daemon.lines[since:]))


def await_sweeps(daemon: Daemon, place: Site) -> None:
    """Wait for two full sweeps; the first may have begun before the call."""
    for _ in range(2):
        before = place.swept_at()
        daemon.await_that(lambda before=before: place.swept_at() != before)  # type: ignore[misc]


def finish(daemon: Daemon, place: Site, camera: Camera) -> None:
    daemon.await_that(lambda: oracle.at_rest(place))
    assert daemon.stop() == 0
    oracle.require(place, camera)


@pytest.mark.all_faults
def test_a_share_that_is_unmounted_and_comes_back_costs_nothing(place: Site) -> None:
    camera = Camera(place.inbox)
    join(place)
    put(camera, range(6))
    with running(place) as daemon:
        daemon.await_that(lambda: len(place.rows()) == 6 and oracle.at_rest(place))
        seen = len(daemon.lines)
        mounting.unmount(place.inbox)
        await_notice(daemon, seen)
        join(place)
        put(camera, range(6, 9))
        finish(daemon, place, camera)
    assert len(place.rows()) == 9


def test_a_share_with_many_captures_that_goes_is_called_an_outage(place: Site) -> None:
    camera = Camera(place.inbox)
    join(place)
    for number in range(30):
        camera.put(f"P{number}/{number}_OD.jpg", photograph(number % 5))
    with running(place) as daemon:
        daemon.await_that(lambda: len(place.rows()) == 30 and oracle.at_rest(place))
        seen = len(daemon.lines)
        mounting.unmount(place.inbox)
        await_notice(daemon, seen)
        daemon.process.send_signal(signal.SIGHUP)  # sweeps at once
        daemon.await_event("settings.reloaded")
        daemon.await_that(lambda: any(line["event"] in OUTAGE for line in daemon.lines[seen:]))
        assert not oracle.ask(place, "SELECT 1 FROM sighting WHERE missing_since IS NOT NULL")
        join(place)
        put(camera, range(40, 42))
        finish(daemon, place, camera)
    assert len(place.rows()) == 32


def test_a_share_that_goes_in_the_middle_of_the_work_is_waited_for(place: Site) -> None:
    camera = Camera(place.inbox)
    join(place)
    put(camera, range(12))
    with running(place) as daemon:
        daemon.await_event("capture.graded")
        seen = len(daemon.lines)
        mounting.unmount(place.inbox)
        await_notice(daemon, seen)
        join(place)
        await_sweeps(daemon, place)  # jobs that failed for their files are queued again by then
        finish(daemon, place, camera)


@pytest.mark.all_faults
def test_a_share_that_is_mounted_over_another_is_watched_in_its_place(place: Site) -> None:
    """Two cameras share a mount point: the captures of neither are lost."""
    below, camera = Camera(place.inbox), Camera(place.inbox)
    put(below, range(2))
    with running(place) as daemon:
        daemon.await_that(lambda: len(place.rows()) == 2 and oracle.at_rest(place))
        join(place)
        put(camera, range(2, 5))
        daemon.await_that(lambda: len(place.rows()) == 5 and oracle.at_rest(place))
        mounting.unmount(place.inbox)
        put(below, range(5, 7))
        daemon.await_that(lambda: len(place.rows()) == 7)
        for name, digests in camera.complete.items():
            below.complete[name] = digests
        finish(daemon, place, below)


@pytest.mark.all_faults
def test_a_daemon_started_before_its_share_finds_all_of_it_later(place: Site) -> None:
    camera = Camera(place.inbox)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        join(place)
        put(camera, range(4))
        daemon.await_that(lambda: len(place.rows()) == 4)
        finish(daemon, place, camera)
