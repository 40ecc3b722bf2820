"""Shares that go away, come back or were never there; unreadable files; old captures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases
from tests.watcher import watch_cases as cases
from tests.watcher.watch_cases import jpeg, prepared, watching

from fundusd.domain.errors import LedgerError
from fundusd.domain.files import IgnoreReason
from fundusd.files.filesystem import place_of
from fundusd.files.safe_read import is_gone
from fundusd.watcher.inbox import InboxWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.watcher.watch_cases import Watching


@pytest.fixture(params=[cases.NATIVE, cases.SWEEPING], ids=["hints", "sweeps"])
def rules(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


@pytest.fixture
def watched(tmp_path: Path, sqlite_url: str, rules: dict[str, Any]) -> Iterator[Watching]:
    with watching(tmp_path / "inbox", sqlite_url, **rules) as begun:
        yield begun


def missing(watched: Watching) -> set[bytes]:
    return {path for path, row in watched.sightings().items() if row["missing_since"] is not None}


def test_an_inbox_that_goes_away_loses_nothing_and_is_watched_again_when_back(
    watched: Watching,
) -> None:
    watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
    away = watched.inbox.parent / "away"
    watched.inbox.rename(away)
    watched.until(lambda: watched.lines("camera.offline"))
    assert missing(watched) == set()
    (away / "OS.jpg").write_bytes(jpeg("written meanwhile"))
    away.rename(watched.inbox)
    watched.wait_for("OS.jpg", jpeg("written meanwhile"))
    watched.wait_for(watched.drop("later.jpg", jpeg("later")), jpeg("later"))
    assert len(watched.lines("camera.offline")) == len(watched.lines("camera.online")) == 1
    assert len(watched.captures()) == 3


def test_an_inbox_that_is_replaced_between_two_looks_is_watched_anew(watched: Watching) -> None:
    watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
    watched.inbox.rename(watched.inbox.parent / "old")
    watched.inbox.mkdir()
    watched.wait_for(watched.drop("OS.jpg", jpeg("b")), jpeg("b"))
    watched.until(lambda: missing(watched) == {b"OD.jpg"})


def test_the_place_of_an_inbox_is_recorded_with_its_first_capture(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that goes before the first full sweep has ended must be missed."""
    monkeypatch.setattr(InboxWatch, "_continue_sweep", lambda _watch: None)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    with prepared(inbox, sqlite_url, **cases.NATIVE) as watched:
        watched.start()
        watched.until(lambda: watched.lines("hints.attached"))
        watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
        whereabouts = watched.ledger.whereabouts
        watched.until(lambda: whereabouts(ledger_cases.CAMERA).place == place_of(inbox))
        watched.stop()


def test_an_inbox_that_was_never_there_is_waited_for_and_never_made(
    tmp_path: Path, sqlite_url: str
) -> None:
    inbox = tmp_path / "inbox"
    with prepared(inbox, sqlite_url) as watched:
        watched.start()
        watched.until(lambda: watched.lines("camera.offline"))
        assert not inbox.exists()
        inbox.mkdir()
        watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
        watched.stop()


def test_the_disappearance_of_most_files_is_taken_for_an_outage(watched: Watching) -> None:
    for number in range(30):
        watched.drop(f"P{number % 3}/{number}.jpg", jpeg(str(number)))
    watched.until(lambda: len(watched.captures()) == 30)
    for folder in ("P0", "P1", "P2"):
        (watched.inbox / folder).rename(watched.inbox.parent / folder)
    watched.sweep()
    watched.sweep()
    assert missing(watched) == set()
    (entry,) = watched.lines("camera.offline")
    assert entry["reason"] == watched.camera()["offline_reason"] == "mass_disappearance"
    assert 15 < entry["missing"] <= 30  # a sweep in progress may have seen some of them
    since = watched.camera()["offline_since"]
    watched.sweep()
    assert watched.camera()["offline_since"] == since
    for folder in ("P0", "P1", "P2"):
        (watched.inbox.parent / folder).rename(watched.inbox / folder)
    watched.sweep()
    assert len(watched.captures()) == 30
    assert (watched.camera()["offline_reason"], watched.camera()["offline_since"]) == (None, None)
    assert ledger_cases.events(watched.ledger).count("camera.offline") == 1
    assert ledger_cases.events(watched.ledger).count("camera.online") == 1


def test_files_that_stay_away_from_a_living_inbox_were_tidied_up(watched: Watching) -> None:
    for number in range(30):
        watched.drop(f"P{number % 2}/{number}.jpg", jpeg(str(number)))
    watched.until(lambda: len(watched.captures()) == 30)
    watched.sweep()
    (watched.inbox / "P0").rename(watched.inbox.parent / "archive")
    (watched.inbox / "P1/1.jpg").unlink()
    shutil.move(watched.inbox / "P1/3.jpg", watched.inbox.parent)
    for number in range(5, 17, 2):
        (watched.inbox / f"P1/{number}.jpg").unlink()
    watched.sweep()
    watched.until(lambda: watched.camera()["offline_reason"] == "mass_disappearance")
    watched.clock_ahead = timedelta(hours=23)
    watched.sweep()
    assert missing(watched) == set()
    watched.clock_ahead = timedelta(hours=25)
    watched.sweep()
    watched.until(lambda: len(missing(watched)) == 23)
    watched.until(lambda: watched.camera()["offline_reason"] is None)


