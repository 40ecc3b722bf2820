"""When a file is admitted: one file at a time, with a clock that the test controls."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from tests import ledger_cases
from tests.watcher.watch_cases import jpeg

from fundusd.domain.files import IgnoreReason, Inbox
from fundusd.files.safe_read import stat_of
from fundusd.files.writer_lease import ignore_lease_breaks
from fundusd.ledger import Ledger
from fundusd.watcher.candidates import Candidates
from fundusd.watcher.rules import Callbacks, IntakeRules, SweepRules
from fundusd.watcher.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fundusd.domain.files import Admission, SettledFile, Sighting, Stat


class Bench:
    """The candidates of an inbox, with hooks that run between two steps."""

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self.root, self.ledger = root, ledger
        self.now = 0.0
        self.on_beat: Callable[[], None] = lambda: None
        self.on_look: Callable[[], None] = lambda: None
        self.on_consider: Callable[[Sighting | None], None] = lambda _: None
        self.considered: set[bytes] = set()
        callbacks = Callbacks(lambda: None, self._beat, self._monotonic)
        inbox = Inbox(ledger_cases.CAMERA, root)
        self.candidates = Candidates(inbox, IntakeRules(quiet_seconds=2), ledger, callbacks)

    def _beat(self) -> None:
        self.on_beat()

    def _monotonic(self) -> float:
        self.on_look()
        return self.now

    def put(self, name: str = "OD.jpg", word: str = "a") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(word))
        self.candidates.consider(os.fsencode(name), stat_of(path.stat()), None, hinted=True)
        return path

    def _consider(
        self, path: bytes, stat: Stat, sighting: Sighting | None, *, hinted: bool
    ) -> bool:
        self.considered.add(path)
        self.on_consider(sighting)
        return self.candidates.consider(path, stat, sighting, hinted=hinted)

    def sweep(self, ignore: tuple[str, ...] = (), **how: Any) -> Sweep:
        """Sweep the inbox, or a part of it."""
        inbox = Inbox(ledger_cases.CAMERA, self.root, ignore)
        sweep = Sweep(
            inbox, self.ledger, self._consider, lambda: None, waiting=self.candidates.waiting, **how
        )
        sweep.run()
        return sweep

    def after(self, seconds: float) -> int:
        """Let some seconds pass, admit what has settled, and return the number of captures."""
        self.now += seconds
        self.candidates.admit_settled(10)
        return len(ledger_cases.captures(self.ledger))


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Ledger]:
    opened = Ledger(sqlite_url)
    opened.start(ledger_cases.release())
    opened.register_camera(ledger_cases.CAMERA)
    yield opened
    opened.close()


@pytest.fixture
def bench(tmp_path: Path, ledger: Ledger) -> Bench:
    ignore_lease_breaks()
    (tmp_path / "inbox").mkdir()
    return Bench(tmp_path / "inbox", ledger)


def test_a_file_is_admitted_when_its_quiet_time_is_over(bench: Bench) -> None:
    bench.put()
    assert bench.candidates.next_ready_at() == 2
    assert bench.after(1.9) == 0
    assert bench.after(0.1) == 1
    assert bench.candidates.next_ready_at() is None


def test_files_of_unknown_format_let_photographs_go_first(bench: Bench) -> None:
    for number in range(30):
        path = bench.put(f"{number}.jpg")
        path.write_bytes(b"%d" % number)
        bench.candidates.consider(os.fsencode(path.name), stat_of(path.stat()), None, hinted=True)
    bench.put("OD.jpg")
    assert bench.after(2) == 1
    (capture,) = ledger_cases.captures(bench.ledger)
    assert capture["path"] == b"OD.jpg"
    assert [bench.after(0), bench.after(0), bench.after(0)] == [11, 21, 31]


def test_a_writer_at_the_file_makes_it_wait_on(bench: Bench) -> None:
    path = bench.put()
    with path.open("ab"):
        assert bench.after(2) == 0
        assert bench.after(2) == 0
    assert bench.candidates.lease_rule == "writer-lease"
    assert bench.after(1.9) == 0
    assert bench.after(0.1) == 1


def test_on_a_network_share_twice_the_quiet_time_has_to_pass(bench: Bench) -> None:
    bench.candidates.attach(remote=True)
    bench.put()
    assert bench.after(3.9) == 0
    assert bench.after(0.1) == 1
    assert bench.candidates.lease_rule == "double-quiet"


def test_a_file_that_changes_before_it_is_opened_waits_on(bench: Bench) -> None:
    path = bench.put()
    # the third call comes between the stat and the open
    looks = iter([None, None, lambda: os.utime(path)])

    def touch() -> None:
        if (act := next(looks, None)) is not None:
            act()

    bench.on_look = touch
    assert bench.after(2) == 0
    assert bench.after(2) == 0  # the change is seen now
    assert bench.after(2) == 1


def test_a_file_that_changes_while_it_is_read_waits_on(bench: Bench) -> None:
    path = bench.put()
    beats = iter([None, lambda: os.utime(path)])  # the second beat comes from the read

    def touch() -> None:
        if (act := next(beats, None)) is not None:
            act()

    bench.on_beat = touch
    assert bench.after(2) == 0
    assert bench.after(2) == 0
    assert bench.after(2) == 1


def test_a_file_that_is_gone_is_waited_for_no_longer(bench: Bench) -> None:
    bench.put().unlink()
    assert bench.after(2) == 0
    assert bench.candidates.next_ready_at() is None


def test_a_file_that_goes_between_look_and_open_is_waited_for_no_longer(bench: Bench) -> None:
    path = bench.put()
    looks = iter([None, path.unlink])

    def remove() -> None:
        if (act := next(looks, None)) is not None:
            act()

    bench.on_look = remove
    assert bench.after(2) == 0
    assert bench.candidates.next_ready_at() is None


def test_a_file_that_cannot_be_opened_is_tried_less_and_less_often_and_logged_once(
    bench: Bench,
) -> None:
    bench.put("./OD.jpg")  # there for a stat, refused by the opener
    with structlog.testing.capture_logs() as events:
        for wait in (2, 1, 2, 4):
            assert bench.after(wait) == 0
    assert bench.candidates.next_ready_at() == 2 + 1 + 2 + 4 + 8
    assert [entry["event"] for entry in events] == ["capture.unreadable"]
    assert "OD" not in str(events)


def test_the_rule_is_not_found_out_on_a_file_that_is_gone(bench: Bench) -> None:
    bench.candidates.detect_lease_rule(None)
    bench.candidates.detect_lease_rule(b"gone.jpg")
    rules: list[str] = [bench.candidates.lease_rule]
    bench.put()
    bench.candidates.detect_lease_rule(b"OD.jpg")
    assert [*rules, bench.candidates.lease_rule] == ["unknown", "writer-lease"]


def test_what_has_settled_is_admitted_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit, together = bench.ledger.admit, []

    def counted(*files: SettledFile) -> list[Admission]:
        together.append(len(files))
        return admit(*files)

    monkeypatch.setattr(bench.ledger, "admit", counted)
    for number in range(12):
        bench.put(f"{number}.jpg", word=str(number))
    assert bench.after(2) == 10  # as many as were asked for
    assert bench.after(0) == 12
    assert bench.after(2) == 12
    assert together == [10, 2]


def test_files_that_are_no_captures_are_remembered_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignore, together = bench.ledger.ignore, []

    def counted(camera_id: str, files: dict[bytes, tuple[Stat, IgnoreReason]]) -> None:
        together.append(len(files))
        ignore(camera_id, files)

    monkeypatch.setattr(bench.ledger, "ignore", counted)
    for number in range(4):
        bench.put(f"{number}.xml").write_text("<note/>")
    bench.sweep()  # sees the changed files
    assert bench.after(2) == 0
    assert together == [4]
    assert bench.candidates.next_ready_at() is None


# -- sweeps, with what the ledger remembers


def test_a_file_that_goes_during_the_listing_counts_as_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "b.jpg"):
        bench.put(name)
    assert bench.after(2) == 2
    present = bench.ledger.present

    def after_the_listing(*asked: Any) -> Any:
        (bench.root / "a.jpg").unlink()
        return present(*asked)

    monkeypatch.setattr(bench.ledger, "present", after_the_listing)
    assert bench.sweep().gone == [b"a.jpg"]


@pytest.mark.parametrize("large", [2000, 3], ids=["small directories", "large directories"])
def test_a_sweep_finds_what_changed_came_and_went_and_nothing_else(
    bench: Bench, large: int
) -> None:
    rules = SweepRules(max_sightings=large, max_entries=4)
    for number in range(30):
        bench.put(f"P{number % 3}/visit/{number}.jpg", word=str(number))
    assert [bench.after(2), bench.after(0), bench.after(0)] == [10, 20, 30]
    assert bench.sweep(rules=rules).tally.present == 30
    assert bench.considered == set()
    bench.put("P0/visit/0.jpg", word="changed")
    bench.put("P9/new.jpg", word="new")
    (bench.root / "P1/visit/1.jpg").unlink()
    (bench.root / "P2/visit/2.jpg").unlink()
    (bench.root / "P2/visit/2.jpg").symlink_to("/etc/hostname")
    bench.considered.clear()
    sweep = bench.sweep(rules=rules)
    assert bench.considered == {b"P0/visit/0.jpg", b"P9/new.jpg"}
    assert set(sweep.gone) == {b"P1/visit/1.jpg", b"P2/visit/2.jpg"}
    assert (sweep.tally.files, sweep.tally.present, sweep.tally.vanished, sweep.tally.waiting) == (
        30,
        28,
        2,
        2,
    )
    assert sweep.tally.ignored == {IgnoreReason.SYMLINK: 1}


def test_storage_folders_and_excluded_paths_are_counted_and_not_listed(bench: Bench) -> None:
    paths = ("P1/OD.jpg", "P1/OD_report.jpg", "@Recycle/P1/OD.jpg", "#snapshot/2026/OD.jpg")
    for path in (*paths, "test/a.jpg", "test/b.jpg"):
        (bench.root / path).parent.mkdir(parents=True, exist_ok=True)
        (bench.root / path).write_bytes(jpeg(path))
    sweep = bench.sweep(ignore=("test/", "*_report.jpg"))
    assert bench.considered == {b"P1/OD.jpg"}
    assert sweep.tally.ignored == {IgnoreReason.STORAGE_FOLDER: 2, IgnoreReason.EXCLUDED: 2}


def test_captures_that_are_excluded_later_do_not_count_as_vanished(bench: Bench) -> None:
    for name in ("test/a.jpg", "P1/report.jpg", "P1/OD.jpg", "P1/OS.jpg"):
        bench.put(name, word=name)
    assert bench.after(2) == 4
    for name in ("test/a.jpg", "P1/report.jpg", "P1/OS.jpg"):
        (bench.root / name).unlink()
    assert bench.sweep(ignore=("test/", "report.*")).gone == [b"P1/OS.jpg"]


@pytest.mark.parametrize("large", [2000, 1], ids=["small directories", "large directories"])
def test_a_file_that_returns_is_distinguished_from_a_new_one(bench: Bench, large: int) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        bench.put(name)
    assert bench.after(2) == 3
    bench.ledger.mark_missing(ledger_cases.CAMERA, [b"b.jpg"])
    sightings: list[Sighting | None] = []
    bench.on_consider = sightings.append
    sweep = bench.sweep(rules=SweepRules(max_sightings=large))
    (returned,) = sightings
    assert returned is not None
    assert returned.missing
    assert (sweep.tally.present, sweep.tally.vanished) == (2, 0)


def test_a_file_that_waits_is_looked_at_although_it_is_as_remembered(bench: Bench) -> None:
    path = bench.put()
    assert bench.after(2) == 1
    bench.candidates.consider(b"OD.jpg", stat_of(path.stat())._replace(size=1), None, hinted=False)
    assert bench.candidates.next_ready_at() is not None
    bench.sweep()
    assert bench.candidates.next_ready_at() is None


def test_a_directory_that_goes_takes_its_files_along(bench: Bench) -> None:
    for number in range(6):
        bench.put(f"P{number % 2}/{number}.jpg", word=str(number))
    assert bench.after(2) == 6
    shutil.rmtree(bench.root / "P1")
    assert set(bench.sweep().gone) == {b"P1/1.jpg", b"P1/3.jpg", b"P1/5.jpg"}
    assert set(bench.sweep(start=b"P1", hinted=True).gone) == {
        b"P1/1.jpg",
        b"P1/3.jpg",
        b"P1/5.jpg",
    }
    assert set(bench.sweep(start=b"P1", hinted=True, deep=False).gone) == {
        b"P1/1.jpg",
        b"P1/3.jpg",
        b"P1/5.jpg",
    }


def test_a_hint_at_a_folder_that_is_empty_now_finds_its_files_gone(bench: Bench) -> None:
    bench.put("P1/OD.jpg")
    assert bench.after(2) == 1
    (bench.root / "P1/OD.jpg").unlink()
    assert bench.sweep(start=b"P1", hinted=True, deep=False).gone == [b"P1/OD.jpg"]


def test_no_more_paths_are_kept_as_gone_than_one_pass_needs(bench: Bench) -> None:
    for number in range(5):
        bench.put(f"{number}.jpg", word=str(number)).stat()
    assert bench.after(2) == 5
    for number in range(4):
        (bench.root / f"{number}.jpg").unlink()
    sweep = bench.sweep(rules=SweepRules(max_gone=2))
    assert (len(sweep.gone), sweep.tally.vanished) == (2, 4)
