"""Every command as its user types it, with the shipped test model."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
import structlog
from tests import daemon_cases, ledger_cases

from fundusd import cli
from fundusd.app import settings_file
from fundusd.app.open_ledger import opened_ledger
from fundusd.cli import options
from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Grade, Reason
from fundusd.domain.errors import ExitStatus
from fundusd.domain.files import (
    IgnoreReason,
    IncompleteFile,
    OfflineReason,
    Stat,
    SweepReport,
    WaitReason,
)
from fundusd.domain.inference import SelfTestResult
from fundusd.imaging import phantoms
from fundusd.ledger import Ledger, schema
from fundusd.model.torch_backend import TorchBackend


class Ended(NamedTuple):
    code: int
    out: str
    err: str


RunCommand = Callable[..., Ended]


@pytest.fixture
def fundusd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """Return a function that types a command and returns its exit status and output."""
    structlog.reset_defaults()
    monkeypatch.setenv("COLUMNS", "200")

    def typed(*words: str | Path) -> Ended:
        monkeypatch.setattr("sys.argv", ["fundusd", *map(str, words)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        printed = capsys.readouterr()
        assert isinstance(exit_info.value.code, int)
        return Ended(exit_info.value.code, printed.out, printed.err)

    return typed


@pytest.fixture
def place(tmp_path: Path, sqlite_url: str) -> daemon_cases.Site:
    return daemon_cases.site(tmp_path, sqlite_url)


@pytest.fixture
def graded(place: daemon_cases.Site) -> daemon_cases.Site:
    """Set up a site whose ledger holds a graded, a refused and a failed capture."""
    ledger = Ledger(f"sqlite:///{place.folder}/fundusd.db", site_key=ledger_cases.SITE_KEY)
    ledger.start(ledger_cases.release())
    ledger.register_camera("room1")
    for number, name in enumerate(("a_OD.jpg", "b_OS.jpg", "c.jpg")):
        (place.inbox / name).write_bytes(bytes([number]))
        status = (place.inbox / name).stat()
        stat = Stat(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        ledger.admit(replace(ledger_cases.found(name, name), camera_id="room1", stat=stat))
    first, second, third = ledger.claim(3)
    ledger.record([ledger_cases.finding(first), ledger_cases.refusal(second, Reason.NOT_RETINA)])
    ledger.fail(third, Reason.TRUNCATED, "truncated at attempt 4")
    ledger.close()
    return place


def test_without_a_command_the_help_is_shown(fundusd: RunCommand) -> None:
    ended = fundusd()
    assert "fundusd demo" in ended.out + ended.err


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "demo",
        "classify",
        "results",
        "status",
        "reconcile",
        "check",
        "retry",
        "bench",
        "show",
        "report exam",
    ],
)
def test_every_command_explains_itself_with_an_example(fundusd: RunCommand, command: str) -> None:
    ended = fundusd(*command.split(), "--help")
    assert ended.code == 0
    assert f"fundusd {command}" in ended.out
    assert "Example" in ended.out


def test_an_unknown_command_is_a_usage_error(fundusd: RunCommand) -> None:
    ended = fundusd("destroy")
    assert ended.code == 2
    assert "destroy" in ended.err


def test_a_missing_settings_file_ends_with_78_and_a_hint(
    fundusd: RunCommand, tmp_path: Path
) -> None:
    for command in ("run", "status", "check"):
        ended = fundusd(command, "--config", tmp_path / "none.toml")
        assert ended.code == 78
        assert "There is no settings file" in ended.err
        assert "--config" in ended.err


def test_results_are_shown_as_a_table_with_the_safety_words(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    ended = fundusd("results", "--config", graded.path)
    assert ended.code == 0
    for part in (
        "a_OD.jpg",
        "graded",
        "not_retina",
        "truncated",
        "indeterminate",
        SAFETY_WORDS,
        "Model: ",
    ):
        assert part in ended.out


def test_results_can_be_filtered(fundusd: RunCommand, graded: daemon_cases.Site) -> None:
    def paths(*options: str) -> list[str]:
        ended = fundusd("results", "--config", graded.path, "--json", *options)
        return sorted(row["path"] for row in json.loads(ended.out))

    assert paths() == ["a_OD.jpg", "b_OS.jpg", "c.jpg"]
    assert paths("--outcome", "refused") == ["b_OS.jpg"]
    assert paths("--outcome", "failed") == ["c.jpg"]
    assert paths("--camera", "room1") == ["a_OD.jpg", "b_OS.jpg", "c.jpg"]
    assert len(paths("--referable", "indeterminate")) == 2
    assert paths("--since", "1h") == ["a_OD.jpg", "b_OS.jpg", "c.jpg"]
    assert paths("--since", "2199-01-01") == []
    assert len(paths("--limit", "2")) == 2
    grade = json.loads(
        fundusd("results", "--config", graded.path, "--json", "--outcome", "graded").out
    )[0]["grade"]
    assert paths("--grade", str(grade)) == ["a_OD.jpg"]


def test_results_come_as_csv_with_the_views_columns(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    rows = list(
        csv.DictReader(io.StringIO(fundusd("results", "--config", graded.path, "--csv").out))
    )
    assert len(rows) == 3
    assert list(rows[0])[:5] == ["capture_id", "camera_id", "path", "revision", "superseded"]
    assert not fundusd("results", "--config", graded.path, "--csv", "--camera", "none").out


def test_json_and_csv_exclude_each_other(fundusd: RunCommand, graded: daemon_cases.Site) -> None:
    assert fundusd("results", "--config", graded.path, "--csv", "--json").code == 2
    assert fundusd("classify", "--csv", "--json", graded.path).code == 2


def test_a_time_that_is_none_is_explained(fundusd: RunCommand, graded: daemon_cases.Site) -> None:
    ended = fundusd("results", "--config", graded.path, "--since", "yesterday")
    assert ended.code == 2
    assert "90m" in ended.err


def test_spans_reach_back_from_now() -> None:
    assert datetime.now(UTC) - options.since_time("90m") - timedelta(minutes=90) < timedelta(
        minutes=1
    )


def test_status_tells_what_waits_and_that_nobody_works(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    ended = fundusd("status", "--config", graded.path)
    assert ended.code == 0
    for part in (
        "NOT RUNNING",
        "1 failed",
        "2 succeeded",
        "1 graded",
        "not swept yet",
        "oldest waiting  none",
    ):
        assert part in ended.out
    facts = json.loads(fundusd("status", "--config", graded.path, "--json").out)
    assert facts["running"] is False
    assert facts["captures"] == 3


def test_reconcile_counts_what_is_passed_over_by_reason(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    for path in ("@Recycle/P1/1_OD.jpg", "@Recycle/P1/2_OD.jpg", "RECYCLER/1.jpg", "test/1.jpg"):
        daemon_cases.drop(place, path, b"x")
    daemon_cases.drop(place, "P1/1_report.jpg", b"x")
    daemon_cases.drop(place, "P1/1_OD.part", b"x")
    text = place.path.read_text()
    ignore = 'id = "room1"\nignore = ["test/", "*_report.jpg"]'
    place.path.write_text(text.replace('id = "room1"', ignore))
    ended = fundusd("reconcile", "--config", place.path, "--json")
    (inbox,) = json.loads(ended.out)
    assert inbox["counts"] == {
        "ignored: storage_folder": 2,
        "ignored: excluded": 2,
        "ignored: temporary_name": 1,
    }
    assert ended.code == 0


def test_reconcile_accounts_for_every_file_and_names_what_it_cannot(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    (graded.inbox / "x.part").write_bytes(b"x")
    ended = fundusd("reconcile", "--config", graded.path)
    assert ended.code == 0
    for part in (
        "graded",
        "refused: not_retina",
        "failed: truncated",
        "ignored: temporary_name",
        "4 files",
    ):
        assert part in ended.out
    engine = sa.create_engine(f"sqlite:///{graded.folder}/fundusd.db")
    with engine.begin() as connection:
        connection.execute(
            sa.text("DELETE FROM sighting WHERE name = :name"), {"name": b"a_OD.jpg"}
        )
    engine.dispose()
    text = graded.path.read_text().replace("quiet_seconds = 0.2", "quiet_seconds = 0.000001")
    graded.path.write_text(text.replace("sweep_seconds = 0.5", "sweep_seconds = 0.000001"))
    ended = fundusd("reconcile", "--config", graded.path)
    assert ended.code == 1
    assert "1 unaccounted" in ended.out
    assert "room1: a_OD.jpg" in ended.out
    inboxes = json.loads(fundusd("reconcile", "--config", graded.path, "--json").out)
    assert inboxes[0]["unaccounted"] == ["a_OD.jpg"]


def test_reconcile_says_when_an_inbox_is_away(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    graded.inbox.rename(graded.folder / "gone")
    ended = fundusd("reconcile", "--config", graded.path)
    assert ended.code == 2
    assert "cannot be listed (room1)" in ended.err
    assert "room1: the inbox CANNOT BE LISTED (No such file or directory)" in ended.out
    assert "Mount the share" in ended.err
    graded.inbox.touch()
    ended = fundusd("reconcile", "--config", graded.path)
    assert "room1: the inbox CANNOT BE LISTED (Not a directory)" in ended.out
    assert "Name the folder to which the camera exports" in ended.err


@pytest.mark.parametrize("reason", list(OfflineReason))
def test_reconcile_names_an_inbox_that_the_service_holds_to_be_offline(
    fundusd: RunCommand, graded: daemon_cases.Site, reason: OfflineReason
) -> None:
    with opened_ledger(settings_file.load(graded.path)) as ledger:
        ledger.offline("room1", reason)
    printed = fundusd("reconcile", "--config", graded.path)
    assert printed.code == ExitStatus.USAGE
    assert "room1: OFFLINE: " in printed.out
    assert "an inbox is offline (room1)" in printed.err
    shown = fundusd("reconcile", "--json", "--config", graded.path)
    assert json.loads(shown.out)[0]["outage"] == reason


def test_reconcile_goes_on_past_an_inbox_that_is_away(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    text = graded.path.read_text()
    away = f'[[camera]]\nid = "aside"\ninbox = "{graded.folder}/aside"\n[[camera]]'
    graded.path.write_text(text.replace("[[camera]]", away, 1))
    ended = fundusd("reconcile", "--config", graded.path)
    assert ended.code == 2
    assert "3 files, 3 accounted for" in ended.out
    assert "aside: the inbox CANNOT BE LISTED" in ended.out
    assert "(aside)" in ended.err
    ended = fundusd("reconcile", "--json", "--config", graded.path)
    aside, room1 = json.loads(ended.out)
    assert aside["unreadable"] == {"": "No such file or directory"}
    assert (room1["files"], room1["unreadable"]) == (3, {})


def test_retry_queues_failed_captures_again(fundusd: RunCommand, graded: daemon_cases.Site) -> None:
    rows = json.loads(
        fundusd("results", "--config", graded.path, "--json", "--outcome", "failed").out
    )
    failed = str(rows[0]["capture_id"])
    assert "queued again" in fundusd("retry", failed, "--config", graded.path).out
    ended = fundusd("retry", failed, "--config", graded.path)
    assert ended.code == 1
    assert "has not failed" in ended.out
    assert "0 queued again" in fundusd("retry", "--failed", "--config", graded.path).out
    assert fundusd("retry", "9999", "--config", graded.path).code == 2
    assert fundusd("retry", "--config", graded.path).code == 2


def test_the_schema_is_made_and_checked(fundusd: RunCommand, tmp_path: Path) -> None:
    fresh = daemon_cases.site(tmp_path, f"sqlite:///{tmp_path}/new.db")
    assert fundusd("db", "check", "--config", fresh.path).code == 66
    (tmp_path / "new.db").touch()
    ended = fundusd("db", "check", "--config", fresh.path)
    assert ended.code == 78
    assert "fundusd db upgrade" in ended.err
    assert (
        f"from nothing to {schema.newest()}" in fundusd("db", "upgrade", "--config", fresh.path).out
    )
    assert f"is at {schema.newest()}" in fundusd("db", "upgrade", "--config", fresh.path).out
    assert (
        "the version that this program needs" in fundusd("db", "check", "--config", fresh.path).out
    )


def test_a_database_of_a_development_version_is_refused(
    fundusd: RunCommand, tmp_path: Path
) -> None:
    old = daemon_cases.site(tmp_path, f"sqlite:///{tmp_path}/old.db")
    with closing(sqlite3.connect(tmp_path / "old.db")) as database:
        database.executescript(
            """CREATE TABLE alembic_version (version_num TEXT);
            INSERT INTO alembic_version VALUES ('0006');
            CREATE VIEW v_result AS SELECT 1 AS capture_id;"""
        )
        before = list(database.iterdump())
        for command in (("db", "check"), ("db", "upgrade"), ("results",)):
            refused = fundusd(*command, "--config", old.path)
            assert refused.code == 78, command
            assert "development version" in refused.err
            assert "start with a new database" in refused.err
        with daemon_cases.running(old) as daemon:
            assert "development version" in daemon.await_event("service.failed")["error"]
            assert daemon.process.wait(daemon_cases.DEADLINE) == 78
        assert list(database.iterdump()) == before


def test_the_audit_verdict_is_told_with_the_first_broken_number(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    ended = fundusd("audit", "verify", "--config", graded.path)
    assert ended.code == 0
    assert "The audit chain holds" in ended.out
    engine = sa.create_engine(f"sqlite:///{graded.folder}/fundusd.db")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE result SET score_pdr = 0.5 WHERE outcome = 'graded'"))
    engine.dispose()
    ended = fundusd("audit", "verify", "--config", graded.path)
    assert ended.code == 1
    assert "broken at seq" in ended.out
    assert (
        json.loads(fundusd("audit", "verify", "--config", graded.path, "--json").out)["broken_seq"]
        > 0
    )


def test_check_tells_each_part_with_a_hint(fundusd: RunCommand, place: daemon_cases.Site) -> None:
    ended = fundusd("check", "--config", place.path)
    assert ended.code == 0, ended.out
    for part in (
        "ok    settings",
        "inbox of room1: readable",
        "database: sqlite",
        "prompts: set",
        "model: fundusd/",
    ):
        assert part in ended.out
    text = place.path.read_text()
    place.path.write_text(
        text.replace("/inbox", "/nowhere")
        .replace("fundusd.db", "none/fundusd.db")
        .replace('"phantom"', '"/no/such/model"')
    )
    ended = fundusd("check", "--config", place.path)
    assert ended.code == 1
    assert ended.out.count("WRONG") == 3
    place.path.write_text(text.split("[[camera]]")[0].replace("fundusd.db", "later.db"))
    parts = json.loads(fundusd("check", "--config", place.path, "--json").out)
    assert {part["subject"]: part["ok"] for part in parts}["cameras"] is False
    assert {part["subject"]: part["ok"] for part in parts}["database"] is True


@pytest.fixture
def asking(place: daemon_cases.Site) -> daemon_cases.Site:
    """Set up a camera with its own database, which has a row about 12.jpg."""
    with closing(sqlite3.connect(place.folder / "camera.db")) as camera:
        camera.execute("CREATE TABLE picture (f, side, person)")
        camera.execute("INSERT INTO picture VALUES ('12.jpg', 'OS', 'S17')")
        camera.commit()
    query = "SELECT side AS eye, person AS patient FROM picture WHERE f = :name"
    section = f'[camera.lookup]\ndatabase = "{place.folder}/camera.db"\nquery = "{query}"\n[log]'
    place.path.write_text(place.path.read_text().replace("[log]", section))
    return place


def test_check_asks_a_cameras_own_database(fundusd: RunCommand, asking: daemon_cases.Site) -> None:
    def database_check() -> dict[str, Any]:
        parts = json.loads(fundusd("check", "--config", asking.path, "--json").out)
        return next(dict(part) for part in parts if part["subject"] == "database of room1")

    assert (database_check()["ok"], "no capture to ask for yet" in database_check()["verdict"]) == (
        True,
        True,
    )
    daemon_cases.drop(asking, "P1/13.jpg", b"x")
    assert (database_check()["ok"], database_check()["verdict"]) == (
        False,
        "asked for 1 captures: 1 lookup_no_row",
    )
    daemon_cases.drop(asking, "P1/12.jpg", b"x")
    assert database_check()["ok"]
    assert {"1 answered", "1 lookup_no_row"} == set(
        database_check()["verdict"].partition(": ")[2].split(", ")
    )
    asking.path.write_text(asking.path.read_text().replace("FROM picture", "FROM photo"))
    assert (database_check()["ok"], database_check()["verdict"]) == (
        False,
        "asked for 2 captures: 2 lookup_broken",
    )
    assert ".schema" in database_check()["hint"]
    (asking.folder / "camera.db").unlink()
    assert (database_check()["ok"], database_check()["verdict"]) == (
        False,
        "asked for 2 captures: 2 lookup_missing",
    )


def test_check_shows_what_names_and_the_cameras_database_tell(
    fundusd: RunCommand, asking: daemon_cases.Site
) -> None:
    daemon_cases.drop(asking, "P1/12.jpg", b"x")
    daemon_cases.drop(asking, "P1/13_OD.jpg", b"x")
    words = ("check", "--names", asking.inbox, "--camera", "room1", "--config", asking.path)
    rows = {row["path"]: row for row in json.loads(fundusd(*words, "--json").out)["names"]}
    assert (
        rows["P1/12.jpg"]["eye"],
        rows["P1/12.jpg"]["source"],
        rows["P1/12.jpg"]["patient"],
    ) == (
        "L",
        "lookup",
        "S17",
    )
    assert (rows["P1/13_OD.jpg"]["eye"], rows["P1/13_OD.jpg"]["warnings"]) == (
        "R",
        ["lookup_no_row"],
    )
    assert "Only the camera's own database was opened." in fundusd(*words).out


def test_folders_that_are_one_through_a_link_are_a_mistake_in_the_settings(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    link = place.folder / "link"
    link.symlink_to(place.inbox)
    text = place.path.read_text()
    place.path.write_text(f"{text}\n[[camera]]\nid = 'room2'\ninbox = '{link}'\n")
    for command in ("check", "run"):
        ended = fundusd(command, "--config", place.path)
        assert ended.code == ExitStatus.CONFIG
        assert "inboxes must not contain each other" in ended.err
        assert "symbolic link" in ended.err


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_check_prints_no_character_of_a_name_that_controls_the_terminal(
    fundusd: RunCommand, place: daemon_cases.Site, option: tuple[str, ...]
) -> None:
    name = "P\x9b1_\u202eä\x7f\U000e0001_OD.jpg"
    daemon_cases.drop(place, name, b"x")
    printed = fundusd("check", "--names", place.inbox, "--config", place.path, *option).out
    assert printed.replace("\n", "").isprintable()
    assert "ä" in printed
    if option:
        assert [row["path"] for row in json.loads(printed)["names"]] == [name]


def test_check_weighs_the_site_key_and_makes_none(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    assert "site key: not there yet" in fundusd("check", "--config", place.path).out
    path = place.folder / "site.key"
    assert not path.exists()
    path.write_bytes(b"k" * 32)
    ended = fundusd("check", "--config", place.path)
    assert (ended.code, "WRONG site key: [privacy] site_key_file only repeats" in ended.out) == (
        1,
        True,
    )


def test_check_counts_identifiers_from_before(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    text = place.path.read_text()
    assert "identifiers in clear" not in fundusd("check", "--config", place.path).out
    place.path.write_text(text.replace("[privacy]", '[privacy]\nidentifiers = "pseudonymous"'))
    assert "ok    identifiers in clear: none" in fundusd("check", "--config", place.path).out
    ledger = Ledger(f"sqlite:///{place.folder}/fundusd.db", site_key=ledger_cases.SITE_KEY)
    ledger.start(ledger_cases.release())
    ledger.register_camera("room1")
    ledger.admit(ledger_cases.found("x.dcm", camera_id="room1"))
    ledger.record([ledger_cases.finding(claim) for claim in ledger.claim(9)])
    ledger.close()
    ended = fundusd("check", "--config", place.path)
    assert "identifiers in clear: recorded earlier in 1 captures and 1 results" in ended.out
    assert "docs/privacy.md" in ended.out


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Make an export folder; its files cannot be opened, which a preview need not do."""
    for name in (
        "P1/12_OD.jpg",
        "13_left.jpeg",
        "VAN_OS_12_OD.jpg",
        "no_extension_4712_R",
        "a.html",
        "._12_OD.jpg",
    ):
        path = tmp_path / "export" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0)
    (tmp_path / "export" / "gone_OS.jpg").symlink_to("nowhere")
    return tmp_path / "export"


