"""Files in an inbox are found by events alone and by sweeps alone."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests import container_cases as containers
from tests import ledger_cases
from tests.container_cases import Page
from tests.watcher import watch_cases as cases
from tests.watcher.watch_cases import digest, jpeg, watching

from fundusd.domain.files import IgnoreReason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.watcher.watch_cases import Watching


@pytest.fixture(params=[cases.NATIVE, cases.SWEEPING], ids=["hints", "sweeps"])
def rules(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


@pytest.fixture
def watched(tmp_path: Path, sqlite_url: str, rules: dict[str, Any]) -> Iterator[Watching]:
    with watching(tmp_path / "inbox", sqlite_url, **rules) as begun:
        yield begun


def test_a_new_file_is_admitted_once_with_its_digest(watched: Watching) -> None:
    path = watched.drop("OD.jpg", jpeg("a"))
    watched.wait_for(path, jpeg("a"))
    watched.sweep()
    (capture,) = watched.captures()
    assert (capture["path"], capture["revision"], capture["size"]) == (b"OD.jpg", 1, 204)
    assert watched.worked == 1


@pytest.mark.parametrize(
    "name", [b"\xff\xfe OD.jpg", b"a\nb.jpg", b"x" * 251 + b".jpg", b"P001/2024/OD", b"OS.JPG"]
)
def test_a_capture_is_found_under_any_name(watched: Watching, name: bytes) -> None:
    watched.wait_for(watched.drop(name, jpeg("a")), jpeg("a"))


def test_a_file_that_is_moved_linked_or_renamed_into_place_is_found(
    watched: Watching, tmp_path: Path
) -> None:
    (tmp_path / "out.jpg").write_bytes(jpeg("moved in"))
    (tmp_path / "out.jpg").rename(watched.inbox / "moved.jpg")
    (tmp_path / "link.jpg").write_bytes(jpeg("linked"))
    (watched.inbox / "linked.jpg").hardlink_to(tmp_path / "link.jpg")
    watched.drop("renamed.jpg.part", jpeg("renamed"))
    (watched.inbox / "renamed.jpg.part").rename(watched.inbox / "renamed.jpg")
    (tmp_path / "P001/2024").mkdir(parents=True)
    (tmp_path / "P001/2024/OD.jpg").write_bytes(jpeg("folder"))
    (tmp_path / "P001").rename(watched.inbox / "P001")
    for path, word in (
        ("moved.jpg", "moved in"),
        ("linked.jpg", "linked"),
        ("renamed.jpg", "renamed"),
    ):
        watched.wait_for(path, jpeg(word))
    watched.wait_for("P001/2024/OD.jpg", jpeg("folder"))
    assert len(watched.captures()) == 4


def test_no_first_file_of_a_new_folder_is_lost(watched: Watching) -> None:
    for number in range(200):
        watched.drop(f"P{number:03}/{number % 7}/visit/OD.jpg", jpeg(str(number)))
    watched.until(lambda: len(watched.captures()) == 200)
    assert len({row["digest"] for row in watched.captures()}) == 200
    assert 1 <= watched.worked <= 200, "files admitted together wake the worker once"


def test_a_writer_that_stalls_is_not_read_while_it_holds_the_file(watched: Watching) -> None:
    whole = jpeg("slow", 5000)
    with (watched.inbox / "slow.jpg").open("wb") as writer:
        writer.write(whole[:2000])
        writer.flush()
        watched.drop("other.jpg", jpeg("other"))
        watched.wait_for("other.jpg", jpeg("other"))
        watched.drop("later.jpg", jpeg("later"))  # at least twice the quiet time has passed by now
        watched.wait_for("later.jpg", jpeg("later"))
        assert b"slow.jpg" not in watched.current()
        writer.write(whole[2000:])
    watched.wait_for("slow.jpg", whole)
    assert len(watched.captures()) == 3


def test_other_bytes_of_the_same_size_and_time_are_the_next_revision(watched: Watching) -> None:
    watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
    stat = (watched.inbox / "OD.jpg").stat()
    (watched.inbox / "OD.jpg").write_bytes(jpeg("b"))
    os.utime(watched.inbox / "OD.jpg", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    watched.wait_for("OD.jpg", jpeg("b"))
    assert [(row["revision"], row["superseded"]) for row in watched.captures()] == [
        (1, True),
        (2, False),
    ]


def test_bytes_that_return_are_a_third_revision(watched: Watching) -> None:
    for word in ("a", "b", "a"):
        watched.drop("OD.jpg", jpeg(word))
        watched.wait_for("OD.jpg", jpeg(word))
    assert [row["digest"] for row in watched.captures()] == [digest(jpeg(word)) for word in "aba"]


def test_a_file_that_is_only_touched_makes_no_new_capture(watched: Watching) -> None:
    watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
    os.utime(watched.inbox / "OD.jpg", ns=(1, 1))
    watched.sweep()
    watched.until(lambda: watched.sightings()[b"OD.jpg"]["mtime_ns"] == 1)
    assert len(watched.captures()) == 1
    assert watched.worked == 1


def test_an_empty_file_is_admitted_only_once_it_is_filled(watched: Watching) -> None:
    watched.drop("OD.jpg", b"")
    watched.wait_for(watched.drop("OS.jpg", jpeg("other eye")), jpeg("other eye"))
    watched.sweep()
    assert b"OD.jpg" not in watched.sightings()
    assert watched.camera()["waiting"] == 1
    watched.drop("OD.jpg", jpeg("filled"))
    watched.wait_for("OD.jpg", jpeg("filled"))


def test_what_is_no_capture_is_remembered_with_its_reason(watched: Watching) -> None:
    watched.drop("report.pdf", b"%PDF-1.7 a report")
    watched.drop("NOTES", b"plain words")
    watched.drop("eye.gif", b"GIF89a" + bytes(200))
    # its name claims a capture: it is admitted, and the decoder finds out what is wrong
    watched.drop("cut.jpg", b"\xff\xd8")
    watched.until(lambda: len(watched.sightings()) == 4)
    reasons = {path: row["ignored"] for path, row in watched.sightings().items()}
    assert reasons == {
        b"report.pdf": IgnoreReason.SIDECAR,
        b"NOTES": IgnoreReason.SIDECAR,
        b"eye.gif": IgnoreReason.OTHER_IMAGE_FORMAT,
        b"cut.jpg": None,
    }
    watched.sweep()
    assert watched.camera()["ignored"] == {"sidecar": 2, "other_image_format": 1}


def test_a_raw_file_beside_its_jpeg_is_no_capture_whatever_its_suffix(watched: Watching) -> None:
    thumbnail = Page(np.zeros((32, 40, 3), np.uint8), {254: 1})
    sensor = Page(np.zeros((64, 80, 3), np.uint8), {254: 0, 262: 32803})
    raw = containers.tiff(replace(thumbnail, subs=[sensor]))
    for name in ("B2_OD.NEF", "B2_OD.tif", "B2_OD"):
        watched.drop(name, raw)
    watched.drop("B2_OD.jpg", jpeg("photograph"))
    watched.until(lambda: len(watched.sightings()) == 4)
    ignored = [path for path, row in watched.sightings().items() if row["ignored"] is not None]
    assert sorted(ignored) == [b"B2_OD", b"B2_OD.NEF", b"B2_OD.tif"]
    watched.sweep()
    assert watched.camera()["ignored"] == {"other_image_format": 3}


def test_a_sidecar_that_turns_into_a_capture_is_admitted(watched: Watching) -> None:
    watched.drop("OD", b"not yet")
    watched.until(lambda: b"OD" in watched.sightings())
    watched.drop("OD", jpeg("a"))
    watched.wait_for("OD", jpeg("a"))


def test_links_special_files_and_temporary_names_are_counted_and_never_opened(
    watched: Watching, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/OD.jpg").write_bytes(jpeg("elsewhere"))
    (watched.inbox / "link.jpg").symlink_to(tmp_path / "elsewhere/OD.jpg")
    (watched.inbox / "folder").symlink_to(tmp_path / "elsewhere")
    (watched.inbox / "loop").symlink_to(".")
    os.mkfifo(watched.inbox / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(watched.inbox / "socket.jpg"))
    watched.drop(".hidden/OD.jpg", jpeg("hidden"))
    watched.drop("OD.jpg.filepart", jpeg("part"))
    watched.wait_for(watched.drop("OD.jpg", jpeg("a")), jpeg("a"))
    watched.sweep()
    assert set(watched.sightings()) == {b"OD.jpg"}
    assert watched.camera()["ignored"] == {
        "symlink": 3,
        "not_a_regular_file": 2,
        "temporary_name": 2,
    }


def test_a_file_that_vanishes_is_missing_until_it_is_back(watched: Watching) -> None:
    path = watched.drop("P001/OD.jpg", jpeg("a"))
    watched.wait_for(path, jpeg("a"))
    (watched.inbox / "P001").rename(watched.inbox.parent / "away")
    watched.sweep()
    watched.until(lambda: watched.sightings()[path]["missing_since"] is not None)
    (watched.inbox.parent / "away").rename(watched.inbox / "P001")
    watched.until(lambda: watched.sightings()[path]["missing_since"] is None)
    assert len(watched.captures()) == 1


def test_a_renamed_capture_is_moved_and_not_classified_again(watched: Watching) -> None:
    watched.wait_for(watched.drop("P001/OD.jpg", jpeg("a")), jpeg("a"))
    (watched.inbox / "P001").rename(watched.inbox / "P002")
    watched.wait_for("P002/OD.jpg", jpeg("a"))
    old, new = watched.captures()
    assert (old["path"], old["superseded"], new["path"]) == (b"P001/OD.jpg", True, b"P002/OD.jpg")
    assert old["job_id"] == new["job_id"]


def test_a_restart_reads_nothing_again(
    tmp_path: Path, sqlite_url: str, rules: dict[str, Any]
) -> None:
    inbox = tmp_path / "inbox"
    with watching(inbox, sqlite_url, **rules) as first:
        first.wait_for(first.drop("OD.jpg", jpeg("a")), jpeg("a"))
    before = (inbox / "OD.jpg").stat().st_atime_ns
    with watching(inbox, sqlite_url, **rules) as second:
        second.sweep()
        assert second.worked == 0
        assert second.camera()["waiting"] == 0
        assert len(second.captures()) == 1
    assert (inbox / "OD.jpg").stat().st_atime_ns == before


def test_it_stops_within_two_seconds(
    tmp_path: Path, sqlite_url: str, rules: dict[str, Any]
) -> None:
    with watching(tmp_path / "inbox", sqlite_url, **rules) as begun:
        assert begun.stop(wake=False) < 2


def test_the_last_file_that_leaves_a_folder_has_moved(watched: Watching) -> None:
    watched.wait_for(watched.drop("P1/OD.jpg", jpeg("a")), jpeg("a"))
    (watched.inbox / "P2").mkdir()
    (watched.inbox / "P1/OD.jpg").rename(watched.inbox / "P2/OD.jpg")
    watched.wait_for("P2/OD.jpg", jpeg("a"))
    watched.until(lambda: watched.current().keys() == {b"P2/OD.jpg"})
    assert ledger_cases.events(watched.ledger).count("capture.moved") == 1


def test_a_folder_of_many_that_is_renamed_takes_its_captures_along(watched: Watching) -> None:
    """Most files have vanished from their old paths, which would otherwise count as an outage."""
    for number in range(30):
        watched.drop(f"P1/{number}.jpg", jpeg(str(number)))
    watched.until(lambda: len(watched.captures()) == 30)
    (watched.inbox / "P1").rename(watched.inbox / "P2")
    watched.until(lambda: len(watched.captures()) == 60)
    assert len(watched.current()) == 30
    assert all(path.startswith(b"P2/") for path in watched.current())
    assert ledger_cases.events(watched.ledger).count("capture.moved") == 30
