"""The whole daemon, as a process, on real files and both databases."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.daemon_cases import Daemon, Site, dicom, drop, jpeg, running, site

from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.domain.files import Stat
from fundusd.files.safe_read import stat_of

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARED = Path(__file__).parents[3] / "shared" / "data"
PHOTOGRAPHS = ("eyepacs_1024", "eyepacs_full", "negatives", "other_cameras")
# what differs between two runs by nature
VOLATILE = {
    "capture_id",
    "exam_id",
    "release_id",
    "received_at",
    "result_at",
    "turnaround_ms",
    "patient_key",
}


def fill(place: Site) -> int:
    """Drop a file of each kind into the inbox; return the number of files."""
    first = jpeg(Grade.NO_DR)
    files = {
        "P1/P1_OD.jpg": first,
        "P1/P1_OS.jpg": jpeg(Grade.PDR, Eye.LEFT, seed=2),
        "P2/P2_OS.dcm": dicom(Grade.MODERATE, seed=3),
        "P2/no_extension": dicom(Grade.SEVERE, Eye.RIGHT, seed=4),
        "P3/again_OD.jpg": first,
        "P3/cut_OD.jpg": first[:-5000],
        "P3/report.html": b"<html></html>",
        "P3/half.jpg.part": first,
        "P4/empty.bin": b"x",
        "P4/not_a_picture.jpg": b"this is text, whatever the name says" * 10,
    }
    for name, data in files.items():
        drop(place, name, data)
    return len(files)


def seen(place: Site) -> dict[Path, Stat]:
    return {path: stat_of(path.stat()) for path in place.inbox.rglob("*") if path.is_file()}


def steady(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in VOLATILE}


def test_every_file_is_accounted_for_and_both_databases_say_the_same(
    tmp_path: Path, sqlite_url: str, postgres_url: str
) -> None:
    runs = []
    for name, url in (("sqlite", sqlite_url), ("postgresql", postgres_url)):
        place = site(tmp_path / name, url)
        count = fill(place)
        before = seen(place)
        with running(place) as daemon:
            daemon.await_event("service.ready")
            daemon.await_that(place.is_done)
            assert daemon.stop() == 0
            daemon.await_event("service.stopped")
        assert seen(place) == before
        reconciliation = place.reconciled()
        assert reconciliation.files == count
        assert reconciliation.counts == {
            "graded": 5,
            "failed: truncated": 1,
            "failed: unknown_format": 1,
            "ignored: sidecar": 2,
            "ignored: temporary_name": 1,
        }
        assert place.verdict().broken_seq is None
        runs.append([steady(row) for row in place.rows()])
    assert runs[0] == runs[1]
    eyes = {row["path"]: (row["eye"], row["eye_source"]) for row in runs[0]}
    assert eyes["P1/P1_OD.jpg"] == ("R", "name")
    assert eyes["P2/P2_OS.dcm"] == ("L", "image_laterality")
    assert eyes["P2/no_extension"] == ("R", "image_laterality")
    assert all("not for patients" in row["model"] for row in runs[0])


def test_a_daemon_killed_ten_times_loses_nothing_and_doubles_nothing(
    tmp_path: Path, sqlite_url: str
) -> None:
    place = site(tmp_path, sqlite_url)
    for number in range(24):
        drop(place, f"P{number}/P{number}_OD.jpg", jpeg(Grade(number % 5), seed=100 + number))
    for kill in range(10):
        with running(place) as daemon:
            if kill % 3 == 0:
                daemon.await_event("service.ready")
            else:
                daemon.await_event("service.started")
                daemon.await_that(lambda: bool(place.rows()))
            assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    with running(place) as daemon:
        daemon.await_event("service.ready")
        daemon.await_that(place.is_done)
        assert daemon.stop() == 0
    rows = place.rows()
    assert place.reconciled().counts == {"graded": 24}
    assert len({row["digest"] for row in rows}) == len(rows) == 24
    assert all(row["revision"] == 1 for row in rows)
    assert place.verdict().broken_seq is None


def test_an_overwritten_capture_is_a_revision_and_returning_bytes_bring_their_result_back(
    tmp_path: Path, store_url: str
) -> None:
    place = site(tmp_path, store_url)
    first, second = jpeg(Grade.NO_DR, seed=7), jpeg(Grade.PDR, seed=8)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        for data, revisions in ((first, 1), (second, 2), (first, 3)):
            drop(place, "P1_OD.jpg", data)

            def current(expected: int = revisions) -> bool:
                rows = place.rows()
                return len(rows) == expected and rows[-1]["outcome"] == "graded"

            daemon.await_that(current)
        assert daemon.stop() == 0
    rows = place.rows()
    assert [row["superseded"] for row in rows] == [True, True, False]
    assert rows[0]["score_pdr"] == rows[2]["score_pdr"] != rows[1]["score_pdr"]


def test_hangup_reads_the_settings_again_and_tells_what_needs_a_restart(
    tmp_path: Path, sqlite_url: str
) -> None:
    place = site(tmp_path, sqlite_url)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        text = place.path.read_text()
        place.path.write_text(text.replace("batch_size = 4", "batch_size = 0"))
        daemon.process.send_signal(signal.SIGHUP)
        assert "batch_size" in daemon.await_event("settings.refused")["error"]
        place.path.write_text(
            text.replace("batch_size = 4", "batch_size = 8").replace('"info"', '"debug"')
        )
        daemon.process.send_signal(signal.SIGHUP)
        assert daemon.await_event("settings.restart_needed")["keys"] == ["model"]
        daemon.await_event("settings.reloaded")
        daemon.await_event("sweep.finished")
        assert daemon.stop() == 0


def test_a_second_signal_stops_at_once(tmp_path: Path, sqlite_url: str) -> None:
    place = site(tmp_path, sqlite_url)
    for number in range(40):
        drop(place, f"P{number}_OD.jpg", jpeg(Grade.MILD, seed=300 + number % 8) + bytes([number]))
    with running(place) as daemon:
        daemon.await_event("capture.graded")
        daemon.process.send_signal(signal.SIGSTOP)  # both signals wait for it together
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.send_signal(signal.SIGINT)
        daemon.process.send_signal(signal.SIGCONT)
        assert daemon.process.wait(60) in {0, 130}
    assert place.verdict().broken_seq is None


def titles_of(daemon: Daemon) -> bytes:
    """Return what every user of the machine can see of the daemon and its decoders."""
    with subprocess.Popen(["ps", "-ww", "-o", "args=", "--pid", str(daemon.process.pid), "--ppid",
                           str(daemon.process.pid)], stdout=subprocess.PIPE) as ps:  # fmt: skip
        return ps.communicate()[0]


@pytest.mark.parametrize("identifiers", ["clear", "pseudonymous"])
def test_no_name_of_a_patient_reaches_the_log(
    tmp_path: Path, sqlite_url: str, identifiers: str
) -> None:
    place = site(tmp_path, sqlite_url, level="debug")
    name, other = "Quillfeather", "Featherstone"
    with closing(sqlite3.connect(tmp_path / "camera.db")) as camera:
        camera.execute("CREATE TABLE picture (f, side, person)")
        camera.execute("INSERT INTO picture VALUES (?, 'OS', ?)", (f"{name}_late.jpg", other))
        camera.commit()
    query = "SELECT side AS eye, person AS patient FROM picture WHERE f = :name"
    lookup = f'[camera.lookup]\ndatabase = "{tmp_path}/camera.db"\nquery = "{query}"\n[log]'
    text = place.path.read_text().replace("[log]", lookup)
    place.path.write_text(text.replace("[privacy]", f'[privacy]\nidentifiers = "{identifiers}"'))
    drop(place, f"{name}/{name}_OD.jpg", jpeg(Grade.MILD, seed=11))
    drop(place, f"{name}/{name}.dcm", dicom(Grade.MILD, seed=12, patient=name))
    drop(place, f"{name}/{name}_cut.dcm", dicom(Grade.MILD, seed=13, patient=name)[:-4000])
    drop(place, f"{name}/{name}_cut.jpg", jpeg(Grade.MILD, seed=14)[:-4000])
    drop(place, f"{name}/{name}.txt", name.encode())
    os.mkfifo(place.inbox / f"{name}.jpg")
    (place.inbox / f"{name}_link.jpg").symlink_to(place.inbox / name)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        daemon.await_that(place.is_done)
        daemon.await_that(lambda: bool(place.rows()))
        for seed in (15, 16):  # taken months ago, by its clock
            drop(place, f"{name}/{name}_{seed}.dcm", dicom(Grade.MILD, seed=seed, patient=name))
        drop(place, f"{name}_late.jpg", jpeg(Grade.MILD, seed=17))
        daemon.await_that(lambda: sum(row["outcome"] == "graded" for row in place.rows()) == 5)
        titles = titles_of(daemon)
        (place.inbox / name / f"{name}_OD.jpg").unlink()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.await_event("sweep.finished", 2)
        assert daemon.stop() == 0
    rows = place.rows()
    stored: set[str | None] = {None}
    if identifiers == "clear":
        stored |= {name, other}
    assert {row["patient_id"] for row in rows} == stored
    assert {row["eye_source"] for row in rows} == {"image_laterality", "lookup", "name", "none"}
    assert (name in str(rows)) == (identifiers == "clear")
    output = b"\n".join([*daemon.raw, titles]).lower()
    for patient in (name, other):
        assert patient.encode().lower() not in output
    assert sum(line["event"] == "camera.clock_skew" for line in daemon.lines) == 1
    assert place.verdict().broken_seq is None


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not here")
@pytest.mark.slow
def test_real_photographs_and_dicoms_are_all_accounted_for(
    tmp_path: Path, sqlite_url: str, postgres_url: str
) -> None:
    folders = [SHARED / "fundus" / name for name in PHOTOGRAPHS] + [SHARED / "dicom"]
    sources = sorted(itertools.chain.from_iterable(folder.glob("*.*") for folder in folders))
    runs = []
    for name, url in (("sqlite", sqlite_url), ("postgresql", postgres_url)):
        place = site(tmp_path / name, url)
        for source in sources:
            drop(place, str(source.relative_to(SHARED)), source.read_bytes())
        with running(place) as daemon:
            daemon.await_event("service.ready")
            daemon.await_that(place.is_done)
            assert daemon.stop() == 0
        assert place.reconciled().unaccounted == []
        assert place.verdict().broken_seq is None
        runs.append([steady(row) for row in place.rows()])
    assert runs[0] == runs[1]
    assert len(runs[0]) == len(sources) >= 64