def test_a_disappearance_dated_by_a_clock_that_was_ahead_lasts_from_when_it_is_right(
    watched: Watching,
) -> None:
    for number in range(30):
        watched.drop(f"P{number % 2}/{number}.jpg", jpeg(str(number)))
    watched.until(lambda: len(watched.captures()) == 30)
    watched.sweep()
    watched.clock_ahead = timedelta(days=2000)
    (watched.inbox / "P0").rename(watched.inbox.parent / "archive")
    for number in range(1, 17, 2):
        (watched.inbox / f"P1/{number}.jpg").unlink()
    watched.sweep()
    watched.until(lambda: watched.camera()["offline_reason"] == "mass_disappearance")
    watched.clock_ahead = timedelta(0)
    watched.sweep()
    assert missing(watched) == set()
    watched.clock_ahead = timedelta(hours=25)
    watched.sweep()
    watched.until(lambda: len(missing(watched)) == 23)


def test_an_empty_directory_in_the_inboxs_place_is_an_outage_even_of_one_file(
    watched: Watching,
) -> None:
    """A mount point whose share is not mounted looks like this."""
    watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
    watched.sweep()
    watched.inbox.rename(watched.inbox.parent / "mounted")
    watched.inbox.mkdir()
    watched.until(lambda: watched.camera()["offline_reason"] == "empty")
    assert missing(watched) == set()
    watched.inbox.rmdir()
    (watched.inbox.parent / "mounted").rename(watched.inbox)
    watched.until(lambda: watched.camera()["offline_reason"] is None)
    assert len(watched.captures()) == 1


@pytest.mark.parametrize("left", [None, ".keep"])
def test_a_look_around_marks_nothing_missing_before_a_full_sweep_has_judged(
    tmp_path: Path, sqlite_url: str, left: str | None
) -> None:
    """A share of few files is unmounted: the next partial sweep sees what is left there."""
    rules: dict[str, Any] = {
        "mode": "sweep-only",
        "sweep_seconds": 3600.0,
        "active_sweep_seconds": 0.05,
        "directory_check_seconds": 0.05,
    }
    with watching(tmp_path / "inbox", sqlite_url, **rules) as watched:
        for number in range(15):
            watched.drop(f"P{number % 2}/{number}.jpg", jpeg(str(number)))
        watched.until(lambda: len(watched.captures()) == 15)
        watched.sweep()
        watched.inbox.rename(tmp_path / "mounted")
        watched.inbox.mkdir()
        if left is not None:
            (watched.inbox / left).touch()
        watched.until(lambda: watched.camera()["offline_reason"] == "empty")
        watched.sweep()
        assert missing(watched) == set()
        watched.drop("P0/new.jpg", jpeg("new"))
        watched.wait_for("P0/new.jpg", jpeg("new"))


def test_a_disappearance_that_lasted_is_believed_in_a_new_directory_too(
    watched: Watching,
) -> None:
    for number in range(25):
        watched.drop(f"{number}.jpg", jpeg(str(number)))
    watched.until(lambda: len(watched.captures()) == 25)
    watched.sweep()
    watched.inbox.rename(watched.inbox.parent / "old disk")
    watched.inbox.mkdir()
    watched.drop("new.jpg", jpeg("new"))
    watched.until(lambda: watched.camera()["offline_reason"] == "mass_disappearance")

    def are_missing_a_day_later() -> bool:
        # again and again: the first sweep may still take the old directory for the inbox
        watched.clock_ahead += timedelta(hours=25)
        watched.watcher.request_sweep()
        return len(missing(watched)) == 25

    watched.until(are_missing_a_day_later)
    watched.until(lambda: watched.camera()["offline_reason"] is None)


def test_an_inbox_that_is_emptied_is_no_outage(watched: Watching) -> None:
    watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
    watched.sweep()
    (watched.inbox / "OD.jpg").unlink()
    watched.sweep()
    watched.until(lambda: missing(watched) == {b"OD.jpg"})
    assert watched.camera()["offline_reason"] is None


def test_a_few_files_that_vanish_are_missing_and_no_outage(watched: Watching) -> None:
    for number in range(30):
        watched.drop(f"P{number % 10}/{number}.jpg", jpeg(str(number)))
    watched.until(lambda: len(watched.captures()) == 30)
    for name in ("P1/1.jpg", "P2/2.jpg"):
        (watched.inbox / name).unlink()
    shutil.rmtree(watched.inbox / "P3")
    watched.sweep()
    watched.until(
        lambda: (
            missing(watched) == {b"P1/1.jpg", b"P2/2.jpg", b"P3/3.jpg", b"P3/13.jpg", b"P3/23.jpg"}
        )
    )
    assert not watched.lines("camera.offline")