def test_check_shows_what_names_would_tell(fundusd: RunCommand, export: Path) -> None:
    ended = fundusd("check", "--names", export)
    assert ended.code == 0
    # doubtful ones first
    assert ended.out.index("VAN_OS_12_OD.jpg") < ended.out.index("13_left.jpeg")
    for part in (
        "conflict",
        "P1/12_OD.jpg",
        "4 files: 1 without eye",
        "4 without patient",
        "1 eye_conflict",
    ):
        assert part in ended.out
    assert "a.html" not in ended.out


def test_check_reads_names_in_the_given_languages(fundusd: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "12_izquierdo.jpg").touch()
    for more, eye in [([], "U"), (["--languages", "de"], "U"), (["--languages", "es, de"], "L")]:
        preview = json.loads(fundusd("check", "--names", tmp_path, *more, "--json").out)
        assert [row["eye"] for row in preview["names"]] == [eye]


def test_check_shows_what_names_would_tell_by_a_convention_as_json(
    fundusd: RunCommand, export: Path
) -> None:
    preview = json.loads(
        fundusd("check", "--names", export, "--convention", "eyepacs", "--json").out
    )
    assert preview["files"] == 4
    assert preview["missing"]["patient"] == preview["missing"]["name_unmatched"] == 3
    assert [
        row["path"] for row in preview["names"] if row["patient"] == "13" and row["eye"] == "L"
    ] == ["13_left.jpeg"]


