"""Inboxes with files and folders that the daemon's user may not read, or does not own."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases
from tests.watcher import watch_cases as cases
from tests.watcher.watch_cases import jpeg, watching

from fundusd.domain.files import Inbox
from fundusd.watcher.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.watcher.watch_cases import Watching

NOBODY = 65534
ROOT = os.geteuid() == 0


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Run the block as user nobody if the tests run as root, who may read everything."""
    if ROOT:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if ROOT:
            os.seteuid(0)


@pytest.fixture
def watched(migrated_sqlite: Path) -> Iterator[Watching]:
    """Watch an inbox that belongs to root as user nobody, who owns the ledger."""
    place = Path(tempfile.mkdtemp())
    shutil.copy(migrated_sqlite, place / "fundusd.db")
    (place / "inbox").mkdir()
    if ROOT:
        for path in (place, place / "fundusd.db"):
            os.chown(path, NOBODY, -1)
    place.chmod(0o755)
    with (
        unprivileged(),
        watching(place / "inbox", f"sqlite:///{place / 'fundusd.db'}", **cases.SWEEPING) as begun,
    ):
        yield begun
    for folder in (place / "inbox", *(place / "inbox").iterdir()):
        folder.chmod(0o755)
    shutil.rmtree(place)


@contextlib.contextmanager
def by_the_camera() -> Iterator[None]:
    """Run the block as the files' owner."""
    if ROOT:
        os.seteuid(0)
    try:
        yield
    finally:
        if ROOT:
            os.seteuid(NOBODY)


def drop(watched: Watching, name: str, mode: int = 0o644) -> None:
    """Put a file into place with its mode, all at once."""
    with by_the_camera():
        outside = watched.inbox.parent / "dropped"
        outside.write_bytes(jpeg(name))
        outside.chmod(mode)
        (watched.inbox / name).parent.mkdir(exist_ok=True)
        outside.rename(watched.inbox / name)


def set_mode(path: Path, mode: int) -> None:
    with by_the_camera():
        path.chmod(mode)


def test_a_file_that_may_not_be_read_yet_is_admitted_once_it_may(watched: Watching) -> None:
    drop(watched, "OD.jpg", mode=0)
    watched.until(lambda: watched.lines("capture.unreadable"))
    assert watched.current() == {}
    set_mode(watched.inbox / "OD.jpg", 0o644)
    watched.wait_for("OD.jpg", jpeg("OD.jpg"))


@pytest.mark.parametrize("mode", [0o000, 0o444], ids=["unlisted", "listed without a look"])
def test_a_closed_folder_stops_no_sweep_and_nothing_in_it_is_missing(
    watched: Watching, mode: int
) -> None:
    drop(watched, "P001/OD.jpg")
    watched.wait_for("P001/OD.jpg", jpeg("P001/OD.jpg"))
    set_mode(watched.inbox / "P001", mode)
    watched.until(lambda: watched.lines("sweep.unreadable"))
    drop(watched, "P002/OD.jpg")
    watched.wait_for("P002/OD.jpg", jpeg("P002/OD.jpg"))
    watched.sweep()
    assert [row["missing_since"] for row in watched.sightings().values()] == [None, None]
    sweep = Sweep(
        Inbox(ledger_cases.CAMERA, watched.inbox),
        watched.ledger,
        lambda *_, **__: True,
        lambda: None,
    )
    sweep.run()
    assert (sweep.tally.vanished, sweep.tally.unreadable, sweep.listed_root) == (0, 1, True)
    set_mode(watched.inbox / "P001", 0o755)
    watched.until(lambda: len(watched.lines("sweep.unreadable")) == 2)
    assert [entry["entries"] for entry in watched.lines("sweep.unreadable")] == [1, 0]
    assert len(watched.captures()) == 2


def test_an_inbox_that_may_not_be_listed_is_offline(watched: Watching) -> None:
    set_mode(watched.inbox, 0)
    watched.until(lambda: watched.lines("camera.offline"))
    set_mode(watched.inbox, 0o755)
    watched.until(lambda: watched.lines("camera.online"))
    drop(watched, "OD.jpg")
    watched.wait_for("OD.jpg", jpeg("OD.jpg"))


@pytest.mark.skipif(not ROOT, reason="needs root to make files of somebody else")
def test_files_of_another_owner_settle_by_twice_the_quiet_time(watched: Watching) -> None:
    drop(watched, "OD.jpg")
    watched.wait_for("OD.jpg", jpeg("OD.jpg"))
    watched.sweep()
    assert watched.camera()["lease_probe"] == "double-quiet"