def test_a_capture_that_turns_into_a_link_is_missing(watched: Watching) -> None:
    watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
    (watched.inbox / "OD.jpg").unlink()
    (watched.inbox / "OD.jpg").symlink_to("/etc/hostname")
    watched.sweep()
    watched.until(lambda: missing(watched) == {b"OD.jpg"})


def test_old_captures_are_admitted_as_backlog_and_new_ones_before_them(
    tmp_path: Path, sqlite_url: str
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name, modified in (("old.jpg", 1), ("older.jpg", 0)):
        (inbox / name).write_bytes(jpeg(name))
        os.utime(inbox / name, (modified, modified))
    with watching(inbox, sqlite_url) as watched:
        watched.wait_for("old.jpg", jpeg("old.jpg"))
        watched.wait_for("older.jpg", jpeg("older.jpg"))
        watched.wait_for(watched.drop("new.jpg", jpeg("new")), jpeg("new"))
        claims = [watched.ledger.claim(1)[0].places[0].path for _ in range(3)]
    assert claims == [b"new.jpg", b"old.jpg", b"older.jpg"]


def test_a_baseline_is_recorded_unread_and_stays_one_when_only_touched(
    tmp_path: Path, sqlite_url: str
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "old.jpg").write_bytes(jpeg("old"))
    (tmp_path / "P001").mkdir()
    (tmp_path / "P001/OD.jpg").write_bytes(jpeg("as old, but not there yet"))
    with watching(inbox, sqlite_url, backlog="baseline") as watched:
        assert watched.sightings()[b"old.jpg"]["ignored"] == IgnoreReason.BASELINE
        (inbox / "old.jpg").chmod(0o600)
        watched.sweep()
        watched.sweep()
        assert watched.camera()["ignored"] == {"baseline": 1}
        watched.wait_for(watched.drop("new.jpg", jpeg("new")), jpeg("new"))
        (tmp_path / "P001").rename(inbox / "P001")
        watched.wait_for("P001/OD.jpg", jpeg("as old, but not there yet"))
        watched.wait_for(watched.drop("old.jpg", jpeg("rewritten")), jpeg("rewritten"))


def test_more_files_than_can_wait_are_all_admitted(tmp_path: Path, sqlite_url: str) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for number in range(35):
        (inbox / f"{number}.jpg").write_bytes(jpeg(str(number)))
    # one sweep an hour: the others are made for the files that were refused
    with watching(inbox, sqlite_url, max_settling=10) as watched:
        watched.until(lambda: len(watched.captures()) == 35)


def test_the_lease_rule_in_force_is_found_out_on_any_file(tmp_path: Path, sqlite_url: str) -> None:
    with watching(tmp_path / "inbox", sqlite_url) as watched:
        assert watched.camera()["lease_probe"] == "unknown"
        watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
    with watching(tmp_path / "inbox", sqlite_url) as watched:
        assert watched.camera()["lease_probe"] == "writer-lease"


def test_without_leases_twice_the_quiet_time_has_to_pass(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "inbox").mkdir()
    subprocess.run(
        [sys.executable, "-c", WITHOUT_LEASES, str(tmp_path / "inbox"), sqlite_url],
        check=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )


WITHOUT_LEASES = """
import signal, sys, time
from pathlib import Path
from tests.watcher import watch_cases
signal.signal(signal.SIGIO, signal.SIG_DFL)
watch_cases.ignore_lease_breaks = lambda: None
with watch_cases.watching(Path(sys.argv[1]), sys.argv[2], quiet_seconds=0.4) as watched:
    began = time.monotonic()
    watched.wait_for(watched.drop("OD.jpg", watch_cases.jpeg("a")), watch_cases.jpeg("a"))
    assert time.monotonic() - began > 0.8
    watched.sweep()
    assert watched.camera()["lease_probe"] == "double-quiet"
"""


def test_a_broken_ledger_ends_the_watcher(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "inbox").mkdir()
    with prepared(tmp_path / "inbox", sqlite_url) as watched:
        ledger_cases.execute(watched.ledger, "ALTER TABLE sighting RENAME TO lost")
        watched.start()
        with pytest.raises(LedgerError):
            watched.end()


def test_an_inbox_that_goes_in_the_middle_of_a_sweep_marks_nothing_missing(
    watched: Watching,
) -> None:
    watched.wait_for(watched.drop("P001/OD.jpg", jpeg("a")), jpeg("a"))
    away = watched.inbox.parent / "away"

    def take_away() -> None:
        if watched.inbox.exists():
            watched.inbox.rename(away)

    watched.on_beat = take_away
    watched.until(lambda: watched.lines("camera.offline"))
    assert missing(watched) == set()
    watched.on_beat = lambda: None
    away.rename(watched.inbox)
    watched.wait_for(watched.drop("P001/OS.jpg", jpeg("b")), jpeg("b"))
    assert missing(watched) == set()


def test_a_path_that_cannot_be_looked_at_is_not_called_gone(tmp_path: Path) -> None:
    assert is_gone(tmp_path, b"OD.jpg")
    assert not is_gone(tmp_path, b"x" * 300)