def test_check_shows_the_first_of_many_names(fundusd: RunCommand, export: Path) -> None:
    for number in range(60):
        (export / f"{number}_left.jpeg").touch()
    assert "50 of 63, doubtful ones first" in fundusd("check", "--names", export).out


def test_check_shows_what_names_would_tell_of_a_camera(
    fundusd: RunCommand, place: daemon_cases.Site, export: Path
) -> None:
    place.path.write_text(
        place.path.read_text().replace(
            'id = "room1"', 'id = "room1"\npattern = "(?P<patient>.+)_OD"'
        )
    )
    ended = fundusd(
        "check", "--names", export, "--camera", "room1", "--json", "--config", place.path
    )
    assert {row["patient"] for row in json.loads(ended.out)["names"]} == {None, "12", "VAN_OS_12"}


def test_check_passes_over_what_a_cameras_globs_match(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    daemon_cases.drop(place, "P1/12_OD.jpg", b"x")
    daemon_cases.drop(place, "P1/12_report.jpg", b"x")
    daemon_cases.drop(place, "test/13_OD.jpg", b"x")
    text = place.path.read_text()
    ignore = 'id = "room1"\nignore = ["test/", "*_report.jpg"]'
    place.path.write_text(text.replace('id = "room1"', ignore))
    words = ("check", "--names", place.inbox, "--camera", "room1", "--config", place.path)
    names = json.loads(fundusd(*words, "--json").out)["names"]
    assert [row["path"] for row in names] == ["P1/12_OD.jpg"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--names", "nowhere"], "nowhere does not exist"),
        (["--names", "/etc/passwd"], "/etc/passwd is a file, not a folder"),
        (
            ["--names", ".", "--convention", "eyepax"],
            "there is no convention eyepax, only generic,",
        ),
        (
            ["--names", ".", "--convention", "eyepacs", "--camera", "room1"],
            "cannot be used together",
        ),
        (
            ["--names", ".", "--camera", "room9"],
            "there is no camera room9 in the settings, only room1",
        ),
        (
            ["--names", ".", "--languages", "es", "--camera", "room1"],
            "cannot be used together",
        ),
        (["--names", ".", "--languages", "es,xx"], "there is no language xx, only ar, cs,"),
        (["--names", ".", "--languages", "es,de,es"], "the language es is given twice"),
        (["--camera", "room1"], "go with --names"),
        (["--languages", "es"], "go with --names"),
    ],
)
def test_check_of_names_that_cannot_be_is_a_usage_error(
    fundusd: RunCommand, place: daemon_cases.Site, words: list[str], message: str
) -> None:
    ended = fundusd("check", "--config", place.path, *words)
    assert ended.code == 2
    assert message in " ".join(ended.err.split())


