"""However a capture is written, only its last complete bytes are graded."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.daemon_cases import Daemon, Site, running, site
from tests.faults import oracle
from tests.faults.camera import Camera, digest, photograph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUIET = 0.2  # seconds, as daemon_cases.SETTINGS has it
STALL = 5 * QUIET  # a writer that pauses: part of the fault


@dataclass(frozen=True)
class Clinic:
    """The daemon that all tests of this file share; each test has a separate folder."""

    place: Site
    camera: Camera
    daemon: Daemon

    def await_graded(self, name: str, data: bytes) -> None:
        """Wait until these bytes are current at a path, and their job is done."""
        self.daemon.await_that(lambda: self.stands(name) == (digest(data), "succeeded"))

    def stands(self, name: str) -> tuple[str, str] | None:
        rows = oracle.ask(self.place, "SELECT path, digest, state, superseded FROM v_result")
        current = [
            (row["digest"], row["state"])
            for row in rows
            if row["path"] == name and not row["superseded"]
        ]
        return current[0] if current else None


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Clinic]:
    folder = tmp_path_factory.mktemp("writers")
    place = site(folder, f"sqlite:///{shutil.copy(migrated_sqlite, folder / 'fundusd.db')}")
    with running(place) as daemon:
        daemon.await_event("service.ready")
        begun = Clinic(place, Camera(place.inbox), daemon)
        yield begun
        daemon.await_that(lambda: oracle.at_rest(place))
        oracle.require_bounded(daemon)
        assert daemon.stop() == 0
    oracle.require(place, begun.camera, attempts=True)


def stalls(clinic: Clinic, name: str) -> bytes:
    """Hold the file open half written."""
    data = photograph(40)
    with clinic.camera.at(name).open("wb", buffering=0) as file:
        file.write(data[: len(data) // 2])
        time.sleep(STALL)
        file.write(data[len(data) // 2 :])
    return data


def preallocates(clinic: Clinic, name: str) -> bytes:
    """Give the file its whole size before its bytes: raw DICOM, whose zeros are pixels."""
    data = photograph(44)
    with clinic.camera.at(name).open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, len(data))
        for first in range(0, len(data), len(data) // 4 + 1):
            time.sleep(STALL / 2)
            os.pwrite(file.fileno(), data[first : first + len(data) // 4 + 1], first)
    return data


def rewrites_in_place(clinic: Clinic, name: str) -> bytes:
    """Write other bytes over those that were graded, into the same file."""
    before, data = photograph(41), photograph(42)
    clinic.camera.put(name, before)
    clinic.await_graded(name, before)
    with clinic.camera.at(name).open("r+b") as file:
        file.write(data)
        file.truncate()
    return data


def renames_into_place(clinic: Clinic, name: str) -> bytes:
    """Write under a temporary name."""
    data = photograph(43)
    part = clinic.camera.at(f"{name}.part")
    part.write_bytes(data)
    part.rename(clinic.camera.at(name))
    return data


def links_into_place(clinic: Clinic, name: str) -> bytes:
    """Finish as OpenSSH's sftp-server does: link, then unlink."""
    data = photograph(45)
    part = clinic.camera.at(f"{name}.part")
    part.write_bytes(data)
    os.link(part, clinic.camera.at(name))
    time.sleep(STALL)
    part.unlink()
    return data


def moves_in(clinic: Clinic, name: str) -> bytes:
    """Move in a folder that was filled outside the inbox."""
    data = photograph(46)
    outside = clinic.place.folder / "outside"
    outside.mkdir()
    (outside / Path(name).name).write_bytes(data)
    outside.rename(clinic.camera.inbox / Path(name).parent)
    return data


def exports_again_with_size_and_time_kept(clinic: Clinic, name: str) -> bytes:
    """Copy another version of the same size over, with the time of the first: only ctime tells."""
    before = photograph(47)
    data = before[:-4] + b"\xff\xff\xff\xff"
    clinic.camera.put(name, before)
    clinic.await_graded(name, before)
    path = clinic.camera.at(name)
    kept = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    return data


