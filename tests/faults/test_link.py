"""A slow, hanging, broken or missing link to PostgreSQL: the work waits and goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from tests.daemon_cases import Daemon, Site, running, site
from tests.faults import oracle
from tests.faults.camera import Camera, photograph
from tests.faults.proxy import Link

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def link(postgres_url: str) -> Iterator[Link]:
    with Link(postgres_url) as begun:
        yield begun


def clinic(folder: Path, link: Link) -> tuple[Site, Camera]:
    place = site(folder, link.url)
    return place, Camera(place.inbox)


def put(camera: Camera, numbers: range) -> None:
    for number in numbers:
        camera.put(f"P{number}/{number}_OD.jpg", photograph(number))


def finish(daemon: Daemon, place: Site, camera: Camera) -> None:
    """Wait until the first process has done all work."""
    daemon.await_that(lambda: oracle.at_rest(place))
    daemon.await_that(place.is_held)
    assert daemon.stop() == 0
    oracle.require(place, camera, attempts=True)


def test_a_link_that_breaks_again_and_again_costs_nothing(link: Link, tmp_path: Path) -> None:
    place, camera = clinic(tmp_path, link)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        for number in range(6):
            put(camera, range(2 * number, 2 * number + 2))
            daemon.await_event("capture.graded", 2 * number + 1)
            link.reset()
        finish(daemon, place, camera)


@pytest.mark.all_faults
def test_a_slow_link_only_takes_longer(link: Link, tmp_path: Path) -> None:
    place, camera = clinic(tmp_path, link)
    put(camera, range(3))
    with running(place) as daemon:
        daemon.await_event("service.ready")
        link.slow(0.05)
        put(camera, range(3, 6))
        daemon.await_event("capture.graded", 6)
        link.slow(0.0)
        finish(daemon, place, camera)


@pytest.mark.all_faults
def test_a_link_that_hangs_for_a_while_holds_the_work_up_and_no_more(
    link: Link, tmp_path: Path
) -> None:
    place, camera = clinic(tmp_path, link)
    put(camera, range(4))
    with running(place) as daemon:
        daemon.await_event("capture.graded")
        link.hang()
        put(camera, range(4, 8))
        with pytest.raises(AssertionError):
            daemon.await_event("capture.graded", 8, within=3)
        link.flow()
        finish(daemon, place, camera)


@pytest.mark.all_faults
def test_a_link_that_hangs_and_then_breaks_is_waited_for(link: Link, tmp_path: Path) -> None:
    place, camera = clinic(tmp_path, link)
    put(camera, range(4))
    with running(place) as daemon:
        daemon.await_event("capture.graded")
        link.hang()
        put(camera, range(4, 8))
        link.refuse()
        daemon.await_event("ledger.away")
        link.flow()
        daemon.await_event("ledger.back")
        finish(daemon, place, camera)


def test_a_link_that_is_not_there_at_the_start_is_waited_for(link: Link, tmp_path: Path) -> None:
    place, camera = clinic(tmp_path, link)
    put(camera, range(4))
    link.refuse()
    with running(place) as daemon:
        daemon.await_event("ledger.away")
        link.flow()
        finish(daemon, place, camera)


def test_a_server_that_fails_over_to_another_address_is_found_there(
    postgres_url: str, tmp_path: Path
) -> None:
    with Link(postgres_url) as first, Link(postgres_url) as second:
        hosts = [f"127.0.0.1:{sa.make_url(link.url).port}" for link in (first, second)]
        url = sa.make_url(first.url).set(host=None, port=None, query={"host": hosts})
        place = site(tmp_path, url.render_as_string(hide_password=False))
        camera = Camera(place.inbox)
        with running(place) as daemon:
            daemon.await_event("service.ready")
            put(camera, range(3))
            daemon.await_event("capture.graded", 3)
            first.refuse()
            put(camera, range(3, 6))
            daemon.await_event("capture.graded", 6)
            finish(daemon, place, camera)