def picture(tmp_path: Path, name: str, pixels: Any) -> Path:
    path = tmp_path / name
    path.write_bytes(phantoms.as_jpeg(pixels))
    return path


def test_classify_prints_the_words_of_the_reference_example(
    fundusd: RunCommand, tmp_path: Path
) -> None:
    path = picture(tmp_path, "a.jpg", phantoms.render(Grade.PDR, Eye.RIGHT, 5, 960, 720))
    lines = fundusd("classify", "--model", "phantom", path).out.splitlines()
    for line, grade in zip(lines, Grade, strict=False):
        assert line.endswith(f"% of '{grade.label}'")
    assert lines[5].startswith("Predicted class: ")
    assert lines[5].endswith("% confidence)")
    assert "not for patients" in lines[6]
    assert len(lines) == 7
    assert sum(float(line.split("%")[0]) for line in lines[:5]) == pytest.approx(100, abs=0.05)


def test_classify_tells_several_files_apart_and_says_why_one_has_no_grade(
    fundusd: RunCommand, tmp_path: Path
) -> None:
    good = picture(tmp_path, "a.jpg", phantoms.render(Grade.NO_DR, Eye.LEFT, 5, 960, 720))
    wall = picture(tmp_path, "b.jpg", phantoms.not_a_retina(1))
    ended = fundusd("classify", "--model", "phantom", good, wall)
    assert ended.code == 1
    assert f"{good}:" in ended.out
    assert "No grade: refused, not_retina (next: retake)" in ended.out
    rows = json.loads(fundusd("classify", "--model", "phantom", "--json", good, wall).out)
    assert [row["outcome"] for row in rows] == ["graded", "refused"]
    table = list(
        csv.DictReader(io.StringIO(fundusd("classify", "--model", "phantom", "--csv", good).out))
    )
    assert float(table[0]["score_no_dr"]) == rows[0]["score_no_dr"]


