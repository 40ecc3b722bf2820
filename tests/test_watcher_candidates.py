"""One file at a time, with the clock in the test's hand: what it takes to be admitted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import structlog

import ledger_cases
from fundusd.domain import Inbox
from fundusd.ledger import Ledger
from fundusd.reading import ignore_lease_breaks, stat_of
from fundusd.watcher.candidates import Calls, Candidates
from fundusd.watcher.intake import IntakeRules
from fundusd.watcher.sweeping import Sweep
from watch_cases import jpeg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fundusd.domain import Sighting, Stat


class Bench:
    """Candidates of an inbox, and hooks for what happens between two steps."""

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self.root, self.ledger = root, ledger
        self.now = 0.0
        self.on_beat: Callable[[], None] = lambda: None
        self.on_look: Callable[[], None] = lambda: None
        calls = Calls(lambda: None, self._beat, self._monotonic)
        inbox = Inbox(ledger_cases.CAMERA, root)
        self.candidates = Candidates(inbox, IntakeRules(quiet_seconds=2), ledger, calls)

    def _beat(self) -> None:
        self.on_beat()

    def _monotonic(self) -> float:
        self.on_look()
        return self.now

    def put(self, name: str = "OD.jpg") -> Path:
        path = self.root / name
        path.write_bytes(jpeg("a"))
        self.candidates.consider(os.fsencode(name), stat_of(path.stat()), None, hinted=True)
        return path

    def after(self, seconds: float) -> int:
        """Look again after some seconds; return how many captures there are."""
        self.now += seconds
        self.candidates.admit_ripe(10)
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
    assert bench.candidates.due() == 2
    assert bench.after(1.9) == 0
    assert bench.after(0.1) == 1
    assert bench.candidates.due() is None


def test_a_writer_at_the_file_makes_it_wait_on(bench: Bench) -> None:
    path = bench.put()
    with path.open("ab"):
        assert bench.after(2) == 0
        assert bench.after(2) == 0
    assert bench.candidates.rule == "writer-lease"
    assert bench.after(1.9) == 0
    assert bench.after(0.1) == 1


def test_on_a_network_share_twice_the_quiet_time_has_to_pass(bench: Bench) -> None:
    bench.candidates.attach(remote=True)
    bench.put()
    assert bench.after(3.9) == 0
    assert bench.after(0.1) == 1
    assert bench.candidates.rule == "double-quiet"


def test_a_file_that_changes_before_it_is_opened_waits_on(bench: Bench) -> None:
    path = bench.put()
    looks = iter([None, lambda: os.utime(path)])  # the second look is past the stat and before the open

    def touch() -> None:
        if (act := next(looks, None)) is not None:
            act()

    bench.on_look = touch
    assert bench.after(2) == 0
    assert bench.after(2) == 0  # the change is seen now
    assert bench.after(2) == 1


def test_a_file_that_changes_while_it_is_read_waits_on(bench: Bench) -> None:
    path = bench.put()
    beats = iter([None, lambda: os.utime(path)])  # the second sign of progress comes from the read

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
    assert bench.candidates.due() is None


def test_a_file_that_goes_between_look_and_open_is_waited_for_no_longer(bench: Bench) -> None:
    path = bench.put()
    looks = iter([None, path.unlink])

    def remove() -> None:
        if (act := next(looks, None)) is not None:
            act()

    bench.on_look = remove
    assert bench.after(2) == 0
    assert bench.candidates.due() is None


def test_a_file_that_cannot_be_opened_is_tried_less_and_less_often_and_told_of_once(bench: Bench) -> None:
    bench.put("./OD.jpg")  # there for a stat, refused by the opener
    with structlog.testing.capture_logs() as events:
        for wait in (2, 1, 2, 4):
            assert bench.after(wait) == 0
    assert bench.candidates.due() == 2 + 1 + 2 + 4 + 8
    assert [entry["event"] for entry in events] == ["capture.unreadable"]
    assert "OD" not in str(events)


def test_the_rule_is_not_found_out_on_a_file_that_is_gone(bench: Bench) -> None:
    bench.candidates.find_rule(None)
    bench.candidates.find_rule(b"gone.jpg")
    rules: list[str] = [bench.candidates.rule]
    bench.put()
    bench.candidates.find_rule(b"OD.jpg")
    assert [*rules, bench.candidates.rule] == ["unknown", "writer-lease"]


def test_a_file_that_goes_during_the_listing_counts_as_gone(bench: Bench) -> None:
    for name in ("a.jpg", "b.jpg"):
        bench.put(name)
    bench.after(2)
    seen: list[bytes] = []

    def consider(path: bytes, stat: Stat, sighting: Sighting | None, *, hinted: bool) -> bool:
        assert sighting is not None
        assert (sighting.stat, hinted) == (stat, False)
        seen.append(path)
        for name in {b"a.jpg", b"b.jpg"} - {path}:
            (bench.root / os.fsdecode(name)).unlink()
        return True

    sweep = Sweep(Inbox(ledger_cases.CAMERA, bench.root), bench.ledger, consider, lambda: None)
    sweep.run()
    assert len(seen) == 1
    assert sweep.gone == list({b"a.jpg", b"b.jpg"} - set(seen))
