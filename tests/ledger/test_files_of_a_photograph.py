"""A photograph of several files stays one photograph if one of them is renamed or overwritten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.reading_cases import BY, exam_of, number, photograph, read, the_eye

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, Grade, Reason, Referable, ReviewVerdict
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.files import IgnoreReason
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.clinical.exam import Exam

OPEN, NO = Referable.INDETERMINATE, Referable.NO


@pytest.fixture
def named(store_url: str) -> Iterator[Ledger]:
    """Yield a ledger with a camera whose names give the patient and the eye."""
    naming = {cases.CAMERA: Naming.of("generic", r"(?P<patient>P\d)_(?P<eye>OD|OS)(_\d)?")}
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, naming=naming)
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    yield ledger
    ledger.close()


def renamed(ledger: Ledger, old: str, new: str) -> None:
    """Rename a file whose bytes were made from its first name."""
    row = [row for row in cases.captures(ledger) if row["path_text"] == old][-1]
    ledger.mark_missing(cases.CAMERA, [old.encode()])
    ledger.admit(cases.found(new, old, inode=row["inode"], mtime_ns=row["mtime_ns"]))


def record(ledger: Ledger, name: str, word: str = "") -> Exam:
    """Record a photograph of which only the name says anything."""
    claim = cases.take(ledger, name, word or name)
    ledger.record([cases.finding(claim, cases.CONTENT_OF_JPEG, (5.0, 0.0, 0.0, 0.0, 0.0))])
    return exam_of(ledger, name)


# -- of another patient


@pytest.mark.parametrize("new_name", ["archive/000123.dcm", "P2_OD.dcm"])
def test_the_other_file_of_what_is_not_the_patients_stays_in_doubt(
    named: Ledger, new_name: str
) -> None:
    record(named, "P1_OS.dcm")
    record(named, "P1_OD.dcm")
    named.exclude(number(named, "P1_OD.dcm"), ExclusionReason.NOT_THIS_PATIENT, BY)
    record(named, "P1_OD.jpg")
    renamed(named, "P1_OD.dcm", new_name)
    exam = exam_of(named, "P1_OS.dcm")
    assert (exam.final.referable, the_eye(exam).reason) == (OPEN, EyeReason.PATIENT_UNCERTAIN)
    read(named, exam, ReviewVerdict.OVERRIDE, grade=Grade.NO_DR)
    assert read(named, exam, eye=Eye.LEFT).final.referable is OPEN
    after = named.belongs(number(named, "P1_OD.jpg"), BY)
    assert the_eye(after).identity_doubt is None
    assert named.verify().problem == ""


def test_so_does_one_whose_other_file_was_renamed_to_another_patient(named: Ledger) -> None:
    record(named, "P1_OS.dcm")
    record(named, "P1_OD.dcm")
    record(named, "P1_OD.jpg")
    renamed(named, "P1_OD.dcm", "P2_OD.dcm")
    exam = exam_of(named, "P1_OS.dcm")
    assert (exam.final.referable, the_eye(exam).reason) == (OPEN, EyeReason.PATIENT_UNCERTAIN)
    assert the_eye(exam_of(named, "P2_OD.dcm")).reason is None
    renamed(named, "P1_OD.jpg", "P2_OD.jpg")
    assert exam_of(named, "P1_OS.dcm").missing == (Eye.RIGHT,)
    assert the_eye(exam_of(named, "P2_OD.jpg")).reason is None
    assert named.verify().problem == ""


def test_so_does_one_whose_other_file_was_overwritten(named: Ledger) -> None:
    record(named, "P1_OS.dcm")
    record(named, "P1_OD.dcm")
    named.exclude(number(named, "P1_OD.dcm"), ExclusionReason.NOT_THIS_PATIENT, BY)
    record(named, "P1_OD.jpg")
    photograph(named, "P1_OD.dcm", patient="P2", word="of P2")
    assert the_eye(exam_of(named, "P1_OS.dcm")).reason is EyeReason.PATIENT_UNCERTAIN


# -- the eye


def of_two_eyes(ledger: Ledger) -> None:
    """Record two files of one photograph that name different eyes."""
    photograph(ledger, "12.jpg", Eye.RIGHT)
    exam = photograph(ledger, "12.dcm", Eye.LEFT)
    assert [eye.eye for eye in exam.eyes] == [Eye.UNKNOWN]


@pytest.mark.parametrize("files", [["12.dcm"], ["12.jpg"], ["12.jpg", "12.dcm"]])
def test_files_that_name_two_eyes_still_do_if_one_of_them_is_archived(
    ledger: Ledger, files: list[str]
) -> None:
    of_two_eyes(ledger)
    for name in files:
        renamed(ledger, name, f"archive/{name.replace('12', name[-3:])}")
    last = ledger.exam(1)
    assert last is not None
    assert ([eye.eye for eye in last.eyes], last.final.referable) == ([Eye.UNKNOWN], OPEN)
    after = ledger.correct_eye(
        number(ledger, f"archive/{files[0][-3:]}.{files[0][-3:]}"), Eye.RIGHT, BY
    )
    assert (the_eye(after).eye, after.missing) == (Eye.RIGHT, (Eye.LEFT,))
    assert len(the_eye(after).shots) == 2
    assert ledger.verify().problem == ""


@pytest.mark.parametrize("patient", ["PATIENT-7", "PATIENT-8"])
def test_files_that_name_two_eyes_still_do_if_one_of_them_is_overwritten(
    ledger: Ledger, patient: str
) -> None:
    of_two_eyes(ledger)
    photograph(ledger, "12.dcm", Eye.LEFT, word="other bytes", patient=patient)
    exam = ledger.exam(1)
    assert exam is not None
    assert ([eye.eye for eye in exam.eyes], exam.final.referable) == ([Eye.UNKNOWN], OPEN)


def test_so_they_do_if_an_ignored_file_takes_the_path(ledger: Ledger) -> None:
    of_two_eyes(ledger)
    ledger.ignore(
        cases.CAMERA, {b"12.dcm": (cases.found("12.dcm", "a note").stat, IgnoreReason.SIDECAR)}
    )
    exam = ledger.exam(1)
    assert exam is not None
    assert [eye.eye for eye in exam.eyes] == [Eye.UNKNOWN]


def test_a_file_that_came_after_another_was_archived_is_another_photograph(ledger: Ledger) -> None:
    photograph(ledger, "12.dcm", reason=Reason.BLUR)
    renamed(ledger, "12.dcm", "archive/9.dcm")
    after = photograph(ledger, "12.jpg")
    assert the_eye(after).reason is Reason.BLUR


def test_evidence_in_the_other_file_of_an_archived_one_still_resolves_its_doubt(
    ledger: Ledger,
) -> None:
    photograph(ledger, "12.dcm", reason=Reason.TRUNCATED)
    photograph(ledger, "12.jpg")
    renamed(ledger, "12.jpg", "archive/9.jpg")
    assert the_eye(exam_of(ledger, "archive/9.jpg")).referable is NO


def test_files_that_are_renamed_twice_are_one_photograph(ledger: Ledger) -> None:
    of_two_eyes(ledger)
    renamed(ledger, "12.dcm", "a/1.dcm")
    row = cases.captures(ledger)[-1]
    ledger.mark_missing(cases.CAMERA, [b"a/1.dcm"])
    again = cases.found("b/2.dcm", "12.dcm", inode=row["inode"], mtime_ns=row["mtime_ns"])
    ledger.admit(again)
    assert [eye.eye for eye in exam_of(ledger, "b/2.dcm").eyes] == [Eye.UNKNOWN]


def test_a_file_that_came_after_another_was_renamed_is_another_photograph_also_later(
    ledger: Ledger,
) -> None:
    photograph(ledger, "new.jpg")
    renamed(ledger, "new.jpg", "1.jpg")
    blurred = photograph(ledger, "new.png", reason=Reason.BLUR)
    assert blurred.final.referable is OPEN
    ledger.mark_missing(cases.CAMERA, [b"1.jpg"])
    stat = cases.found("new.jpg", "new.jpg").stat
    ledger.admit(cases.found("archive/1.jpg", "new.jpg", inode=stat.inode, mtime_ns=stat.mtime_ns))
    assert exam_of(ledger, "archive/1.jpg").exam_id == blurred.exam_id
    assert exam_of(ledger, "new.png").final.referable is OPEN
    assert the_eye(exam_of(ledger, "new.png")).reason is Reason.BLUR


def test_photographs_that_had_one_name_one_after_the_other_stay_two(ledger: Ledger) -> None:
    for eye, place in ((Eye.RIGHT, "right.jpg"), (Eye.LEFT, "left.jpg")):
        photograph(ledger, "new.jpg", eye, word=place)
        row = cases.captures(ledger)[-1]
        ledger.mark_missing(cases.CAMERA, [b"new.jpg"])
        ledger.admit(cases.found(place, place, inode=row["inode"], mtime_ns=row["mtime_ns"]))
    for place in ("right.jpg", "left.jpg"):
        row = cases.captures(ledger)[number(ledger, place) - 1]
        ledger.mark_missing(cases.CAMERA, [place.encode()])
        archived = f"archive/{place}"
        ledger.admit(cases.found(archived, place, inode=row["inode"], mtime_ns=row["mtime_ns"]))
    after = exam_of(ledger, "archive/left.jpg")
    assert [eye.eye for eye in after.eyes] == [Eye.RIGHT, Eye.LEFT]
    assert after.final.referable is NO


def blurred(ledger: Ledger, name: str) -> None:
    claim = cases.take(ledger, name, "blurred")
    ledger.record([cases.refusal(claim, Reason.BLUR, cases.CONTENT_OF_JPEG)])


@pytest.mark.parametrize(
    ("later", "expected"), [("P1_OD.png", OPEN), ("P1_OD.dcm", NO)], ids=["other_path", "same_path"]
)
def test_only_a_file_at_the_same_path_makes_up_for_one_whose_path_an_ignored_file_has_taken(
    named: Ledger, later: str, expected: Referable
) -> None:
    record(named, "P1_OS.jpg")
    blurred(named, "P1_OD.dcm")
    note = cases.found("P1_OD.dcm", "note").stat
    named.ignore(cases.CAMERA, {b"P1_OD.dcm": (note, IgnoreReason.SIDECAR)})
    exam = record(named, later, "another photograph")
    assert exam.final.referable is expected
    assert read(named, exam, eye=Eye.LEFT).final.referable is expected
    assert named.verify().problem == ""
