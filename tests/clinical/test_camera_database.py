"""What a camera's own database says, and every way in which it fails. All names are invented."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.clinical import camera_database
from fundusd.clinical.attribution import CaptureMetadata
from fundusd.clinical.camera_database import Lookup, of_row, read, require_query
from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, EyeSource

R, L, U = Eye.RIGHT, Eye.LEFT, Eye.UNKNOWN
NAME, LOOKUP, CONFLICT, NONE = EyeSource.NAME, EyeSource.LOOKUP, EyeSource.CONFLICT, EyeSource.NONE

QUERY = (
    "SELECT side AS eye, person AS patient, part AS field, day AS date, clock AS time "
    "FROM picture WHERE f = :name"
)
ROW = ("a.jpg", "OS", "S17", "macula", "2026-06-07", "10:15:00")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Make a camera's database with a row about a.jpg."""
    path = tmp_path / "camera %20 #1?.db"  # what an URI must quote
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE picture (f, side, person, part, day, clock)")
        made.commit()
    put(path, ROW)
    return path


def put(path: Path, *rows: tuple[object, ...]) -> None:
    with closing(sqlite3.connect(path)) as camera:
        camera.executemany("INSERT INTO picture VALUES (?, ?, ?, ?, ?, ?)", rows)
        camera.commit()


def asked(path: Path, capture: str = "a.jpg", query: str = QUERY) -> CaptureMetadata:
    (named,) = Lookup(path, query).ask([capture])
    return named


def trouble(path: Path, capture: str = "a.jpg", query: str = QUERY) -> str:
    named = asked(path, capture, query)
    assert named == CaptureMetadata(warnings=named.warnings)  # and nothing else
    (code,) = named.warnings
    return code


def test_the_row_of_a_capture_tells_eye_patient_field_and_time(database: Path) -> None:
    named = asked(database)
    assert (named.eye, named.eye_source, named.field, named.patient) == (L, LOOKUP, "macula", "S17")
    assert named.acquired_at is not None
    assert (named.acquired_at.isoformat(), named.warnings) == ("2026-06-07T10:15:00", ())


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("SELECT 'OS' AS eye WHERE :path = 'S17/x/a.b.jpg'", "S17/x/a.b.jpg"),
        ("SELECT 'OS' AS eye WHERE :name = 'a.b.jpg'", "S17/x/a.b.jpg"),
        ("SELECT 'OS' AS eye WHERE :stem = 'a.b'", "S17/x/a.b.jpg"),
        ("SELECT 'OS' AS eye WHERE :folder = 'x'", "S17/x/a.b.jpg"),
        ("SELECT 'OS' AS eye WHERE :folder = ''", "a.jpg"),
        ("SELECT 'OS' AS eye WHERE :stem = 'a' AND :folder = 'S17'", r"S17\a.jpg"),
        ("WITH it AS (SELECT :stem AS stem) SELECT 'OS' AS EYE FROM it WHERE stem = 'a';", "a.jpg"),
        ("SELECT 'OS' AS eye -- ; this one\nWHERE $stem = 'a'", "a.jpg"),
    ],
)
def test_a_query_asks_by_path_name_stem_or_folder(database: Path, query: str, path: str) -> None:
    require_query(query)
    assert asked(database, path, query).eye is L


@pytest.mark.parametrize(
    ("value", "eye", "warnings"),
    [
        ("OD", R, ()), ("os", L, ()), ("Right", R, ()), ("L", L, ()), ("RE", R, ()),
        ("OE", L, ()), ("OG", L, ()), ("gauche", L, ()), ("Sağ", R, ()), ("左眼", L, ()),
        ("", U, ()), (None, U, ()), ("  ", U, ()),
        ("B", U, ("eye_both",)), ("OU", U, ("eye_both",)),
        ("X", U, ("eye_unreadable",)), (1, U, ("eye_unreadable",)), (b"OS", U, ("eye_unreadable",)),
        ("OS OD", U, ("eye_unreadable",)), ("\u041eD", U, ("eye_unreadable",)),
    ],
)  # fmt: skip
def test_an_eye_is_one_of_the_words_that_stand_for_eyes(
    database: Path, value: object, eye: Eye, warnings: tuple[str, ...]
) -> None:
    put(database, ("b.jpg", value, "S18", None, None, None))
    named = asked(database, "b.jpg")
    assert (named.eye, named.warnings, named.patient) == (eye, warnings, "S18")
    assert (named.eye_source is NONE) == (eye is U and "eye_both" not in warnings)


@pytest.mark.parametrize(
    ("value", "patient"),
    [
        (17, "17"), (17.0, "17"), ("  S17 ", "S17"), (None, None), ("", None), (b"\xff", None),
        ("\x1b", None),
        ("9" * 65, None), ("ANONYMOUS", None), ("000", None), (0, None),
    ],
)  # fmt: skip
def test_a_patient_is_read_from_whatever_type_it_has(
    database: Path, value: object, patient: str | None
) -> None:
    put(database, ("b.jpg", "OD", value, None, "nonsense", 99))
    named = asked(database, "b.jpg")
    assert (named.eye, named.patient) == (R, patient)
    unreadable = {"patient_unreadable"} if patient is None and value not in {None, ""} else set()
    assert set(named.warnings) == {"date_unreadable", "time_unreadable"} | unreadable


