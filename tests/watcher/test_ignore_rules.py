"""Which files and folders of an inbox are passed over."""

from __future__ import annotations

import time
import unicodedata
from typing import TYPE_CHECKING

import pytest

from fundusd.domain.files import IgnoreReason
from fundusd.watcher.ignore_rules import IgnoreRules, named_like_captures, rules_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "name",
    [
        "@eaDir",
        "#recycle",
        "#snapshot",
        "@Recycle",
        "@Recently-Snapshot",
        ".@__thumb",
        "Network Recycle Bin 1",
        "trashbox",
        ".snapshot",
        "~snapshot",
        ".zfs",
        "$RECYCLE.BIN",
        "RECYCLER",
        "Recycle.Bin",
        "DfsrPrivate",
        "Backups.backupdb",
        "_gsdata_",
        "Recycle Bin",
        "System Volume Information",
        "found.000",
        ".Trashes",
        ".Spotlight-V100",
        "Network Trash Folder",
        ".Trash-1000",
        "lost+found",
        "@GMT-2026.11.25-03.00.00",
        ".stversions",
    ],
)
def test_folders_of_storage_are_recognised_in_any_letter_case(name: str) -> None:
    for spelling in (name, name.upper(), name.lower()):
        path = f"export/{spelling}".encode()
        assert IgnoreRules().of_folder(path) is IgnoreReason.STORAGE_FOLDER
        assert IgnoreRules().covers(path + b"/GMT+01-2026.11.25/P1")


@pytest.mark.parametrize(
    "name",
    ["Snapshots", "Snapshot", "Recycler_P1", "found", "backup", "2026-11-25", "P1", "Trash Street"],
)
def test_a_folder_that_a_clinic_may_have_named_is_not_passed_over(name: str) -> None:
    assert IgnoreRules().of_folder(name.encode()) is None
    assert not IgnoreRules().covers(b"export/" + name.encode())


def test_a_file_is_not_ignored_for_the_name_of_a_storage_folder() -> None:
    assert IgnoreRules().of_file(b"@Recycle") is None


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*_report.jpg", "P1/12_Report.JPG", True),
        ("*_report.jpg", "P1/12_report.jpg.jpg", False),
        ("P1/*.jpg", "P1/12.jpg", True),
        ("P1/*.jpg", "a/P1/12.jpg", False),
        ("P1/*.jpg", "P1/visit/12.jpg", False),
        ("service/**/*.tif", "service/a.tif", True),
        ("service/**/*.tif", "service/2026/11/a.tif", True),
        ("service/**/*.tif", "other/service/a.tif", False),
        ("**/test/*", "a/b/test/12.jpg", True),
        ("**/test/*", "test/12.jpg", True),
        ("**/test/*", "test/b/12.jpg", False),
        ("service/**", "service/2026/a.tif", True),
        ("service/**", "service", False),
        ("IMG_000?.jpg", "IMG_0001.jpg", True),
        ("IMG_000?.jpg", "IMG_00012.jpg", False),
        ("x[0-4].jpg", "X3.jpg", True),
        ("x[!0-4].jpg", "x3.jpg", False),
        ("[[]old] *", "[old] 1.jpg", True),
        ("größe*", unicodedata.normalize("NFD", "Größe 1.jpg"), True),
        ("calibration/", "calibration", False),
        ("a.jpg", "b.jpg", False),
    ],
)
def test_a_glob_matches_as_described(glob: str, path: str, matches: bool) -> None:
    expected = IgnoreReason.EXCLUDED if matches else None
    assert IgnoreRules(["no such name", glob]).of_file(path.encode()) is expected


def test_a_slash_at_the_end_restricts_a_glob_to_folders() -> None:
    rules = IgnoreRules(["calibration/", "P1/test/"])
    assert rules.of_folder(b"2026/Calibration") is IgnoreReason.EXCLUDED
    assert rules.of_folder(b"P1/test") is IgnoreReason.EXCLUDED
    assert rules.of_folder(b"2026/P1/test") is None
    assert rules.of_file(b"calibration") is None
    assert rules.covers(b"calibration/2026/11")
    assert not rules.covers(b"2026/11")


def test_a_name_that_is_no_text_is_compared_all_the_same() -> None:
    assert IgnoreRules(["*.jpg_old"]).of_file(b"\xff\xe9.jpg_old") is IgnoreReason.EXCLUDED


@pytest.mark.parametrize(
    ("glob", "message"),
    [
        ("*", "every photograph"),
        ("**", "every photograph"),
        ("*.*", "every photograph"),
        ("*/", "every photograph"),
        ("**/*", "every photograph"),
        ("*/*", "every photograph"),
        ("*/*/", "every photograph"),
        ("*/*/*.*", "every photograph"),
        ("/srv/inbox/test", "relative to the inbox"),
        ("/", "relative to the inbox"),
        ("a\\b", "backslash"),
        ("a//b", "must name every folder"),
        ("../b", "must name every folder"),
        ("", "must name every folder"),
        ("**/a/**/b/**/c/**/d", "more than 3 times"),
    ],
)
def test_a_glob_that_cannot_be_meant_is_refused(glob: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IgnoreRules([glob])


def test_no_glob_makes_a_sweep_slow() -> None:
    rules = IgnoreRules(["*a" * 90 + "b", "**/a*/**/a*/**/a*b"])
    before = time.monotonic()
    assert rules.of_file(b"a" * 250) is None
    assert rules.of_file(b"/".join([b"a"] * 60)) is None
    assert time.monotonic() - before < 2


def test_names_like_captures_are_found_outside_of_what_is_passed_over(tmp_path: Path) -> None:
    for path in ("P1/12.jpg", "P1/13", "@Recycle/P1/12.jpg", "test/a.jpg", "P1/x.pdf", "P1/r.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    (tmp_path / "P1/link.jpg").symlink_to("12.jpg")
    rules = rules_of(("test/", "P1/r.*"))
    assert sorted(named_like_captures(tmp_path, rules)) == [b"P1/12.jpg", b"P1/13"]
