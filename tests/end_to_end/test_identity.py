"""Whose eye a capture is when sources are late, contradictory or wrong; and who may know."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases

from fundusd.clinical.camera_database import Lookup
from fundusd.clinical.path_rules import Naming
from fundusd.clinical.pseudonyms import patient_key
from fundusd.domain.clinical_terms import Eye, EyeSource, Reason, Referable
from fundusd.domain.decoding import Content, MediaType
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.files import IncompleteFile, WaitReason
from fundusd.ledger import Ledger, captures
from fundusd.ledger.tables import exam, incomplete, metadata, result

PATTERN = r"(?P<patient>[^_/]+)/\w+?(?:_(?P<eye>OD|OS))?"
JPEG = cases.CONTENT_OF_JPEG

Open = Callable[..., Ledger]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "camera.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE picture (f, side, person)")
        made.commit()
    return path


def put(path: Path, *rows: tuple[str, str | None, str | None]) -> None:
    with closing(sqlite3.connect(path)) as camera:
        camera.executemany("INSERT INTO picture VALUES (?, ?, ?)", rows)
        camera.commit()


@pytest.fixture
def open_site(store_url: str, database: Path) -> Iterator[Open]:
    """Open the ledger of a site whose camera has a folder per patient, and its own database."""
    opened: list[Ledger] = []
    lookup = Lookup(database, "SELECT side AS eye, person AS patient FROM picture WHERE f = :name")

    def site(*, pseudonymous: bool = False, asks: bool = False, release: int = 1) -> Ledger:
        ledger = Ledger(
            store_url,
            site_key=cases.SITE_KEY,
            naming={cases.CAMERA: Naming.of("generic", PATTERN)},
            lookups={cases.CAMERA: lookup} if asks else {},
            pseudonymous=pseudonymous,
        )
        opened.append(ledger)
        ledger.start(cases.release(release))
        ledger.register_camera(cases.CAMERA)
        return ledger

    yield site
    for ledger in opened:
        ledger.close()


def key(patient: str, issuer: str | None = None) -> str | None:
    return patient_key(cases.SITE_KEY, issuer, patient)


def record(ledger: Ledger, content: Content | None = JPEG) -> None:
    ledger.record([cases.finding(claim, content) for claim in ledger.claim(16)])
    assert ledger.verify().broken_seq is None


def the_capture(ledger: Ledger) -> dict[str, Any]:
    (row,) = cases.captures(ledger)
    return row | {"warnings": orjson.loads(row["warnings"] or "[]")}


def warnings(ledger: Ledger) -> list[list[str]]:
    return [orjson.loads(row["warnings"]) for row in cases.captures(ledger)]


# -- the camera's own database


def test_a_row_that_is_there_is_taken_at_once(open_site: Open, database: Path) -> None:
    ledger = open_site(asks=True)
    put(database, ("x1.jpg", "OS", "S17"))
    ledger.admit(cases.found("S17/x1.jpg"))
    row = the_capture(ledger)
    assert (row["eye"], row["eye_source"], row["patient_id"], row["warnings"]) == (
        "L",
        "lookup",
        "S17",
        [],
    )
    record(ledger)
    row = the_capture(ledger)
    assert (row["eye"], row["eye_source"], row["patient_key"], row["warnings"]) == (
        "L",
        "lookup",
        key("S17"),
        [],
    )


def test_a_row_that_comes_after_the_picture_is_taken_with_the_result(
    open_site: Open, database: Path
) -> None:
    ledger = open_site(asks=True)
    ledger.admit(cases.found("S17/x1.jpg"))
    assert (the_capture(ledger)["eye"], the_capture(ledger)["warnings"]) == ("U", ["lookup_no_row"])
    put(database, ("x1.jpg", "OS", None))
    record(ledger)
    row = the_capture(ledger)
    assert (row["eye"], row["eye_source"], row["patient_id"], row["warnings"]) == (
        "L",
        "lookup",
        "S17",
        [],
    )


@pytest.mark.parametrize("trouble", ["remove", "forget"])
def test_an_answer_outlives_a_database_that_gives_none_later(
    open_site: Open, database: Path, trouble: str
) -> None:
    ledger = open_site(asks=True)
    put(database, ("x1.jpg", "OS", None))
    ledger.admit(cases.found("S17/x1.jpg"))
    with closing(sqlite3.connect(database, isolation_level=None)) as camera:
        camera.execute("DELETE FROM picture")
    if trouble == "remove":
        database.unlink()
    record(ledger)
    row = the_capture(ledger)
    assert (row["eye"], row["eye_source"], row["warnings"]) == ("L", "lookup", [])


def test_a_second_row_makes_the_first_doubtful(open_site: Open, database: Path) -> None:
    ledger = open_site(asks=True)
    put(database, ("x1.jpg", "OS", None))
    ledger.admit(cases.found("S17/x1.jpg"))
    put(database, ("x1.jpg", "OD", None))
    record(ledger)
    row = the_capture(ledger)
    assert (row["eye"], row["eye_source"], row["warnings"]) == ("U", "none", ["lookup_ambiguous"])


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("lock", "lookup_locked"),
        ("remove", "lookup_missing"),
        ("overwrite", "lookup_broken"),
        (None, "lookup_no_row"),
    ],
)
def test_a_database_in_trouble_keeps_no_capture_and_no_eye_of_a_name(
    open_site: Open, database: Path, trouble: str | None, code: str
) -> None:
    ledger = open_site(asks=True)
    with closing(sqlite3.connect(database, isolation_level=None)) as camera:
        if trouble == "lock":
            camera.execute("BEGIN EXCLUSIVE")
        elif trouble == "remove":
            database.unlink()
        elif trouble == "overwrite":
            database.write_bytes(b"no database" * 1000)
        ledger.admit(cases.found("S17/x1_OD.jpg"))
        record(ledger)
        row = the_capture(ledger)
    assert (row["eye"], row["eye_source"], row["patient_id"], row["warnings"]) == (
        "R",
        "name",
        "S17",
        [code],
    )


@pytest.mark.parametrize(
    ("name", "side", "content", "eye"),
    [
        ("x1.jpg", "OS", cases.CONTENT, ("L", "image_laterality")),
        ("x1.jpg", "OD", cases.CONTENT, ("U", "conflict")),
        ("x1_OD.jpg", "OS", JPEG, ("U", "conflict")),
        ("x1_OS.jpg", "OS", cases.CONTENT, ("L", "image_laterality")),
        ("x1_OD.jpg", "OS", cases.CONTENT, ("U", "conflict")),  # two against one are still a doubt
        ("x1_OD.jpg", "X", JPEG, ("R", "name")),
        ("x1.jpg", "B", JPEG, ("U", "lookup")),
    ],
)
def test_sources_that_disagree_leave_no_eye(
    open_site: Open, database: Path, name: str, side: str, content: Content, eye: tuple[str, str]
) -> None:
    ledger = open_site(asks=True)
    put(database, (name, side, None))
    ledger.admit(cases.found(f"PATIENT-7/{name}"))
    record(ledger, content)
    row = the_capture(ledger)
    assert (row["eye"], row["eye_source"]) == eye
    assert ("eye_conflict" in row["warnings"]) == (eye[1] == "conflict")


def test_bytes_that_are_exported_again_are_asked_for_too(open_site: Open, database: Path) -> None:
    ledger = open_site(asks=True)
    put(database, ("x1.jpg", "OS", None), ("x2.jpg", "OD", None))
    ledger.admit(cases.found("S17/x1.jpg"))
    record(ledger)
    ledger.admit(cases.found("S17/x2.jpg"))
    assert [row["eye"] for row in cases.captures(ledger)] == ["L", "R"]


def test_a_name_that_may_be_an_eye_or_a_surname_contradicts_the_header(ledger: Ledger) -> None:
    ledger.admit(
        cases.found("SMITH_OD.dcm", "A"),
        cases.found("SMITH_OS.dcm", "B"),
        cases.found("VAN_OD.dcm", "C"),
    )
    record(ledger, cases.CONTENT)
    assert [(row["eye"], row["eye_source"]) for row in cases.captures(ledger)] == [
        ("U", "conflict"),
        ("L", "image_laterality"),
        ("L", "image_laterality"),  # van Od is somebody
    ]
    assert warnings(ledger)[1:] == [[], []]


# -- two patients


def test_the_same_bytes_under_two_patients_are_warned_of_on_both(open_site: Open) -> None:
    ledger = open_site()
    ledger.admit(cases.found("S17/x1.jpg"))
    record(ledger)
    assert warnings(ledger) == [[]]
    ledger.admit(cases.found("S18/x1.jpg"))
    assert warnings(ledger) == [["digest_of_two_patients"]] * 2
    assert [row["patient_id"] for row in cases.captures(ledger)] == ["S17", "S18"]
    ledger.admit(cases.found("S17/again.jpg"))
    assert warnings(ledger) == [["digest_of_two_patients"]] * 3
    assert ledger.verify().broken_seq is None


def test_a_photograph_of_two_patients_leaves_neither_of_them_negative(open_site: Open) -> None:
    ledger = open_site()
    ledger.admit(cases.found("S17/x1_OD.jpg"), cases.found("S17/x2_OS.jpg", "B"))
    healthy = (5.0, 0.0, 0.0, 0.0, 0.0)
    ledger.record([cases.finding(claim, JPEG, healthy) for claim in ledger.claim(16)])
    first = cases.captures(ledger)[0]
    before = ledger.exam(first["exam_id"])
    assert before is not None
    assert before.final.referable is Referable.NO
    ledger.admit(cases.found("S18/x1_OD.jpg"))
    after = ledger.exam(first["exam_id"])
    assert after is not None
    assert after.eyes[0].reason is EyeReason.PATIENT_UNCERTAIN
    stored = {row["id"]: row["final_referable"] for row in cases.rows(ledger, exam)}
    assert set(stored.values()) == {"indeterminate"}


def test_two_patients_of_one_batch_are_noticed(open_site: Open) -> None:
    ledger = open_site()
    ledger.admit(
        cases.found("S17/x1.jpg"), cases.found("S18/x1.jpg"), cases.found("S17/x2.jpg", "B")
    )
    (recorded, _) = ledger.record([cases.finding(claim, JPEG) for claim in ledger.claim(16)])
    assert warnings(ledger) == [["digest_of_two_patients"], ["digest_of_two_patients"], []]
    assert recorded is not None
    assert recorded[0].fields()["warnings"] == ("digest_of_two_patients",)


def test_a_file_that_was_put_right_is_no_second_patient(open_site: Open) -> None:
    ledger = open_site()
    ledger.admit(cases.found("S17/x1.jpg", inode=7))
    record(ledger)
    ledger.mark_missing(cases.CAMERA, [b"S17/x1.jpg"])
    assert ledger.admit(cases.found("S18/x1.jpg", inode=7)) == ["moved"]
    assert warnings(ledger) == [[], []]


def test_the_patient_of_a_header_is_one_patient_under_two_folders(open_site: Open) -> None:
    ledger = open_site()
    ledger.admit(cases.found("PATIENT-7/x1.dcm"), cases.found("PHANTOM-8/x1.dcm"))
    record(ledger, cases.CONTENT)
    assert {row["patient_key"] for row in cases.captures(ledger)} == {key("PATIENT-7", "clinic")}
    assert warnings(ledger) == [[], ["patient_conflict"]]


# -- the camera's clock


NOW = datetime(2026, 6, 7, 10, 15, tzinfo=UTC)
RESULT: dict[str, Any] = {"created_at": NOW, "outcome": "graded"}
BEFORE: dict[str, Any] = {
    "eye": "U", "eye_source": "none", "field": None, "patient_id": None, "patient_key": None,
    "other_patient_id": None, "other_patient_key": None, "warnings": "[]",
    "acquired_at": None, "acquired_day": None, "other_acquired_day": None, "received_at": NOW,
}  # fmt: skip


@pytest.mark.parametrize(
    ("ahead", "is_old", "is_off"),
    [
        (timedelta(seconds=-5), False, False),
        (timedelta(hours=-47), False, False),
        (timedelta(hours=-49), False, True),
        (timedelta(days=-365 * 9), False, True),
        (timedelta(days=-365 * 9), True, False),
        (timedelta(minutes=9), False, False),
        (timedelta(minutes=11), False, True),
        (timedelta(days=365 * 4), True, True),
    ],
)
def test_a_clock_that_is_off_is_warned_of(ahead: timedelta, is_old: bool, is_off: bool) -> None:
    for before, header in (
        ({}, {"acquired_at": (NOW + ahead).isoformat()}),
        ({"acquired_at": NOW + ahead}, {}),
    ):
        settled = captures.settled(BEFORE | before, RESULT, header, is_old=is_old, are_clear=True)
        assert settled["warnings"] == ('["clock_skew"]' if is_off else "[]")
        assert settled["acquired_at"] == NOW + ahead


@pytest.mark.parametrize(
    ("ahead", "backlog", "expected"),
    [(-49, False, ["clock_skew"]), (-49, True, []), (0, False, [])],
)
def test_a_photograph_that_is_exported_again_is_as_old_as_it_was(
    ledger: Ledger, ahead: int, backlog: bool, expected: list[str]
) -> None:
    ledger.admit(cases.found("1_OS.dcm", backlog=backlog))
    record(ledger, replace(cases.CONTENT, acquired_at=datetime.now(UTC) + timedelta(hours=ahead)))
    ledger.admit(cases.found("2_OS.dcm"))
    assert warnings(ledger) == [expected, expected]


# -- what may be known of patients


def texts(ledger: Ledger, *, but: Sequence[str] = ()) -> str:
    """Return every value in the database as text, except those of some columns."""
    values = []
    for table in metadata.sorted_tables:
        columns = [column for column in table.c if f"{table.name}.{column.name}" not in but]
        with ledger.database.reading() as connection:
            for row in connection.execute(sa.select(*columns)):
                values += [
                    bytes(value).decode("latin-1")
                    if isinstance(value, bytes | memoryview)
                    else str(value)
                    for value in row
                ]
    return "\n".join(values)


# paths, stored as the file system has them
PLACES = ("capture.path", "sighting.directory", "sighting.name", "incomplete.path")
NAMES = ("Quillfeather", "QF-17", "Featherstone")


def test_a_site_that_keeps_pseudonyms_has_identifiers_nowhere_but_in_paths(
    open_site: Open, database: Path
) -> None:
    ledger = open_site(pseudonymous=True, asks=True)
    put(database, ("x2.jpg", "OS", "Featherstone"))
    content = replace(cases.CONTENT, patient_id="QF-17", issuer="Featherstone")
    ledger.admit(cases.found("Quillfeather/x1.dcm"))
    record(ledger, content)
    ledger.admit(cases.found("Quillfeather/again.dcm"), cases.found("Quillfeather_17/x2.jpg", "B"))
    record(ledger)
    ledger.admit(cases.found("Quillfeather/x3.jpg", "C"))
    ledger.fail(ledger.claim(1)[0], Reason.TRUNCATED, "cut short")
    waits = IncompleteFile(WaitReason.EMPTY, 0, datetime.now(UTC))
    ledger.keep_incomplete(cases.CAMERA, {b"Quillfeather/x4.jpg": waits})

    assert not [name for name in NAMES if name in texts(ledger, but=PLACES)]
    assert "Quillfeather" in texts(ledger)  # the files could not be found otherwise
    shown = " ".join(
        str(value) for row in ledger.results(superseded=True) for value in row.values()
    )
    assert not [name for name in NAMES if name in shown]
    keys = [row["patient_key"] for row in cases.captures(ledger)]
    assert keys == [key("QF-17", "Featherstone")] * 2 + [key("Featherstone"), key("Quillfeather")]
    assert ledger.identifiers_held() == (0, 0)


def test_paths_are_shown_as_digests_that_still_tell_folders_and_shots_apart(
    open_site: Open,
) -> None:
    ledger = open_site(pseudonymous=True)
    ledger.admit(
        cases.found("S17/x1_OD.jpg", "A"),
        cases.found("S17/x1_OD.DCM", "B"),
        cases.found("S17/x2.jpg", "C"),
        cases.found("S18/x1_OD.jpg", "D"),
        cases.found("x1_OD.Quillfeather", "E"),
    )
    shown = [row["path_text"] for row in cases.captures(ledger)]
    first, second, third, fourth, last = (path.split("/") for path in shown)
    assert first[0] == second[0] == third[0] != fourth[0]
    assert (
        first[1].removesuffix(".jpg")
        == second[1].removesuffix(".DCM")
        != third[1].removesuffix(".jpg")
    )
    assert fourth[1] == first[1]
    assert len(last) == 1
    assert "." not in last[0]
    waits = IncompleteFile(WaitReason.EMPTY, 0, datetime.now(UTC))
    ledger.keep_incomplete(cases.CAMERA, {b"S17/x1_OD.jpg": waits})
    assert cases.rows(ledger, incomplete)[0]["path_text"] == shown[0]


@pytest.mark.parametrize("pseudonymous", [False, True])
def test_path_and_header_are_compared_in_either_mode(open_site: Open, pseudonymous: bool) -> None:
    ledger = open_site(pseudonymous=pseudonymous)
    for word, issuer in (("A", None), ("B", "clinic")):
        ledger.admit(cases.found(f"QF-17/{word}.dcm", word), cases.found(f"QF-18/{word}.dcm", word))
        record(ledger, replace(cases.CONTENT, patient_id="QF-17", issuer=issuer))
    rows = cases.captures(ledger)
    assert [row["patient_key"] for row in rows] == [key("QF-17")] * 2 + [key("QF-17", "clinic")] * 2
    assert warnings(ledger) == [[], ["patient_conflict"]] * 2
    assert {row["patient_id"] for row in rows} == {None if pseudonymous else "QF-17"}


def test_identifiers_from_before_are_counted_and_not_copied(open_site: Open) -> None:
    before = open_site()
    content = replace(cases.CONTENT, patient_id="QF-17")
    before.admit(cases.found("Quillfeather/x1.dcm"))
    record(before, content)
    before.admit(cases.found("Quillfeather/x2.jpg", "B"))
    record(before)
    assert before.identifiers_held() == (2, 1)

    since = open_site(pseudonymous=True)
    since.admit(cases.found("Quillfeather/again.dcm"))
    assert cases.captures(since)[-1]["patient_id"] is None
    assert cases.captures(since)[-1]["patient_key"] == key("QF-17", "clinic")
    assert since.identifiers_held() == (2, 1)
    assert since.verify().broken_seq is None


def test_identifiers_from_before_are_not_copied_by_a_job_that_is_handed_over(
    open_site: Open,
) -> None:
    content = replace(cases.CONTENT, patient_id="QF-17")
    before = open_site()
    before.admit(cases.found("Quillfeather/x1.dcm"))
    record(before, content)
    other = open_site(release=2, pseudonymous=True)
    other.admit(cases.found("Quillfeather/again.dcm"))  # queued under the other release
    since = open_site(release=1, pseudonymous=True)  # which has a result for it already
    assert since.claim(1) == []
    assert [row["patient_id"] for row in cases.captures(since)] == ["QF-17", None]


def test_what_bytes_say_is_kept_without_identifiers(open_site: Open) -> None:
    ledger = open_site(pseudonymous=True)
    ledger.admit(cases.found("S17/x1.dcm"))
    record(
        ledger,
        Content(
            MediaType.DICOM, 10, 10, Eye.LEFT, EyeSource.LATERALITY, "QF-17", "clinic", "1.2.3"
        ),
    )
    (row,) = cases.rows(ledger, result)
    content = orjson.loads(row["content"])
    assert content.keys() & {"patient_id", "issuer"} == set()
    assert (content["patient_key"], content["bare_key"]) == (key("QF-17", "clinic"), key("QF-17"))