def test_text_that_is_no_utf8_is_unreadable_and_breaks_nothing(database: Path) -> None:
    with closing(sqlite3.connect(database)) as camera:
        camera.execute(
            "INSERT INTO picture (f, side, person) VALUES ('b.jpg', 'OD', CAST(x'ff41' AS TEXT))"
        )
        camera.commit()
    named = asked(database, "b.jpg")
    assert (named.eye, named.patient, named.warnings) == (R, None, ("patient_unreadable",))


# -- troubles


def test_no_row_yet_is_told(database: Path) -> None:
    assert trouble(database, "b.jpg") == "lookup_no_row"
    put(database, ("b.jpg", "OD", None, None, None, None))
    assert asked(database, "b.jpg").eye is R


def test_two_rows_tell_nothing(database: Path) -> None:
    put(database, ("a.jpg", "OD", "S17", None, None, None))
    assert trouble(database) == "lookup_ambiguous"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT side AS eye FROM photo WHERE f = :name",
        "SELECT sight AS eye FROM picture WHERE f = :name",
        "SELECT side FROM picture WHERE f = :name",  # an unknown column
        "SELECT side AS eye, side AS eye FROM picture WHERE f = :name",
        "SELECT nothing(side) AS eye FROM picture WHERE f = :name",
        "WITH x AS (SELECT :name) DELETE FROM picture",
        "SELECT abs(-9223372036854775808) AS patient WHERE :name <> ''",
        "SELECT zeroblob(1000000000) AS patient WHERE :name <> ''",
    ],
)
def test_a_query_that_does_not_fit_is_broken_and_changes_nothing(
    database: Path, query: str
) -> None:
    before = database.read_bytes()
    assert trouble(database, query=query) == "lookup_broken"
    assert database.read_bytes() == before


def test_a_file_that_is_no_database_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "camera.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    assert trouble(path) == "lookup_broken"


def test_a_database_that_was_cut_is_broken(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:4096])
    assert trouble(database) == "lookup_broken"


def test_an_empty_file_is_broken_and_stays_empty(tmp_path: Path) -> None:
    path = tmp_path / "camera.db"
    path.touch()
    assert trouble(path) == "lookup_broken"
    assert files_beside(path) == ["camera.db"]
    assert path.stat().st_size == 0


def test_a_database_that_is_not_there_is_missing_and_is_not_made(tmp_path: Path) -> None:
    assert trouble(tmp_path / "camera.db") == "lookup_missing"
    assert trouble(tmp_path) == "lookup_missing"  # a folder
    os.mkfifo(tmp_path / "pipe")
    assert trouble(tmp_path / "pipe") == "lookup_missing"  # which would be waited for
    assert not (tmp_path / "camera.db").exists()


