"""A file that is moved or renamed keeps what its new name does not say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_readings import rows
from tests.reading_cases import BY, NO_DR, PDR, exam_of, number, read, the_eye

from fundusd.clinical.attribution import CaptureMetadata
from fundusd.clinical.path_rules import Naming
from fundusd.clinical.pseudonyms import Identifiers
from fundusd.domain.clinical_terms import Eye, EyeSource, Grade, Referable, ReviewVerdict
from fundusd.domain.errors import RequestError
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import Ledger, Recorded, rejudging, results
from fundusd.ledger.path_metadata import PathMetadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fundusd.clinical.exam import Exam
    from fundusd.ledger.transactions import Recording

YES, OPEN, NO = Referable.YES, Referable.INDETERMINATE, Referable.NO
PATTERN = r"(?P<patient>P\d)(_(?P<date>\d{8}))?(_(?P<eye>OD|OS))?(_\d)?"
RIGHT, LEFT = "P1_20261101_OD.jpg", "P1_20261101_OS.jpg"
ARCHIVED = "archive/000123.jpg"  # names nobody


@pytest.fixture
def named(store_url: str) -> Iterator[Ledger]:
    """Yield a ledger with a camera whose names give the patient, the day and the eye."""
    yield from opened(store_url)


def opened(store_url: str, **more: Any) -> Iterator[Ledger]:
    naming = {cases.CAMERA: Naming.of("generic", PATTERN)}
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, naming=naming, **more)
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    yield ledger
    ledger.close()


def record(
    ledger: Ledger,
    name: str,
    logits: Sequence[float] = NO_DR,
    *,
    patient: str | None = None,
    word: str = "",
) -> Exam:
    """Record a photograph, and return its exam; `patient` is in its header."""
    claim = cases.take(ledger, name, word or name)
    content = replace(cases.CONTENT_OF_JPEG, patient_id=patient)
    ledger.record([cases.finding(claim, content, logits)])
    return exam_of(ledger, name)


def moved(ledger: Ledger, old: str, new: str, word: str = "") -> None:
    """Rename a file whose bytes were made from `word`, or from its first name."""
    row = [row for row in cases.captures(ledger) if row["path_text"] == old][-1]
    ledger.mark_missing(cases.CAMERA, [old.encode()])
    ledger.admit(cases.found(new, word or old, inode=row["inode"], mtime_ns=row["mtime_ns"]))


def judge_waiting(ledger: Ledger, logits: Sequence[float] = NO_DR) -> None:
    """Record a result for the bytes that wait for one."""
    [claim] = ledger.claim(1)
    ledger.record([cases.finding(claim, cases.CONTENT_OF_JPEG, logits)])


def by_number(ledger: Ledger, exam_id: int) -> Exam:
    exam = ledger.exam(exam_id)
    assert exam is not None
    return exam


def waiting(ledger: Ledger) -> list[tuple[int, str, str]]:
    return [(row["exam_id"], row["eye"], row["waits_for"]) for row in rows(ledger, "v_worklist")]


def visit(ledger: Ledger, logits: Sequence[float] = NO_DR) -> Exam:
    """Record both eyes of P1 and archive the right one under a name that names nobody."""
    record(ledger, RIGHT, logits)
    exam = record(ledger, LEFT)
    moved(ledger, RIGHT, ARCHIVED)
    return by_number(ledger, exam.exam_id)


def test_c8_a_file_whose_new_name_names_nobody_stays_its_patients(named: Ledger) -> None:
    exam = visit(named, PDR)
    archived = exam_of(named, ARCHIVED)
    assert (archived.exam_id, archived.final.referable) == (exam.exam_id, YES)
    assert [shot.capture_id for shot in the_eye(exam).shots] == [number(named, ARCHIVED)]
    row = cases.captures(named)[-1]
    before = cases.captures(named)[0]
    kept = ("patient_id", "patient_key", "eye", "eye_source", "acquired_at", "acquired_day")
    assert [row[name] for name in kept] == [before[name] for name in kept]
    assert named.verify().problem == ""


def test_c8_it_can_be_excluded_and_its_eye_corrected_at_its_new_place(named: Ledger) -> None:
    visit(named)
    after = named.exclude(number(named, ARCHIVED), ExclusionReason.NOT_THIS_PATIENT, BY)
    assert (after.final.referable, after.missing) == (OPEN, (Eye.RIGHT,))
    named.include(number(named, ARCHIVED), BY)
    after = named.correct_eye(number(named, ARCHIVED), Eye.LEFT, BY)
    assert (after.final.referable, after.missing) == (OPEN, (Eye.RIGHT,))


def test_c18_a_reading_at_the_new_place_reaches_the_list_and_the_stored_result(
    named: Ledger,
) -> None:
    exam = visit(named)
    read(named, exam_of(named, ARCHIVED), ReviewVerdict.OVERRIDE, grade=Grade.PDR)
    [row] = [row for row in rows(named, "v_person_exam") if row["exam_id"] == exam.exam_id]
    assert row["final_referable"] == YES


@pytest.mark.parametrize("name", ["P2_20261101_OD.jpg", "P1_20250310_OD.jpg"])
def test_c9_renamed_by_way_of_a_name_that_names_nobody_it_counts_once(
    named: Ledger, name: str
) -> None:
    exam = visit(named)
    moved(named, ARCHIVED, name, RIGHT)
    left = by_number(named, exam.exam_id)
    assert (left.final.referable, left.missing) == (OPEN, (Eye.RIGHT,))
    other = exam_of(named, name)
    assert other.exam_id != exam.exam_id
    assert [shot.capture_id for shot in the_eye(other).shots] == [number(named, name)]
    assert named.verify().problem == ""


def test_c25_the_same_bytes_of_two_patients_can_still_be_given_to_the_other(named: Ledger) -> None:
    of_other = "P2_20261101_OD.jpg"
    record(named, RIGHT, word="the same")
    named.admit(cases.found(of_other, "the same"))
    named.belongs(number(named, RIGHT), BY)
    moved(named, RIGHT, ARCHIVED, "the same")
    with pytest.raises(RequestError, match="holds the same photograph"):
        named.belongs(number(named, of_other), BY)
    named.exclude(number(named, ARCHIVED), ExclusionReason.NOT_THIS_PATIENT, BY)
    after = named.belongs(number(named, of_other), BY)
    assert the_eye(after).reason is None


def test_only_what_the_new_name_does_not_say_is_kept(named: Ledger) -> None:
    record(named, RIGHT)
    moved(named, RIGHT, "P2_20261102.jpg")
    row = cases.captures(named)[-1]
    assert (row["patient_id"], row["eye"], row["acquired_day"]) == ("P2", "R", "2026-11-02")
    assert row["acquired_at"] is None


def test_a_newer_release_judges_the_archived_file_for_its_patient(named: Ledger) -> None:
    record(named, RIGHT)
    exam = record(named, LEFT)
    named.start(replace(cases.release(), revision="another"))
    moved(named, RIGHT, ARCHIVED)
    judge_waiting(named, PDR)
    assert exam_of(named, ARCHIVED).exam_id == exam.exam_id
    assert by_number(named, exam.exam_id).final.referable is YES


def test_an_undated_photograph_of_the_backlog_stays_in_its_exam(named: Ledger) -> None:
    claim = cases.take(named, "P1_OD.jpg", "P1_OD.jpg", backlog=True)
    named.record([cases.finding(claim, cases.CONTENT_OF_JPEG)])
    exam = exam_of(named, "P1_OD.jpg")
    named.start(replace(cases.release(), revision="another"))
    moved(named, "P1_OD.jpg", ARCHIVED)
    judge_waiting(named)
    assert exam_of(named, ARCHIVED).exam_id == exam.exam_id


def test_a_photograph_of_two_patients_remains_in_doubt(named: Ledger) -> None:
    record(named, RIGHT, patient="P9")
    moved(named, RIGHT, ARCHIVED)
    exam = exam_of(named, ARCHIVED)
    assert (exam.patient_id, the_eye(exam).reason) == ("P9", EyeReason.PATIENT_UNCERTAIN)
    after = named.belongs_to_other(number(named, ARCHIVED), BY)
    assert after.patient_id == "P1"
    moved(named, ARCHIVED, "archive/7.jpg", RIGHT)
    assert exam_of(named, "archive/7.jpg").exam_id == after.exam_id
    assert named.verify().problem == ""


def test_a_file_renamed_to_another_patient_leaves_the_exam_that_it_was_joined_into(
    named: Ledger,
) -> None:
    exam = record(named, RIGHT)
    other = record(named, "P1_20261102_OS.jpg")
    named.join_exams(other.exam_id, exam.exam_id, BY)
    moved(named, "P1_20261102_OS.jpg", "P1_20261102_OS_2.jpg")
    assert exam_of(named, "P1_20261102_OS_2.jpg").exam_id == exam.exam_id
    moved(named, "P1_20261102_OS_2.jpg", "P2_20261102.jpg", "P1_20261102_OS.jpg")
    assert exam_of(named, "P2_20261102.jpg").exam_id != exam.exam_id
    assert [eye.eye for eye in by_number(named, exam.exam_id).eyes] == [Eye.RIGHT]


def test_a_parted_file_of_nobody_belongs_to_the_patient_whom_its_new_name_gives(
    named: Ledger,
) -> None:
    exam = record(named, RIGHT)
    unknown = record(named, "IMG_7.jpg")
    named.join_exams(unknown.exam_id, exam.exam_id, BY)
    parted = named.part_exam(number(named, "IMG_7.jpg"), BY)
    moved(named, "IMG_7.jpg", "IMG_8.jpg")
    assert exam_of(named, "IMG_8.jpg").exam_id == parted.exam_id
    of_other = record(named, "P2_20261101_OS.jpg")
    moved(named, "IMG_8.jpg", "P2_20261101_OD.jpg", "IMG_7.jpg")
    assert exam_of(named, "P2_20261101_OD.jpg").exam_id == of_other.exam_id
    assert named.verify().problem == ""


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("P1_20261105_OS.jpg", False),
        ("P1_20261101_OS.jpg", True),
        ("P1_20261102_OS_2.jpg", True),
        ("P1_OS.jpg", True),
    ],
)
def test_a_joined_file_renamed_to_another_day_leaves_the_exam(
    named: Ledger, name: str, *, stays: bool
) -> None:
    exam = record(named, RIGHT)
    other = record(named, "P1_20261102_OS.jpg")
    named.join_exams(other.exam_id, exam.exam_id, BY)
    moved(named, "P1_20261102_OS.jpg", name)
    assert (exam_of(named, name).exam_id == exam.exam_id) is stays
    final = by_number(named, exam.exam_id).final.referable
    assert final == (NO if stays else OPEN)
    assert named.verify().problem == ""


def test_a_joined_file_renamed_twice_before_it_is_judged_leaves_the_exam(named: Ledger) -> None:
    exam = record(named, RIGHT)
    other = record(named, "P1_20261102_OS.jpg")
    named.join_exams(other.exam_id, exam.exam_id, BY)
    named.start(replace(cases.release(), revision="another"))
    moved(named, "P1_20261102_OS.jpg", "P1_20261105_OS.jpg")
    moved(named, "P1_20261105_OS.jpg", "P1_20261105_OS_2.jpg", "P1_20261102_OS.jpg")
    judge_waiting(named)
    assert exam_of(named, "P1_20261105_OS_2.jpg").exam_id != exam.exam_id
    assert by_number(named, exam.exam_id).final.referable is OPEN
    assert named.verify().problem == ""


def test_an_upgrade_completes_what_older_versions_had_moved(named: Ledger) -> None:
    record(named, RIGHT, PDR)
    exam = record(named, LEFT)
    for name in (ARCHIVED, "archive/7.jpg"):  # they did not inherit anything
        named.admit(cases.found(name, RIGHT))
    for old, new in ((RIGHT, ARCHIVED), (ARCHIVED, "archive/7.jpg")):
        cases.execute(
            named,
            "UPDATE capture SET superseded = :yes, moved_to = :new WHERE path_text = :old",
            yes=True,
            old=old,
            new=number(named, new),
        )
    paths = PathMetadata({}, {}, Identifiers(cases.SITE_KEY, are_clear=True))
    with named.database.writing() as connection:
        done = rejudging.rejudge_all(connection, paths, "0005")
    assert exam_of(named, "archive/7.jpg").exam_id == exam.exam_id
    [row] = [row for row in rows(named, "v_person_exam") if row["exam_id"] == exam.exam_id]
    assert (row["final_referable"], row["patient_id"]) == (YES, "P1")
    assert (done.exams, done.changed) == (3, 2)  # the exams of nobody have lost their photographs
    assert named.verify().problem == ""


def test_an_upgrade_completes_them_in_slices(
    named: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database takes only so many values in one statement."""
    record(named, RIGHT, PDR)
    for place in range(3):
        record(named, f"P{place}_20261101_OS.jpg")
        named.admit(cases.found(f"archive/{place}.jpg", f"P{place}_20261101_OS.jpg"))
        cases.execute(
            named,
            "UPDATE capture SET superseded = :yes, moved_to = :new WHERE path_text = :old",
            yes=True,
            old=f"P{place}_20261101_OS.jpg",
            new=number(named, f"archive/{place}.jpg"),
        )
    counts = []

    def reuse(recording: Recording, ids: Sequence[int]) -> list[Recorded]:
        counts.append(len(ids))
        return results.reuse(recording, ids)

    monkeypatch.setattr(rejudging, "_SLICE", 2)
    monkeypatch.setattr(rejudging, "results", SimpleNamespace(reuse=reuse))
    paths = PathMetadata({}, {}, Identifiers(cases.SITE_KEY, are_clear=True))
    with named.database.writing() as connection:
        done = rejudging.rejudge_all(connection, paths, "0005")
    assert counts == [2, 1]
    for place in range(3):
        assert exam_of(named, f"archive/{place}.jpg").patient_id == f"P{place}"
    assert done.changed == 3
    assert named.verify().problem == ""


class CameraDatabase:
    """A camera's database that knows the right photograph of P1 by its first path only."""

    def ask(self, paths: Sequence[str]) -> list[CaptureMetadata]:
        row = CaptureMetadata(Eye.RIGHT, EyeSource.LOOKUP, field="macula", patient="P1")
        return [row if path == "000123.jpg" else CaptureMetadata() for path in paths]


def test_what_a_cameras_database_said_is_kept_when_it_is_asked_again(store_url: str) -> None:
    for ledger in opened(store_url, lookups={cases.CAMERA: CameraDatabase()}):
        record(ledger, "000123.jpg", word=RIGHT)
        ledger.start(replace(cases.release(), revision="another"))
        moved(ledger, "000123.jpg", ARCHIVED, RIGHT)
        judge_waiting(ledger)
        row = cases.captures(ledger)[-1]
        kept = (row["patient_id"], row["eye"], row["eye_source"], row["field"])
        assert kept == ("P1", "R", "lookup", "macula")
        assert len({row["exam_id"] for row in cases.captures(ledger)}) == 1
        assert ledger.verify().problem == ""
