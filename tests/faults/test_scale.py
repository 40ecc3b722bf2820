"""Scale: a daemon that was stopped, thousands of folders, hundreds of thousands of files."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.daemon_cases import Daemon, Site, drop, jpeg, running, site

from fundusd.app import settings_file
from fundusd.app.open_ledger import opened_ledger
from fundusd.domain.clinical_terms import Grade
from fundusd.domain.files import IgnoreReason, Stat
from fundusd.files.safe_read import stat_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.all_faults

BURST, PHOTOGRAPHS = 20_000, 500
FOLDERS = 6_000
KNOWN = 300_000
TICKS = os.sysconf("SC_CLK_TCK")


def laid_out(folder: Path, sweep_seconds: float = 30) -> Site:
    """Lay out a clinic that sweeps as often as a real one."""
    place = site(folder, f"sqlite:///{folder / 'fundusd.db'}")
    place.path.write_text(
        place.path.read_text().replace("sweep_seconds = 0.5", f"sweep_seconds = {sweep_seconds}")
    )
    return place


def cpu_seconds(daemon: Daemon) -> float:
    """Return the processor seconds that the daemon and its decoders have used."""
    total = 0
    for process_id in [daemon.process.pid, *children(daemon)]:
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def children(daemon: Daemon) -> list[int]:
    pid = daemon.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in children.split()]


def resident_mb(daemon: Daemon) -> float:
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def counted(place: Site) -> dict[str, int]:
    with opened_ledger(settings_file.load(place.path)) as ledger:
        status = ledger.status()
    return {"captures": status["captures"], **status["jobs"]}


def burst() -> Iterator[tuple[str, bytes]]:
    rendered = [jpeg(grade, seed=seed) for grade in Grade for seed in range(4)]
    for number in range(BURST):
        photograph = number % PHOTOGRAPHS
        yield (
            f"P{number % 400:03}/{number}.jpg",
            rendered[photograph % len(rendered)] + photograph.to_bytes(4),
        )


def test_twenty_thousand_captures_that_came_while_the_daemon_stood_still_all_have_their_row(
    tmp_path: Path,
) -> None:
    place = laid_out(tmp_path)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        daemon.process.send_signal(signal.SIGSTOP)
        for name, data in burst():
            drop(place, name, data)
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGCONT)

        def is_done() -> bool:
            now = counted(place)
            return now["captures"] == BURST and not now["queued"] + now["running"]

        daemon.await_that(is_done, deadline=900)
        print(
            f"{BURST} captures, {PHOTOGRAPHS} photographs,"
            f" {time.monotonic() - began:.0f} s after SIGCONT"
        )
        assert counted(place)["succeeded"] == PHOTOGRAPHS
        assert resident_mb(daemon) < 700
        assert daemon.stop() == 0
    assert set(place.reconciled().counts) == {"graded"}
    assert place.verdict().broken_seq is None


def test_thousands_of_idle_folders_cost_little_and_a_capture_in_the_last_one_is_found(
    tmp_path: Path,
) -> None:
    place = laid_out(tmp_path)
    for number in range(FOLDERS):
        (place.inbox / f"P{number:05}").mkdir()
    with running(place) as daemon:
        daemon.await_event("service.ready")
        daemon.await_that(lambda: swept(place))
        used, began = cpu_seconds(daemon), time.monotonic()
        idle = 65  # seconds: two full sweeps are among them
        daemon.stays_quiet(idle)
        share = (cpu_seconds(daemon) - used) / (time.monotonic() - began)
        dropped = time.monotonic()
        drop(place, f"P{FOLDERS - 1:05}/OD.jpg", jpeg(Grade.MILD))
        daemon.await_event("capture.graded")
        latency = time.monotonic() - dropped
        print(
            f"{FOLDERS} idle folders: {100 * share:.1f} % of a core;"
            f" a capture in the last one after {latency:.1f} s"
        )
        assert share < 0.05
        assert latency < 10
        assert daemon.stop() == 0
    assert not [line for line in daemon.lines if line["event"] == "hints.lost"]


def swept(place: Site) -> bool:
    with opened_ledger(settings_file.load(place.path)) as ledger:
        return all(camera["last_sweep_at"] for camera in ledger.status()["cameras"])


def known(root: Path, numbers: range) -> Iterator[tuple[bytes, tuple[Stat, IgnoreReason]]]:
    """Create files that have never been read; yield the sightings that the ledger should have."""
    for number in numbers:
        name = f"P{number // 100:06}/IMG_{number:08}.jpg"
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\xff\xd8")
        os.utime(path, (1, 2))  # a read would change the first, the access time
        yield name.encode(), (stat_of(path.stat()), IgnoreReason.BASELINE)


def test_files_that_are_known_are_not_read_again_however_many(tmp_path: Path) -> None:
    place = laid_out(tmp_path)
    with opened_ledger(settings_file.load(place.path)) as ledger:
        ledger.create_if_empty()
        ledger.register_camera("room1")
        for first in range(0, KNOWN, 5000):
            ledger.ignore("room1", dict(known(place.inbox, range(first, first + 5000))))
    control = tmp_path / "control"
    control.write_bytes(b"a")
    os.utime(control, (1, 2))
    control.read_bytes()
    if control.stat().st_atime == 1:
        pytest.skip("this file system keeps no access times")
    with running(place) as daemon:
        began = time.monotonic()
        daemon.await_event("service.ready")
        healthy = time.monotonic() - began
        before = resident_mb(daemon)
        daemon.await_that(lambda: swept(place))
        whole = time.monotonic() - began
        drop(place, "P000000/new.jpg", jpeg(Grade.PDR))
        daemon.await_event("capture.graded")
        grown = resident_mb(daemon) - before
        print(
            f"{KNOWN} known files: ready after {healthy:.1f} s, swept after {whole:.1f} s,"
            f" {grown:.0f} MB more"
        )
        assert whole < 30
        assert grown < 60
        assert daemon.stop() == 0
    read = [path for path in place.inbox.rglob("IMG_*.jpg") if path.stat().st_atime != 1]
    assert read == []
    assert counted(place)["captures"] == 1
