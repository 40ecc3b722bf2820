"""File system events: what they cost, and what happens when they are lost."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tests.watcher import watch_cases as cases
from tests.watcher.watch_cases import jpeg, watching
from watchdog.events import DirCreatedEvent, DirMovedEvent, FileMovedEvent
from watchdog.observers.inotify_c import InotifyFD
from watchdog.utils import BaseThread

from fundusd.watcher.observer import (
    InboxObserver,
    ObserverFailures,
    _ChangedDirectories,
    _stop_threads,
)

if TYPE_CHECKING:
    import pytest
    from tests.watcher.watch_cases import Watching


def observers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, BaseThread)]


def is_hinted(watched: Watching, name: str) -> bool:
    """Drop a capture; return whether an event found it, not a sweep that was in progress."""
    watched.wait_for(watched.drop(name, jpeg(name)), jpeg(name))
    return bool(watched.captures()[-1]["hinted"])


def archive_and_purge(watched: Watching, archive: Path) -> None:
    """Move a patient's folder away, have the camera use its name again, purge the archive.

    This ordinary housekeeping kills watchdog 7.1's reader thread with a KeyError while its
    observer lives on.
    """
    folder = watched.inbox / "P001"
    folder.mkdir()
    watched.wait_for(watched.drop("P001/OD.jpg", jpeg("a")), jpeg("a"))
    folder.rename(archive)
    folder.mkdir()
    watched.wait_for(watched.drop("P001/OS.jpg", jpeg("b")), jpeg("b"))
    shutil.rmtree(folder)
    shutil.rmtree(archive)


def test_a_capture_found_by_a_hint_says_so(tmp_path: Path, sqlite_url: str) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "before.jpg").write_bytes(jpeg("before"))
    with watching(inbox, sqlite_url) as watched:
        watched.wait_for("before.jpg", jpeg("before"))
        watched.wait_for(watched.drop("P001/after.jpg", jpeg("after")), jpeg("after"))
        assert [bool(row["hinted"]) for row in watched.captures()] == [False, True]
        assert watched.camera()["hints_healthy"] is True
        assert watched.camera()["mode"] == "native"


def test_an_inbox_reached_by_a_link_gives_hints_too(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "inbox").symlink_to("real")
    with watching(tmp_path / "inbox", sqlite_url) as watched:
        assert is_hinted(watched, "OD.jpg")


def test_sweeps_alone_need_no_observer(tmp_path: Path, sqlite_url: str) -> None:
    before = set(observers())  # an earlier test's may end in between
    with watching(tmp_path / "inbox", sqlite_url, **cases.SWEEPING) as watched:
        assert set(observers()) <= before
        assert (watched.camera()["mode"], watched.camera()["hints_healthy"]) == (
            "sweep-only",
            False,
        )


def test_a_local_inbox_gets_hints_by_itself(tmp_path: Path, sqlite_url: str) -> None:
    with watching(tmp_path / "inbox", sqlite_url, mode="auto") as watched:
        assert watched.camera()["mode"] == "native"


def test_a_reader_killed_by_an_archive_run_is_replaced(
    tmp_path: Path, sqlite_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with watching(tmp_path / "inbox", sqlite_url) as watched:
        archive_and_purge(watched, tmp_path / "archive")
        watched.until(lambda: len(watched.lines("hints.attached")) == 2)
        assert [entry["reason"] for entry in watched.lines("hints.lost")] == ["thread_died"]
        assert any(is_hinted(watched, f"P{number}/OD.jpg") for number in range(2, 9))
    assert not [thread for thread in observers() if isinstance(thread, InotifyFD)]
    printed = capfd.readouterr()
    assert "P001" not in printed.out + printed.err


def test_an_overflowing_queue_costs_nothing_but_a_sweep(tmp_path: Path, sqlite_url: str) -> None:
    with watching(tmp_path / "inbox", sqlite_url) as watched:
        overflow(watched)
        watched.until(lambda: len(watched.lines("hints.attached")) == 2)
        assert [entry["reason"] for entry in watched.lines("hints.lost")] == ["overflow"]
        watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))


def test_hints_lost_again_and_again_are_left_alone_for_a_while(
    tmp_path: Path, sqlite_url: str
) -> None:
    with watching(tmp_path / "inbox", sqlite_url, sweep_seconds=0.1) as watched:
        overflow(watched)
        watched.until(lambda: len(watched.lines("hints.attached")) == 2)
        overflow(watched)
        watched.until(lambda: len(watched.lines("hints.lost")) == 2)
        assert len(watched.lines("hints.attached")) == 2
        watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
        assert not watched.captures()[0]["hinted"]
        watched.until(lambda: len(watched.lines("hints.attached")) == 3)


def overflow(watched: Watching) -> None:
    """Make the kernel drop events: more renames than its queue holds, with the reader blocked."""
    # the last: a reader that was stopped may linger
    reader = [thread for thread in observers() if isinstance(thread, InotifyFD)][-1]
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    names = [watched.inbox / ".one", watched.inbox / ".two"]
    names[0].touch()
    with reader._lock:
        for number in range(queue // 2 + 5000):  # each is two events; some were being read already
            names[number % 2].rename(names[1 - number % 2])


def test_many_folders_do_not_keep_a_quiet_watcher_busy(tmp_path: Path, sqlite_url: str) -> None:
    inbox = tmp_path / "inbox"
    # the default event filter loops forever when one walk finds more than 4096 folders
    for number in range(4300):
        (inbox / f"{number:04}").mkdir(parents=True)
    with watching(inbox, sqlite_url) as watched:
        watched.sweep()  # the first one, else it may find the capture before the event is handled
        watched.wait_for(watched.drop("4299/OD.jpg", jpeg("a")), jpeg("a"))
        assert watched.captures()[0]["hinted"]
        assert not watched.lines("hints.lost")
        watched.sweep()
        began, used = time.monotonic(), time.process_time()
        watched.until(lambda: time.monotonic() > began + 1)
        assert time.process_time() - used < 0.5
        assert not watched.lines("hints.lost")


def test_a_machine_without_inotify_to_spare_leaves_the_sweeps(
    tmp_path: Path, sqlite_url: str
) -> None:
    hoard: list[int] = []
    libc = ctypes.CDLL(None)
    limit = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    ended = threading.Event()

    def hoard_all() -> None:
        """Take every instance, also those that another process gives up meanwhile."""
        while not ended.wait(0.001):
            while len(hoard) < limit and (descriptor := libc.inotify_init1(0)) >= 0:
                hoard.append(descriptor)

    hoarder = threading.Thread(target=hoard_all)
    try:
        hoarder.start()
        with watching(tmp_path / "inbox", sqlite_url, sweep_seconds=0.1) as watched:
            watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
            assert [entry["reason"] for entry in watched.lines("hints.lost")] == ["EMFILE"]
            assert watched.camera()["hints_healthy"] is False
    finally:
        ended.set()
        hoarder.join()
        for descriptor in hoard:
            os.close(descriptor)


def test_what_happens_outside_the_inbox_is_no_hint() -> None:
    woken: list[None] = []
    changed = _ChangedDirectories(b"/inbox", lambda: woken.append(None))
    changed.on_any_event(FileMovedEvent("/inboxes/P001/OD.jpg", "/inbox/P001/OD.jpg"))
    changed.on_any_event(DirMovedEvent(b"/inbox/P002", b"/elsewhere/P002"))
    changed.on_any_event(DirCreatedEvent("/inbox/P001"))
    assert changed.take() == {b"P001": True, b"P002": True, b"": False}
    assert changed.take() == {}
    assert len(woken) == 3


def test_a_thread_that_cannot_be_stopped_is_abandoned() -> None:
    stopped: list[str] = []

    class Broken(BaseThread):
        def stop(self) -> None:
            raise KeyError(b"/inbox/P001")

    class Sound(BaseThread):
        def stop(self) -> None:
            stopped.append("sound")

    _stop_threads([Broken(), Sound()])
    assert stopped == ["sound"]


def test_watchdogs_own_words_stay_inside_and_other_threads_deaths_do_not() -> None:
    passed_on: list[object] = []
    before = threading.excepthook
    threading.excepthook = lambda failure: passed_on.append(failure.exc_type)
    logger = logging.getLogger("watchdog")
    try:
        with ObserverFailures(lambda: None) as failures:
            assert not logger.propagate
            doomed = threading.Thread(target={}.__getitem__, args=(0,))
            doomed.start()
            doomed.join()
            assert failures.reason(doomed) is None
    finally:
        threading.excepthook = before
    assert passed_on == [KeyError]
    assert logger.propagate
    assert failures not in logger.handlers


def test_a_reader_that_dies_before_it_is_looked_for_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_reader: InotifyFD) -> None:
        raise OSError

    def die_at_once(reader: InotifyFD) -> None:
        BaseThread.start(reader)
        reader.join()

    monkeypatch.setattr(InotifyFD, "start", die_at_once)
    monkeypatch.setattr(InotifyFD, "run", fail)
    with ObserverFailures(lambda: None) as failures:
        observer = InboxObserver(tmp_path, failures)
        assert observer.failure() == "thread_died"
        observer.stop()


def test_watchdogs_warnings_stay_inside_and_kill_no_reader() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ObserverFailures(lambda: None):
            warnings.warn_explicit(
                "/inbox/P001", RuntimeWarning, "inotify.py", 1, "watchdog.observers.inotify"
            )
