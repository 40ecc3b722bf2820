"""Values of a file system that a database cannot hold: that one file waits, the others go on."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.daemon_cases import Daemon, Site, drop, running, site
from tests.faults.camera import photograph

if TYPE_CHECKING:
    from collections.abc import Iterator

INT64_NS = 2**63 - 1
_YEARS_OF_SECONDS = 31_556_952


def graded(place: Site) -> set[str]:
    return {row["path"] for row in place.rows() if row["outcome"] == "graded"}


def await_graded(daemon: Daemon, place: Site, names: set[str]) -> None:
    daemon.await_that(lambda: names <= graded(place))
    assert daemon.stop() == 0


@pytest.fixture
def wide_times() -> Iterator[Path]:
    """Give a folder whose file system keeps times of any year, as XFS, ZFS and tmpfs do."""
    if not os.access("/dev/shm", os.W_OK):  # noqa: S108
        pytest.skip("no tmpfs here")
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="fundusd-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("year", [2446, 9999, 1600, -5000])
def test_a_file_of_a_year_that_no_database_can_hold_is_graded(
    wide_times: Path, store_url: str, year: int
) -> None:
    place = site(wide_times, store_url)
    odd = drop(place, "A/1_OD.jpg", photograph(0))
    time_ns = (year - 1970) * _YEARS_OF_SECONDS * 10**9
    os.utime(odd, ns=(time_ns, time_ns))
    assert abs(odd.stat().st_mtime_ns) > INT64_NS
    drop(place, "Z/2_OS.jpg", photograph(1))
    with running(place) as daemon:
        await_graded(daemon, place, {"A/1_OD.jpg", "Z/2_OS.jpg"})
    with running(place) as daemon:  # the file is known, and is not read again
        daemon.await_event("service.ready")
        swept = place.swept_at()
        daemon.await_that(lambda: place.swept_at() != swept)
        assert daemon.stop() == 0
    assert len(place.rows()) == 2


def nest(folder: Path, levels: int, name: str) -> None:
    """Create folders within folders, deeper than a path can name, and a file in the last."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    file = os.open("9_OD.jpg", os.O_WRONLY | os.O_CREAT, dir_fd=at)
    os.write(file, photograph(2))
    os.close(file)
    os.close(at)


@pytest.mark.parametrize("moment", ["at the start", "later"])
def test_folders_nested_deeper_than_python_recurses_stop_nothing(
    tmp_path: Path, store_url: str, moment: str
) -> None:
    place = site(tmp_path, store_url)
    if moment == "at the start":
        nest(place.inbox, 5000, "d")
    try:
        with running(place) as daemon:
            daemon.await_event("service.ready")
            if moment == "later":
                nest(tmp_path, 5000, "d")
                (tmp_path / "d").rename(place.inbox / "d")
            nest(place.inbox, 900, "e")
            drop(place, "1_OD.jpg", photograph(0))
            daemon.await_event("sweep.unreadable")  # the folder below which nothing is looked into
            await_graded(daemon, place, {"1_OD.jpg", "e/" * 900 + "9_OD.jpg"})
    finally:
        subprocess.run(["rm", "-r", tmp_path], check=True)  # shutil recurses


def test_a_path_too_long_for_an_index_waits_and_stops_nothing(
    tmp_path: Path, store_url: str
) -> None:
    place = site(tmp_path, store_url)
    long = "/".join(os.urandom(120).hex() for _ in range(12))
    drop(place, "1_OD.jpg", photograph(0))
    (place.inbox / long).mkdir(parents=True)
    drop(place, f"{long}/2_OD.jpg", photograph(1))
    with running(place) as daemon:
        daemon.await_event("sweep.unreadable")
        await_graded(daemon, place, {"1_OD.jpg"})
    assert place.reconciled().unaccounted