def overwrites_at_fifty_hertz(clinic: Clinic, name: str) -> bytes:
    """Overwrite the file in place, in two parts, again and again."""
    versions = [photograph(48), photograph(51)]
    size = max(map(len, versions))
    versions = [data.ljust(size, b"\0") for data in versions]
    for data in versions:
        clinic.camera.finished_before(name, data)
    path = clinic.camera.at(name)
    path.write_bytes(versions[0])
    until = time.monotonic() + 3
    while time.monotonic() < until:
        for data in versions:
            with path.open("r+b", buffering=0) as file:
                file.write(data[: size // 2])
                time.sleep(0.01)
                file.write(data[size // 2 :])
            time.sleep(0.01)
    return versions[-1]


def fills_later(clinic: Clinic, name: str) -> bytes:
    """Leave an empty file behind, and fill it after a while."""
    data = photograph(52)
    clinic.camera.at(name).touch()
    time.sleep(STALL)
    clinic.camera.at(name).write_bytes(data)
    return data


def closes_a_half_file(clinic: Clinic, name: str) -> bytes:
    """Close the file half written, and append the rest later: the half fails, and has no result."""
    data = photograph(53)
    clinic.camera.put_truncated(name, data)
    time.sleep(STALL)
    with clinic.camera.at(name).open("ab") as file:
        file.write(data[len(data) * 2 // 3 :])
    return data


def says_1970(clinic: Clinic, name: str) -> bytes:
    """Set the file's time to 1970."""
    return _dated(clinic, name, photograph(55), 0)


def says_2099(clinic: Clinic, name: str) -> bytes:
    """Set the file's time to 2099."""
    return _dated(clinic, name, photograph(56), 4_070_908_800)


def _dated(clinic: Clinic, name: str, data: bytes, seconds: int) -> bytes:
    path = clinic.camera.at(name)
    path.write_bytes(data)
    os.utime(path, (seconds, seconds))
    return data


def goes_from_a_to_b_to_a(clinic: Clinic, name: str) -> bytes:
    """Bring the first bytes back: a third revision with the first one's result."""
    first, second = photograph(57), photograph(58)
    for data in (first, second):
        clinic.camera.put(name, data)
        clinic.await_graded(name, data)
    clinic.camera.at(name).write_bytes(first)
    return first


def is_closed_to_all_for_a_while(clinic: Clinic, name: str) -> bytes:
    """Remove all permissions for a while."""
    data = photograph(60)
    path = clinic.camera.at(name)
    path.touch(mode=0)
    path.chmod(0)
    path.write_bytes(data)  # as root may
    time.sleep(STALL)
    path.chmod(0o644)
    return data


def goes_and_returns(clinic: Clinic, name: str) -> bytes:
    """Delete the file and write the same bytes again."""
    data = photograph(61)
    clinic.camera.put(name, data)
    clinic.await_graded(name, data)
    clinic.camera.at(name).unlink()
    time.sleep(STALL)
    clinic.camera.at(name).write_bytes(data)
    return data


WRITERS: tuple[Callable[[Clinic, str], bytes], ...] = (
    stalls, preallocates, rewrites_in_place, renames_into_place, links_into_place, moves_in,
    exports_again_with_size_and_time_kept, overwrites_at_fifty_hertz, fills_later,
    closes_a_half_file,
    says_1970, says_2099, goes_from_a_to_b_to_a, is_closed_to_all_for_a_while, goes_and_returns,
)  # fmt: skip


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_capture_is_graded_as_it_was_left_however_it_is_written(
    clinic: Clinic, write: Callable[[Clinic, str], bytes]
) -> None:
    name = f"{write.__name__}/capture_OD.jpg"
    data = write(clinic, name)
    clinic.camera.finished(name, data)
    clinic.await_graded(name, data)


def test_no_name_is_too_strange(clinic: Clinic) -> None:
    for number, name in enumerate(
        ("a\nb_OD.jpg", "Müller OS.JPG", "x" * 247 + "_OD.jpg", "'; DROP TABLE job; --.jpg")
    ):
        data = photograph(70 + number)
        clinic.camera.put(f"names/{name}", data)
        clinic.await_graded(f"names/{name}", data)
