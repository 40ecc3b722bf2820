"""The machine fails: a dying or full disk, a share that forgets its files, a clock set wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import orjson
import pytest
from tests.daemon_cases import Daemon, Site, running, site
from tests.faults import mounting, oracle, tracing
from tests.faults.camera import Camera, photograph

traced = pytest.mark.skipif(tracing.why_not() is not None, reason=str(tracing.why_not()))
mounted = pytest.mark.skipif(mounting.why_not() is not None, reason=str(mounting.why_not()))
compiled = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is installed")
CLOCK = Path(__file__).with_name("clock.c")


def clinic(folder: Path, url: str) -> tuple[Site, Camera]:
    place = site(folder, url)
    return place, Camera(place.inbox)


def put(camera: Camera, numbers: range) -> None:
    for number in numbers:
        camera.put(f"P{number}/{number}_OD.jpg", photograph(number))


def finish(daemon: Daemon, place: Site, camera: Camera, *, attempts: bool = True) -> None:
    daemon.await_that(lambda: oracle.at_rest(place))
    assert daemon.stop() == 0
    oracle.require(place, camera, attempts=attempts)


@traced
@pytest.mark.parametrize(
    ("calls", "fault", "error"),
    [
        pytest.param("fsync,fdatasync", "error=EIO:when=4..6", "SQLITE_IOERR", id="eio-on-fsync"),
        pytest.param(
            "pwrite64",
            "error=ENOSPC:when=20..22",
            "SQLITE_FULL",
            id="enospc-on-write",
            marks=pytest.mark.all_faults,
        ),
        pytest.param(
            "pwrite64",
            "error=EIO:when=20..22",
            "SQLITE_IOERR",
            id="eio-on-write",
            marks=pytest.mark.all_faults,
        ),
    ],
)
def test_a_disk_that_fails_the_database_for_a_while_is_waited_for(
    tmp_path: Path, sqlite_url: str, calls: str, fault: str, error: str
) -> None:
    """The transaction is repeated; a COMMIT that failed may have taken effect."""
    place, camera = clinic(tmp_path, sqlite_url)
    put(camera, range(6))
    strace = tracing.under_strace(tmp_path / "fundusd.db-wal", calls, fault)
    with running(place, under=(*strace, sys.executable)) as daemon:
        assert error in daemon.await_event("ledger.away")["error"]
        daemon.await_event("ledger.back")
        put(camera, range(6, 9))
        finish(daemon, place, camera)


@traced
@pytest.mark.all_faults
def test_a_database_that_cannot_be_read_ends_the_daemon_and_a_later_start_goes_on(
    tmp_path: Path, sqlite_url: str
) -> None:
    """SQLite reports EIO on a read as a corrupt database, of which restarts could make more."""
    place, camera = clinic(tmp_path, sqlite_url)
    put(camera, range(4))
    strace = tracing.under_strace(tmp_path / "fundusd.db-wal", "pread64", "error=EIO:when=3..4")
    with running(place, under=(*strace, sys.executable)) as daemon:
        daemon.await_that(lambda: daemon.process.poll() is not None, alive=False)
        assert daemon.process.wait() == 78
        assert "SQLITE_CORRUPT" in daemon.await_event("service.failed")["error"]
    with running(place) as daemon:
        finish(daemon, place, camera)


@traced
@pytest.mark.parametrize(
    "number",
    [15, *(pytest.param(number, marks=pytest.mark.all_faults) for number in (1, 7, 22, 30, 40))],
)
def test_a_kill_at_a_write_of_the_database_loses_nothing(
    tmp_path: Path, sqlite_url: str, number: int
) -> None:
    place, camera = clinic(tmp_path, sqlite_url)
    put(camera, range(8))
    strace = tracing.under_strace(
        tmp_path / "fundusd.db-wal", "pwrite64", f"signal=KILL:when={number}"
    )
    with running(place, under=(*strace, sys.executable)) as daemon:
        daemon.await_that(lambda: daemon.process.poll() is not None, alive=False)
    with running(place) as daemon:
        finish(daemon, place, camera, attempts=False)


@traced
@pytest.mark.parametrize(
    ("calls", "fault"),
    [
        pytest.param(
            "pread64",
            "error=ESTALE:when=1..2",
            id="estale-at-admission",
            marks=pytest.mark.all_faults,
        ),
        pytest.param("read", "error=ESTALE:when=1", id="estale-at-the-worker"),
        pytest.param(
            "read", "error=EIO:when=1", id="eio-at-the-worker", marks=pytest.mark.all_faults
        ),
        pytest.param(
            "openat",
            "error=EHOSTDOWN:when=1..3",
            id="ehostdown-on-open",
            marks=pytest.mark.all_faults,
        ),
    ],
)
def test_a_share_that_forgets_a_file_costs_no_capture(
    tmp_path: Path, sqlite_url: str, calls: str, fault: str
) -> None:
    place, camera = clinic(tmp_path, sqlite_url)
    put(camera, range(4))
    strace = tracing.under_strace(place.inbox / "P1/1_OD.jpg", calls, fault)
    with running(place, under=(*strace, sys.executable)) as daemon:
        daemon.await_event("service.ready")
        finish(daemon, place, camera, attempts=False)


@mounted
def test_a_disk_that_is_full_for_a_while_keeps_the_ledger_whole(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    with mounting.own_mounts():
        disk = tmp_path / "disk"
        mounting.mount_tmpfs(disk, "2m")
        place, camera = clinic(
            tmp_path, f"sqlite:///{shutil.copy(migrated_sqlite, disk / 'fundusd.db')}"
        )
        with running(place) as daemon:
            daemon.await_event("service.ready")
            filler = disk / "somebody_elses"
            with pytest.raises(OSError, match="No space"):
                filler.write_bytes(bytes(4 << 20))
            put(camera, range(8))
            assert "SQLITE_FULL" in daemon.await_event("ledger.away")["error"]
            filler.unlink()
            daemon.await_event("ledger.back")
            finish(daemon, place, camera)


@mounted
def test_status_says_that_the_service_waits_for_room_on_the_disk(tmp_path: Path) -> None:
    """The state folder is on the same disk."""
    with mounting.own_mounts():
        disk = tmp_path / "disk"
        mounting.mount_tmpfs(disk, "4m")
        place = site(tmp_path, f"sqlite:///{disk}/fundusd.db")
        of_key = f'"{tmp_path}/site.key"'
        text = place.path.read_text()
        place.path.write_text(text.replace(of_key, f'"{disk}/site.key"'))
        camera = Camera(place.inbox)
        with running(place) as daemon:
            daemon.await_event("service.ready")
            assert "WAITING" not in status(place)
            filler = disk / "somebody_elses"
            with pytest.raises(OSError, match="No space"):
                filler.write_bytes(bytes(8 << 20))
            put(camera, range(8))
            away = daemon.await_event("ledger.away")
            shown = status(place)
            assert "daemon          running, WAITING since 20" in shown
            assert away["error"] in shown
            assert away["hint"] in shown
            assert orjson.loads(status(place, "--json"))["waiting"]["error"] == away["error"]
            filler.unlink()
            daemon.await_event("ledger.back")
            daemon.await_that(lambda: "WAITING" not in status(place))
            finish(daemon, place, camera)
        assert "WAITING" not in status(place)


def status(place: Site, *words: str) -> str:
    """Return what `fundusd status` prints."""
    command = [sys.executable, "-m", "fundusd", "status", "--config", str(place.path), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@compiled
@pytest.mark.parametrize(
    "step",
    [
        pytest.param(-3600, id="an-hour-back"),
        pytest.param(3600, id="an-hour-on", marks=pytest.mark.all_faults),
        pytest.param(-40 * 365 * 86400, id="to-1986", marks=pytest.mark.all_faults),
    ],
)
def test_a_wall_clock_that_is_set_stops_nothing(tmp_path: Path, store_url: str, step: int) -> None:
    place, camera = clinic(tmp_path, store_url)
    library, offset = tmp_path / "clock.so", tmp_path / "offset"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(CLOCK), "-ldl"], check=True
    )
    offset.write_text("0")
    put(camera, range(4))
    with running(place, LD_PRELOAD=str(library), CLOCK_OFFSET=str(offset)) as daemon:
        daemon.await_event("capture.graded")
        offset.write_text(str(step))
        put(camera, range(4, 10))
        # an hour later the leases of running jobs have expired: those jobs are claimed again
        finish(daemon, place, camera, attempts=False)
    graded = [line["ts"] for line in daemon.lines if line["event"] == "capture.graded"]
    assert abs(_seconds(graded[-1]) - _seconds(graded[0]) - step) < 300, "the clock was not set"


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
