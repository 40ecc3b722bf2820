"""Incomplete files are reported, quarantined, and reopened by any change."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests import ledger_cases
from tests.watcher.watch_cases import NATIVE, SWEEPING, jpeg, watching

from fundusd.app.reconcile import reconcile
from fundusd.domain.files import IncompleteFile, Stat, WaitReason
from fundusd.watcher.incomplete_files import IncompleteFiles
from fundusd.watcher.rules import IntakeRules

if TYPE_CHECKING:
    from pathlib import Path


AT = datetime(2026, 11, 24, 8, tzinfo=UTC)
SMALL, GROWN = Stat(1, 1, 1, 7), Stat(2, 2, 2, 7)
NAME = b"P1/OD.jpg"


def waits(known: dict[bytes, IncompleteFile] | None = None) -> IncompleteFiles:
    rules = IntakeRules(grace_seconds=600, now=lambda: AT)
    return IncompleteFiles(known or {}, rules, now=0)


def test_what_is_soon_complete_is_never_shown() -> None:
    some = waits()
    some.note(NAME, SMALL, WaitReason.HELD, 0)
    assert some.to_report(9) is None
    some.drop(NAME)
    assert some.to_report(100) is None


def test_what_waits_is_shown_once_with_its_reason_and_since_when() -> None:
    some = waits()
    some.note(NAME, SMALL, WaitReason.HELD, 0)
    assert some.to_report(10) == {NAME: IncompleteFile(WaitReason.HELD, 1, AT)}
    assert some.to_report(11) is None
    some.note(NAME, GROWN, WaitReason.CHANGING, 12)
    assert some.to_report(12) == {NAME: IncompleteFile(WaitReason.CHANGING, 2, AT)}
    some.drop(NAME)
    assert some.to_report(13) == {}


def test_what_stays_as_it_is_is_given_up_once_and_any_change_opens_it_again() -> None:
    some = waits()
    some.note(NAME, SMALL, WaitReason.HELD, 0)
    some.note(NAME, SMALL, WaitReason.HELD, 300)
    assert some.quarantine(599) == []
    assert some.quarantine(600) == [NAME]
    assert some.quarantine(601) == []
    assert some.to_report(601) == {NAME: IncompleteFile(WaitReason.HELD, 1, AT, AT)}
    some.note(NAME, GROWN, WaitReason.HELD, 700)
    assert some.to_report(700) == {NAME: IncompleteFile(WaitReason.HELD, 2, AT)}
    assert some.quarantine(1299) == []
    assert some.quarantine(1300) == [NAME]


def test_a_file_that_keeps_changing_is_never_given_up() -> None:
    some = waits()
    for second in range(0, 6000, 500):
        some.note(NAME, Stat(second, second, second, 7), WaitReason.CHANGING, second)
        assert some.quarantine(second) == []


def test_a_restart_goes_on_with_what_was_written() -> None:
    since = AT - timedelta(hours=1)
    before = {NAME: IncompleteFile(WaitReason.EMPTY, 0, since, since)}
    some = waits(before)
    assert some.to_report(0) is None
    some.note(NAME, Stat(0, 1, 1, 7), WaitReason.EMPTY, 1)
    assert some.quarantine(10_000) == []
    assert some.to_report(1) is None
    some.prune(lambda path: path == NAME, lambda _path: True)
    assert some.to_report(2) == {}


def test_what_was_waited_for_before_a_restart_and_is_no_longer_is_forgotten() -> None:
    """It was admitted just before the stop: no sweep examines a file that matches its sighting."""
    some = waits(
        {
            NAME: IncompleteFile(WaitReason.HELD, 1, AT),
            b"OS.jpg": IncompleteFile(WaitReason.EMPTY, 0, AT),
        }
    )
    some.note(b"OS.jpg", Stat(0, 1, 1, 7), WaitReason.EMPTY, 1)
    some.prune(lambda _path: False, lambda _path: False)
    assert some.to_report(2) == {b"OS.jpg": IncompleteFile(WaitReason.EMPTY, 0, AT)}


def test_a_change_during_a_restart_opens_a_file_again() -> None:
    some = waits({NAME: IncompleteFile(WaitReason.HELD, 1, AT, AT)})
    some.note(NAME, GROWN, WaitReason.HELD, 1)
    assert some.to_report(1) == {NAME: IncompleteFile(WaitReason.HELD, 2, AT)}


def test_an_empty_file_and_a_closed_one_are_shown_until_they_are_admitted(
    tmp_path: Path, sqlite_url: str
) -> None:
    rules = SWEEPING | {
        "grace_seconds": 0.5,
        "min_incomplete_seconds": 0.0,
        "incomplete_check_seconds": 0.05,
    }
    with watching(tmp_path / "inbox", sqlite_url, **rules) as watched:
        empty = watched.drop("P1/OD.jpg", b"")
        held = watched.inbox / "OS.jpg"
        with held.open("wb") as writer:
            writer.write(jpeg("half"))
            writer.flush()
            watched.until(
                lambda: (
                    set(watched.ledger.incomplete_files(ledger_cases.CAMERA)) == {empty, b"OS.jpg"}
                )
            )
            watched.until(lambda: watched.camera()["incomplete"]["quarantined"] == 2)
            files = watched.ledger.incomplete_files(ledger_cases.CAMERA)
            assert {path: (file.reason, file.size) for path, file in files.items()} == {
                empty: (WaitReason.EMPTY, 0),
                b"OS.jpg": (WaitReason.HELD, 204),
            }
            os.utime(held, (0, 0))  # changed long ago, according to its mtime
            inbox = watched.watcher._inboxes[0]
            later = max(os.stat(inbox.root / os.fsdecode(path)).st_ctime for path in files) + 3600  # noqa: PTH116
            assert dict(reconcile(watched.ledger, inbox, 1, lambda: later).counts) == {
                "incomplete: empty": 1,
                "incomplete: held": 1,
            }
            assert watched.captures() == []
        watched.drop("P1/OD.jpg", jpeg("filled"))
        watched.wait_for("P1/OD.jpg", jpeg("filled"))
        watched.wait_for("OS.jpg", jpeg("half"))
        watched.until(lambda: watched.camera()["incomplete"] is None)
        lines = watched.lines("capture.quarantined")
        assert sum(entry["count"] for entry in lines) >= 2
        assert "OS.jpg" not in str(lines)


def test_an_empty_file_that_goes_is_shown_no_longer(tmp_path: Path, sqlite_url: str) -> None:
    rules = NATIVE | {"min_incomplete_seconds": 0.0}
    with watching(tmp_path / "inbox", sqlite_url, **rules) as watched:
        watched.drop("OD.jpg", b"")
        watched.sweep()
        watched.until(lambda: watched.camera()["incomplete"] is not None)
        (watched.inbox / "OD.jpg").unlink()
        watched.sweep()
        watched.until(lambda: watched.camera()["incomplete"] is None)
