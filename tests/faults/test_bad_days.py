"""Every bad day of docs/operations.md, as it happens, is logged and ends.

Each function makes a day bad, does what the page tells the operator to do, and requires that the
next capture is graded. What was logged has to be what the page says.
"""

from __future__ import annotations

import re
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.daemon_cases import DEADLINE, Daemon, Site, drop, running, site
from tests.faults import matrix, mounting
from tests.faults.camera import photograph
from tests.faults.postgres import Server
from tests.faults.test_replaced_databases import command
from tests.faults.test_steps import ARMED
from tests.outbox import receiver_cases

from fundusd.domain.errors import ExitStatus

PAGE = matrix.ROOT / "docs" / "operations.md"
Lines = list[dict[str, Any]]
_ROW = re.compile(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_SAYING = ("error", "hint", "reason", "count", "revision")  # fields of a line that the page quotes
_LOGGED = re.compile(r'`([a-z_]+\.[a-z_]+)`(?: "([^"]+)")?')


@contextmanager
def working(place: Site, lines: Lines) -> Iterator[Daemon]:
    """Run a daemon that is ready; afterwards, add what it logged to `lines`."""
    with running(place) as daemon:
        try:
            daemon.await_event("service.ready")
            yield daemon
        finally:
            if daemon.process.poll() is not None:
                daemon.close()  # the last lines may not have been read yet
            lines.extend(daemon.lines)


def grade_next(place: Site, daemon: Daemon) -> None:
    """Require that the next capture of the camera is graded."""
    number = len(list(place.inbox.rglob("*_OD.jpg")))
    before = sum(line["event"] == "capture.graded" for line in daemon.lines)
    drop(place, f"next{number}_OD.jpg", photograph(5 * number + 50))
    daemon.await_event("capture.graded", before + 1)


def require_refused(place: Site, lines: Lines) -> None:
    """Require that a daemon does not start, and is not started again."""
    with running(place) as daemon:
        assert daemon.process.wait(DEADLINE) == ExitStatus.CONFIG
        daemon.close()
        lines.extend(daemon.lines)


def recover(place: Site, lines: Lines) -> None:
    with working(place, lines) as daemon:
        grade_next(place, daemon)


def database(place: Site) -> Path:
    return place.folder / "fundusd.db"


# -- the days


def power_is_cut(place: Site) -> Lines:
    lines: Lines = []
    with running(place, program=(ARMED, "record.before_commit", "kill", "1", "--")) as daemon:
        for number in range(4):
            drop(place, f"{number}_OD.jpg", photograph(number))
        assert daemon.process.wait(DEADLINE) == -signal.SIGKILL
    with working(place, lines) as daemon:
        assert daemon.await_event("service.started")["count"] >= 1
        daemon.await_event("capture.graded", 4)
        daemon.await_that(place.is_done)
    return lines


def disk_of_the_database_is_full(place: Site) -> Lines:
    lines: Lines = []
    with mounting.own_mounts():
        disk = place.folder / "disk"
        mounting.mount_tmpfs(disk, "4m")
        there = site(place.folder, f"sqlite:///{disk}/fundusd.db")
        with working(there, lines) as daemon:
            filler = disk / "somebody_elses"
            with pytest.raises(OSError, match="No space"):
                filler.write_bytes(bytes(8 << 20))
            for number in range(8):
                drop(place, f"{number}_OD.jpg", photograph(number))
            daemon.await_event("ledger.away")
            filler.unlink()
            daemon.await_event("ledger.back")
            grade_next(there, daemon)
    return lines


def server_is_restarted(place: Site) -> Lines:
    lines: Lines = []
    with tempfile.TemporaryDirectory(prefix="fundusd-postgres-") as folder:
        server = Server(folder)
        there = site(place.folder, server.url.render_as_string(hide_password=False))
        with working(there, lines) as daemon:
            grade_next(there, daemon)
            server.crash()
            drop(place, "meanwhile_OD.jpg", photograph(3))
            daemon.await_event("ledger.away")
            server.start()
            daemon.await_event("ledger.back")
            grade_next(there, daemon)
        server.remove()
    return lines


def database_is_locked(place: Site) -> Lines:
    lines: Lines = []
    with working(place, lines) as daemon:
        with closing(sqlite3.connect(database(place), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            drop(place, "1_OD.jpg", photograph(1))
            daemon.await_event("ledger.away")
        daemon.await_event("ledger.back")
        grade_next(place, daemon)
    return lines


def database_is_moved(place: Site) -> Lines:
    lines: Lines = []
    away = database(place).with_name("away.db")
    with working(place, lines) as daemon:
        database(place).rename(away)
        assert daemon.process.wait(DEADLINE) == ExitStatus.TEMPORARY
    require_refused(place, lines)
    away.rename(database(place))
    recover(place, lines)
    return lines


def backup_is_restored(place: Site) -> Lines:
    lines: Lines = []
    with working(place, lines) as daemon:
        grade_next(place, daemon)
        with closing(sqlite3.connect(database(place))) as connection:
            connection.execute("VACUUM INTO ?", (str(place.folder / "backup.db"),))
        grade_next(place, daemon)
        (place.folder / "backup.db").rename(database(place))
        assert daemon.process.wait(DEADLINE) == ExitStatus.TEMPORARY
    for name in ("fundusd.db-wal", "fundusd.db-shm"):  # of the file that was replaced
        (place.folder / name).unlink(missing_ok=True)
    with working(place, lines) as daemon:
        daemon.await_event("capture.graded")  # again, because the backup does not know it
        grade_next(place, daemon)
    return lines


def database_is_damaged(place: Site) -> Lines:
    lines: Lines = []
    recover(place, lines)
    backup = database(place).with_name("backup.db")
    with closing(sqlite3.connect(database(place))) as connection:
        connection.execute("VACUUM INTO ?", (str(backup),))
    damaged = bytearray(database(place).read_bytes())
    damaged[100:] = b"\xa5" * (len(damaged) - 100)
    database(place).write_bytes(damaged)
    require_refused(place, lines)
    for file in place.folder.glob("fundusd.db*"):
        file.unlink()
    backup.rename(database(place))
    recover(place, lines)
    return lines


def site_key_is_lost(place: Site) -> Lines:
    lines: Lines = []
    drop(place, "1.dcm", photograph(4))
    with working(place, lines) as daemon:
        daemon.await_event("capture.graded")
    key = place.folder / "site.key"
    copy = key.rename(place.folder / "copy.key")
    require_refused(place, lines)
    copy.rename(key)
    recover(place, lines)
    return lines


def share_goes(place: Site) -> Lines:
    lines: Lines = []
    with working(place, lines) as daemon:
        grade_next(place, daemon)
        away = place.inbox.rename(place.folder / "away")
        daemon.await_event("camera.offline")
        away.rename(place.inbox)
        daemon.await_event("camera.online")
        grade_next(place, daemon)
    return lines


def export_is_cut_short(place: Site) -> Lines:
    lines: Lines = []
    with working(place, lines) as daemon:
        whole = photograph(1)
        drop(place, "1_OD.jpg", whole[: len(whole) // 2])
        daemon.await_event("capture.failed")
        drop(place, "1_OD.jpg", whole)
        daemon.await_event("capture.graded")
        grade_next(place, daemon)
    return lines


def inbox_is_filled_with_garbage(place: Site) -> Lines:
    lines: Lines = []
    with working(place, lines) as daemon:
        for number in range(200):
            drop(place, f"{number}.jpg", b"no photograph" + number.to_bytes(2))
        grade_next(place, daemon)
        daemon.await_event("capture.failed", 10)
        daemon.await_that(place.is_done)
        assert daemon.stop() == 0
    return lines


def settings_are_broken(place: Site) -> Lines:
    lines: Lines = []
    text = place.path.read_text()
    with working(place, lines) as daemon:
        place.path.write_text(text + "\n[nonsense]\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.await_event("settings.refused")
        grade_next(place, daemon)
    require_refused(place, lines)
    place.path.write_text(text)
    recover(place, lines)
    return lines


def second_daemon_is_started(place: Site) -> Lines:
    lines: Lines = []
    with working(place, []) as first, running(place) as second:
        second.await_event("ledger.away")
        grade_next(place, first)
        assert first.stop() == 0
        second.await_event("ledger.back")
        grade_next(place, second)
        lines.extend(second.lines)
    return lines


def receiver_is_down(place: Site) -> Lines:
    lines: Lines = []
    received = receiver_cases.Received(port=receiver_cases.free_port())
    with place.path.open("a") as settings:
        settings.write(
            "[outbox]\nquiet_seconds = 0\n"
            '[[receiver]]\nid = "record"\ndocument = "fhir"\n'
            f'fhir = "http://127.0.0.1:{received.port}"\n'
        )
    drop(place, "1.dcm", photograph(4))
    with working(place, lines) as daemon:
        daemon.await_event("receiver.away")
        grade_next(place, daemon)
        with receiver_cases.fhir_server(received):
            retried = command(place, "outbox", "retry", "1")
            assert "1 queued again" in retried.stdout
            daemon.await_event("document.sent")
    return lines


DAYS: dict[str, Callable[[Site], Lines]] = {
    "The power is cut, or the daemon is killed": power_is_cut,
    "The disk of the database is full": disk_of_the_database_is_full,
    "PostgreSQL is restarted": server_is_restarted,
    "Another program keeps the database locked": database_is_locked,
    "The database is moved or deleted while the service runs": database_is_moved,
    "A backup is restored while the service runs": backup_is_restored,
    "The database is damaged": database_is_damaged,
    "The site key is lost": site_key_is_lost,
    "The share of a camera goes away": share_goes,
    "An export is cut short": export_is_cut_short,
    "A camera's folder is filled with other files": inbox_is_filled_with_garbage,
    "The settings are broken": settings_are_broken,
    "Somebody starts a second daemon": second_daemon_is_started,
    "A receiver is down": receiver_is_down,
}
NEEDS_MOUNTS = "The disk of the database is full"


def table() -> dict[str, str]:
    """Return what the log says on each bad day, according to the page."""
    text = PAGE.read_text()
    section = text[text.index("## Bad days") : text.index("## What to do when")]
    rows = [match.groups() for match in _ROW.finditer(section)]
    return {day: logged for day, _, logged, _ in rows if day not in {"bad day", "---"}}


def test_the_page_has_every_day() -> None:
    assert list(table()) == list(DAYS)


@pytest.mark.parametrize("day", DAYS)
def test_a_bad_day_is_logged_as_the_page_says_and_ends(day: str, tmp_path: Path) -> None:
    if day == NEEDS_MOUNTS and (reason := mounting.why_not()):
        pytest.skip(reason)
    lines = DAYS[day](site(tmp_path, f"sqlite:///{tmp_path}/fundusd.db"))
    logged = iter(lines)
    for event, words in _LOGGED.findall(table()[day]):
        assert any(
            line["event"] == event and words in " ".join(str(line.get(key)) for key in _SAYING)
            for line in logged  # in this order
        ), f"{event} {words}: {[line['event'] for line in lines]}"
