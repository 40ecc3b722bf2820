"""Between full sweeps: directories whose mtimes changed, and active ones, are swept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.watcher.watch_cases import jpeg, watching

from fundusd.watcher.directory_times import DirectoryTimes
from fundusd.watcher.rules import DirectoryRules

if TYPE_CHECKING:
    from pathlib import Path

DAY = 24 * 3600.0


class Known:
    """The times of a real directory's folders, by a clock that the test sets."""

    def __init__(self, root: Path, **rules: Any) -> None:
        self.root, self.now = root, 1000.0
        self.tick = 0.0
        self.folders = DirectoryTimes(
            root, DirectoryRules(**rules), self._monotonic, lambda: int(self.now * 1e9)
        )

    def _monotonic(self) -> float:
        self.now += self.tick
        return self.now

    def make(self, name: str, changed: float) -> None:
        (self.root / name).mkdir()
        self.date(name, changed)
        self.folders.record(os.fsencode(name))

    def date(self, name: str, at: float) -> None:
        os.utime(self.root / name, (at, at))

    def changed(self) -> list[bytes]:
        """Check all folders; return those that changed."""
        changed = self.folders.check(60.0, lambda: None)
        assert not self.folders.is_checking
        return changed


@pytest.fixture
def known(tmp_path: Path) -> Known:
    return Known(tmp_path)


def test_a_folder_whose_time_moved_is_found_and_others_are_not(known: Known) -> None:
    for name in ("a", "b", "c"):
        known.make(name, 900)
    assert known.changed() == []
    known.date("b", 950)
    assert known.changed() == [b"b"]
    assert known.changed() == [b"b"], "until it is listed"
    known.folders.record(b"b")
    assert known.changed() == []


def test_a_folder_that_is_gone_is_reported_once(known: Known) -> None:
    known.make("a", 900)
    (known.root / "a").rmdir()
    assert known.changed() == [b"a"]
    assert known.changed() == []
    assert b"a" not in known.folders
    with pytest.raises(FileNotFoundError):
        known.folders.record(b"a")


def test_a_pass_over_many_folders_is_made_in_pieces(tmp_path: Path) -> None:
    known = Known(tmp_path, max_checked=2)
    for number in range(5):
        known.make(str(number), 900)
        known.date(str(number), 950)
    beats: list[None] = []
    changed, rounds = [], 0
    while not rounds or known.folders.is_checking:
        known.tick = 0.5  # seconds that each look at the clock takes
        changed += known.folders.check(0.6, lambda: beats.append(None))
        rounds += 1
    assert sorted(changed) == [b"0", b"1", b"2", b"3", b"4"]
    assert len(beats) == rounds == 3


@pytest.mark.parametrize("max_active", [3, 1])
def test_folders_are_active_for_a_day_the_newest_first(tmp_path: Path, max_active: int) -> None:
    known = Known(tmp_path, max_active=max_active)
    known.now = 10 * DAY
    known.make("cold", 8 * DAY)
    known.make("warm", 9.5 * DAY)
    known.make("new", 10 * DAY)
    known.make("tomorrow", 11 * DAY)  # by a clock that is wrong
    assert known.folders.active() == [b"tomorrow", b"new", b"warm"][:max_active]
    known.now += 0.6 * DAY
    assert known.folders.active() == [b"tomorrow", b"new"][:max_active]
    known.date("cold", 10.6 * DAY)
    known.folders.record(b"cold")
    assert known.folders.active() == [b"cold", b"tomorrow", b"new"][:max_active]


@pytest.mark.parametrize("cadence", ["active", "mtimes"])
def test_captures_are_found_between_full_sweeps_without_hints(
    tmp_path: Path, sqlite_url: str, cadence: str
) -> None:
    (tmp_path / "inbox" / "P1").mkdir(parents=True)
    rules: dict[str, Any] = {
        "mode": "sweep-only",
        "sweep_seconds": 3600.0,
        "active_sweep_seconds": 0.1 if cadence == "active" else 3600.0,
        "directory_check_seconds": 3600.0 if cadence == "active" else 0.1,
    }
    with watching(tmp_path / "inbox", sqlite_url, **rules) as watched:
        swept = watched.swept_at()
        watched.wait_for(watched.drop("P1/OD.jpg", jpeg("a")), jpeg("a"))
        watched.wait_for(watched.drop("P2/visit/left/OS.jpg", jpeg("b")), jpeg("b"))
        (watched.inbox / "P1" / "OD.jpg").unlink()
        watched.until(lambda: watched.sightings()[b"P1/OD.jpg"]["missing_since"] is not None)
        if cadence == "active":
            watched.wait_for(
                watched.drop("P2/visit/left/OS.jpg", jpeg("in place")), jpeg("in place")
            )
        assert watched.swept_at() == swept
        watched.sweep()
        assert (watched.camera()["hinted"], watched.camera()["swept"]) == (
            0,
            3 if cadence == "active" else 2,
        )