def test_classify_points_from_a_raw_file_to_its_jpeg(fundusd: RunCommand, tmp_path: Path) -> None:
    raw, text = tmp_path / "a.ORF", tmp_path / "a.txt"
    raw.write_bytes(b"IIRO\x08\0\0\0" + bytes(200))
    text.write_bytes(b"not a picture")
    for path, is_pointed_out in ((raw, True), (text, False)):
        ended = fundusd("classify", "--model", "phantom", path)
        assert "No grade: failed, unknown_format (next: contact_it)" in ended.out
        hint = "This is a camera's raw file. The JPEG of the same name is the photograph."
        assert (hint in ended.out) is is_pointed_out


def test_classify_names_a_file_that_is_not_there(fundusd: RunCommand) -> None:
    ended = fundusd("classify", "--model", "phantom", "/no/such.jpg")
    assert ended.code == 2
    assert "/no/such.jpg" in ended.err


def test_the_model_is_described_and_verified(fundusd: RunCommand, place: daemon_cases.Site) -> None:
    ended = fundusd("model", "info", "--model", "phantom")
    assert "not for patients" in ended.out
    assert "model.safetensors" in ended.out
    assert (
        json.loads(fundusd("model", "info", "--config", place.path, "--json").out)["image_size"]
        == 448
    )
    assert "loads on cpu" in fundusd("model", "verify", "--model", "phantom").out
    assert json.loads(fundusd("model", "verify", "--model", "phantom", "--json").out)[
        "runtime"
    ].startswith("torch ")
    assert "is prepared for torch" in fundusd("model", "prepare", "--model", "phantom").out