def test_a_database_that_may_not_be_read_is_missing(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    database.chmod(0)
    assert trouble(database) == "lookup_missing"


def test_a_locked_database_is_not_waited_for(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as camera:
        camera.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        named = Lookup(database, QUERY).ask(["a.jpg"] * 1000)
        assert time.monotonic() - began < 3
        assert {metadata.warnings for metadata in named} == {("lookup_locked",)}
        assert len(named) == 1000
        camera.execute("ROLLBACK")
    assert asked(database).eye is L


def test_a_query_without_end_is_stopped(database: Path) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT i AS eye FROM n WHERE :name = i"
    )
    began = time.monotonic()
    assert {answer.warnings for answer in Lookup(database, endless).ask(["a.jpg"] * 50)} == {
        ("lookup_locked",)
    }
    assert time.monotonic() - began < 10


def test_what_the_camera_is_writing_does_not_hold_us_up(database: Path) -> None:
    """A write-ahead log does not block readers; a rollback journal does while it is written."""
    for mode in ("wal", "delete"):
        with closing(sqlite3.connect(database, isolation_level=None)) as camera:
            camera.execute(f"PRAGMA journal_mode = {mode}")
            camera.execute("BEGIN IMMEDIATE")
            camera.execute("UPDATE picture SET side = 'OD'")
            assert asked(database).eye is L, mode
            camera.execute("ROLLBACK")


def files_beside(path: Path) -> list[str]:
    return sorted(beside.name for beside in path.parent.iterdir())


def test_a_database_with_a_write_ahead_log_gets_no_files_of_ours(database: Path) -> None:
    with closing(sqlite3.connect(database)) as camera:
        camera.execute("PRAGMA journal_mode = wal")
    assert files_beside(database) == [database.name]
    assert asked(database).eye is L
    assert files_beside(database) == [database.name]
    with closing(sqlite3.connect(database)) as camera:
        camera.execute("INSERT INTO picture VALUES ('b.jpg', 'OD', NULL, NULL, NULL, NULL)")
        camera.commit()
        assert asked(database, "b.jpg").eye is R  # it is in the log
    assert asked(database, "b.jpg").eye is R
    assert files_beside(database) == [database.name]
    link = database.parent / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(database)
    assert asked(link, "b.jpg").eye is R
    assert files_beside(link) == ["link.db"]


def test_what_the_camera_wrote_while_it_was_read_without_a_lock_is_not_taken(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(database)) as camera:
        camera.execute("PRAGMA journal_mode = wal")
    read_answers = camera_database._answers_in_time

    def late(
        connection: sqlite3.Connection, query: str, paths: Sequence[str]
    ) -> list[CaptureMetadata]:
        answers = list(read_answers(connection, query, paths))
        put(database, ("b.jpg", "OD", None, None, None, None))
        return answers

    monkeypatch.setattr(camera_database, "_answers_in_time", late)
    assert trouble(database) == "lookup_locked"


# -- together with the name


@pytest.mark.parametrize(
    ("name", "side", "expected", "warning"),
    [
        ("12_OS.jpg", "OS", (L, LOOKUP), None),
        ("12_OD.jpg", "OS", (U, CONFLICT), "eye_conflict"),
        ("12_OD.jpg", None, (R, NAME), None),
        ("12_OD.jpg", "X", (R, NAME), "eye_unreadable"),
        ("12_OD.jpg", "B", (U, CONFLICT), "eye_conflict"),
        ("IMG.jpg", "B", (U, LOOKUP), "eye_both"),
        ("12_OD_OS.jpg", "OS", (U, CONFLICT), "eye_conflict"),
        ("JAN_OS_1950.jpg", "OS", (L, LOOKUP), None),
        ("JAN_OS_1950.jpg", "OD", (U, CONFLICT), "eye_conflict"),
        ("JAN_OS_1950.jpg", None, (U, NONE), "eye_maybe_left"),
    ],
)
def test_a_name_and_a_row_that_disagree_tell_no_eye(
    database: Path,
    name: str,
    side: str | None,
    expected: tuple[Eye, EyeSource],
    warning: str | None,
) -> None:
    put(database, (name, side, None, None, None, None))
    (named,) = read(Naming(), Lookup(database, QUERY), [name])
    assert (named.eye, named.eye_source) == expected
    assert (warning in named.warnings) if warning else (named.warnings == ())


def test_a_trouble_leaves_what_the_name_says(database: Path) -> None:
    (named,) = read(Naming.of("eyepacs"), Lookup(database, QUERY), ["13_left.jpeg"])
    assert (named.eye, named.eye_source, named.patient) == (L, NAME, "13")
    assert named.warnings == ("lookup_no_row",)


def test_the_row_s_patient_comes_before_the_folder_s(database: Path) -> None:
    uuid = "0f8fad5b-d9cb-469f-a165-70867728950e.jpg"
    put(database, (uuid, "OD", "S18", "disc", None, None))
    naming, lookup = Naming.of("retcam-output"), Lookup(database, QUERY)
    same, other = read(naming, lookup, [f"S18/{uuid}", f"S17/{uuid}"])
    assert (same.eye, same.patient, same.field, same.warnings) == (R, "S18", "disc", ())
    assert (other.eye, other.patient, other.warnings) == (R, "S18", ("patient_conflict",))
    assert (same.other_patient, other.other_patient) == (None, "S17")


def test_a_camera_without_a_database_is_told_of_by_its_names() -> None:
    assert read(Naming(), None, ["12_OD.jpg"]) == [Naming().read("12_OD.jpg")]


# -- settings


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("UPDATE picture SET side = :name", "must be a SELECT"),
        ("PRAGMA table_info(picture)", "must be a SELECT"),
        ("ATTACH :name AS other", "must be a SELECT"),
        ("", "must be a SELECT"),
        (
            "SELECT side AS eye FROM picture",
            "must select the capture by one of :path, :name, :stem, :folder",
        ),
        ("SELECT side AS eye FROM picture WHERE f = ':name'", "must select the capture"),
        ("SELECT side AS eye FROM picture WHERE f = :file", "and by nothing else"),
        ("SELECT side AS eye FROM picture WHERE f = :name AND g = ?", "and by nothing else"),
        ("SELECT 1 AS eye WHERE :name; DROP TABLE picture", "must be one statement"),
        ("SELECT side AS eye FORM picture WHERE f = :name", "is not SQL"),
        ("SELECT side AS eye FROM picture WHERE f = :name AND (", "is not SQL"),
    ],
)
def test_a_query_that_is_none_is_refused_with_the_settings(query: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_query(query)


WORDS = (
    st.sampled_from(
        ["OD", "os", "R", "left", "B", "", "X", "OE", "\0", "0", "S17", "20260105", "10:15"]
    )
    | st.text()
)


@given(st.dictionaries(st.sampled_from(["patient", "eye", "field", "date", "time"]), WORDS))
def test_no_row_is_an_error_and_no_eye_is_guessed(row: dict[str, str]) -> None:
    named = of_row(row)
    right, left = {"OD", "R", "RE", "RIGHT"}, {"OS", "L", "LE", "LEFT", "OE", "OI", "OG"}
    assert named.eye is U or row["eye"].upper() in {R: right, L: left}[named.eye]
    assert (named.eye_source is LOOKUP) == (named.eye is not U or "eye_both" in named.warnings)