def test_a_model_that_is_not_there_ends_with_69_and_the_next_command(
    fundusd: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    ended = fundusd("model", "verify", "--model", "google/medsiglip-448", "--revision", "0" * 40)
    assert ended.code == 69
    assert "fundusd model download" in ended.err
    ended = fundusd("model", "download", "--model", "phantom")  # nothing to download
    assert ended.code == 0
    assert "is complete" in ended.out


def test_a_defect_is_told_by_class_and_place_only(
    fundusd: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("Quillfeather")

    monkeypatch.setattr("fundusd.cli.status.load", broken)
    ended = fundusd("status")
    assert ended.code == 70
    assert "ValueError in broken, test_commands.py" in ended.err
    assert "Quillfeather" not in ended.err


def test_an_interrupt_ends_with_130(fundusd: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fundusd.cli.status.load", interrupted)
    assert fundusd("status").code in {1, 130}


def test_a_camera_that_was_swept_is_told_with_its_hints(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    ledger = Ledger(f"sqlite:///{graded.folder}/fundusd.db")
    shown = []
    for healthy, mode in ((True, "native"), (False, "native"), (False, "sweep-only")):
        report = SweepReport(3, 1, {IgnoreReason.SIDECAR: 1}, 0, 0.1, healthy, mode, "writer-lease")
        ledger.sweep_finished("room1", report)
        shown.append(fundusd("status", "--config", graded.path).out)
    watched = SweepReport(
        3,
        1,
        {},
        0,
        0.1,
        hints_healthy=True,
        mode="native",
        lease_probe="unknown",
        watches=7,
        swept=2,
    )
    ledger.sweep_finished("room1", watched)
    since = datetime(2026, 11, 24, 8, tzinfo=UTC)
    ledger.keep_incomplete("room1", {b"OD.jpg": IncompleteFile(WaitReason.HELD, 7, since, since)})
    for reason in OfflineReason:
        ledger.offline("room1", reason)
        shown.append(fundusd("status", "--config", graded.path).out)
        assert "OFFLINE since" in shown[-1]
    ledger.close()
    [names] = [line for line in shown[-1].splitlines() if line.startswith("camera ")]
    [values] = [line for line in shown[-1].splitlines() if line.startswith("room1 ")]
    for name, value in (
        ("hints", "healthy (7 folders watched)"),
        ("new by hints", "0"),
        ("by sweeps", "2"),
        ("settling by", "unknown"),
    ):
        assert values[names.index(name) :].startswith(f"{value}  ")
    assert "1 INCOMPLETE since" in shown[-1]
    assert "1 quarantined" in shown[-1]
    assert "writer-lease" in shown[0]
    assert "healthy" in shown[0]
    assert "room1: hints LOST" in shown[1]
    assert "none (sweep-only)" in shown[2]


def test_a_device_that_is_lost_ends_with_75_and_not_as_a_missing_model_does(
    fundusd: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photograph = tmp_path / "a_OD.jpg"
    photograph.write_bytes(daemon_cases.jpeg(Grade.MILD))

    def lost(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(TorchBackend, "_embed", lost)
    ended = fundusd("classify", "--model", "phantom", photograph)
    assert ended.code == 75
    assert "stopped working" in ended.err
    assert "restarts by itself" in ended.err
    assert fundusd("classify", "--model", tmp_path / "none", photograph).code == 69


def test_status_says_how_the_model_answered_known_phantoms(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    assert (
        "not been tested on known phantoms lately" in fundusd("status", "--config", graded.path).out
    )
    ledger = Ledger(f"sqlite:///{graded.folder}/fundusd.db")
    ledger.model_verified(SelfTestResult(0.9999999, 0.999999))
    assert "embedded known phantoms correctly at" in fundusd("status", "--config", graded.path).out
    ledger.model_refused("wrong")
    ledger.close()
    assert "REFUSED" in fundusd("status", "--config", graded.path).out
