"""A number without an issuer and the person who has it are one patient in doubts, too."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_no_wrong_negative import problems
from tests.reading_cases import BY, NO_DR, exam_of, number
from tests.visit_cases import TODAY

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, Referable
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import AbsenceReason, ExclusionReason
from fundusd.ledger import Ledger
from fundusd.ledger.tables import exam

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.clinical.exam import Exam

NAMING = Naming.of("generic", r"(?P<patient>P\d)_(?P<eye>OD|OS)(_(?P<date>\d{8}))?(_\d)?")
BEFORE, NOW = (f"{day:%Y%m%d}" for day in (TODAY - timedelta(days=1), TODAY))


@contextmanager
def opened(store_url: str) -> Iterator[Ledger]:
    """Open a ledger whose cameras write the number into names, and check it at the end."""
    naming = {cases.CAMERA: NAMING, "other": NAMING}
    of_site = Ledger(store_url, site_key=cases.SITE_KEY, naming=naming)
    of_site.start(cases.release())
    for camera in naming:
        of_site.register_camera(camera)
    yield of_site
    assert problems(of_site) == []
    assert of_site.verify().problem == ""
    of_site.close()


@pytest.fixture
def ledger(store_url: str) -> Iterator[Ledger]:
    """Yield such a ledger."""
    with opened(store_url) as of_site:
        yield of_site


def graded(
    ledger: Ledger,
    name: str,
    *,
    issuer: str | None = None,
    word: str = "",
    camera: str = cases.CAMERA,
    study: str = "1.2.3",
    logits: tuple[float, ...] = NO_DR,
) -> Exam:
    """Have a JPEG graded or, if an issuer is given, a DICOM file that names it."""
    content = cases.CONTENT_OF_JPEG
    if issuer is not None:
        content = replace(content, patient_id=name[:2], issuer=issuer, study_uid=study)
    claim = cases.take(ledger, name, word or name, camera_id=camera)
    ledger.record([cases.finding(claim, content, logits)])
    assert problems(ledger) == []
    return exam_of(ledger, name)


def copied(ledger: Ledger, name: str, word: str, camera: str = cases.CAMERA) -> None:
    ledger.admit(cases.found(name, word, camera_id=camera))
    assert problems(ledger) == []


def renamed(ledger: Ledger, old: str, new: str) -> None:
    stat = cases.found(old, old).stat
    ledger.mark_missing(cases.CAMERA, [old.encode()])
    ledger.admit(cases.found(new, old, inode=stat.inode, mtime_ns=stat.mtime_ns))
    assert problems(ledger) == []


def doubts(visit: Exam) -> set[EyeReason | None]:
    return {shot.identity_doubt for eye in visit.eyes for shot in eye.shots} - {None}


@pytest.fixture
def copies(ledger: Ledger) -> Ledger:
    """Return a ledger in which two visits under a number hold the same bytes."""
    graded(ledger, f"P1_OD_{BEFORE}.jpg", word="x")
    graded(ledger, f"P1_OS_{BEFORE}.jpg")
    copied(ledger, f"P1_OD_{NOW}.jpg", "x")
    graded(ledger, f"P1_OS_{NOW}.jpg")
    return ledger


def test_bytes_of_two_visits_stay_in_doubt_when_one_is_given_to_the_person(copies: Ledger) -> None:
    graded(copies, f"P1_OS_{NOW}_3.dcm", issuer="HOSP")
    for day in (BEFORE, NOW):
        assert doubts(exam_of(copies, f"P1_OD_{day}.jpg")) == {EyeReason.DAY_UNCERTAIN}
    graded(copies, f"P1_OS_{BEFORE}_3.dcm", issuer="CLINIC", study="1.2.4")
    for day in (BEFORE, NOW):
        assert doubts(exam_of(copies, f"P1_OD_{day}.jpg")) == {EyeReason.PATIENT_UNCERTAIN}


def test_bytes_that_are_not_the_patients_stay_so_when_a_visit_is_given_to_the_person(
    copies: Ledger,
) -> None:
    copies.exclude(number(copies, f"P1_OD_{BEFORE}.jpg"), ExclusionReason.NOT_THIS_PATIENT, BY)
    today = graded(copies, f"P1_OS_{NOW}_3.dcm", issuer="HOSP")
    assert doubts(today) == {EyeReason.PATIENT_UNCERTAIN}
    assert (today.final.referable, today.is_final) == (Referable.INDETERMINATE, False)


def test_nor_are_they_the_patients_if_the_other_copy_is_renamed_and_excluded_again(
    copies: Ledger,
) -> None:
    copies.exclude(number(copies, f"P1_OD_{BEFORE}.jpg"), ExclusionReason.NOT_THIS_PATIENT, BY)
    day_before = f"{TODAY - timedelta(days=2):%Y%m%d}"
    row = next(row for row in cases.captures(copies) if BEFORE in row["path_text"])
    copies.mark_missing(cases.CAMERA, [row["path"]])
    new = cases.found(f"P1_OD_{day_before}.jpg", "x", inode=row["inode"], mtime_ns=row["mtime_ns"])
    copies.admit(new)
    copies.exclude(number(copies, f"P1_OD_{day_before}.jpg"), ExclusionReason.OTHER, BY)
    assert EyeReason.PATIENT_UNCERTAIN in doubts(exam_of(copies, f"P1_OD_{NOW}.jpg"))


def test_a_file_renamed_to_another_day_stays_the_patients_when_that_day_is_given(
    ledger: Ledger,
) -> None:
    for name in (f"P1_OD_{BEFORE}.jpg", f"P1_OD_{BEFORE}.png", f"P1_OS_{BEFORE}.jpg"):
        graded(ledger, name)
    renamed(ledger, f"P1_OD_{BEFORE}.jpg", f"P1_OD_{NOW}.jpg")
    graded(ledger, f"P1_OS_{NOW}_3.dcm", issuer="HOSP")
    assert doubts(exam_of(ledger, f"P1_OD_{BEFORE}.png")) == set()
    graded(ledger, f"P1_OS_{BEFORE}_3.dcm", issuer="CLINIC", study="1.2.4")
    before = exam_of(ledger, f"P1_OD_{BEFORE}.png")
    assert doubts(before) == {EyeReason.PATIENT_UNCERTAIN}


def test_a_renamed_file_stays_in_the_exam_of_its_person_if_two_have_the_number(
    ledger: Ledger,
) -> None:
    for name in ("P1_OD", "P1_OS"):
        graded(ledger, f"{name}.dcm", issuer="HOSP")
        graded(ledger, f"{name}.jpg")
    for name in ("P1_OD_8.dcm", "P1_OS_8.dcm"):
        graded(ledger, name, issuer="CLINIC", study="1.2.4")
    person = exam_of(ledger, "P1_OD.jpg")
    renamed(ledger, "P1_OD.jpg", "P1_OD_5.jpg")
    after = exam_of(ledger, "P1_OD_5.jpg")
    assert after.exam_id == person.exam_id == exam_of(ledger, "P1_OD.dcm").exam_id
    dicom = number(ledger, "P1_OD.dcm")
    assert all(
        shot.identity_doubt is None
        for eye in after.eyes
        for shot in eye.shots
        if shot.capture_id == dicom
    )


def test_the_joins_of_an_exam_are_given_to_the_person_with_it(ledger: Ledger) -> None:
    before = graded(ledger, f"P1_OD_{BEFORE}.jpg").exam_id
    today = graded(ledger, f"P1_OS_{NOW}.jpg").exam_id
    ledger.join_exams(before, today, BY)
    graded(ledger, f"P1_OS_{NOW}_3.dcm", issuer="HOSP")
    assert claims(ledger) == {}
    graded(ledger, f"P1_OS_{BEFORE}_3.dcm", issuer="HOSP", study="1.2.4")
    graded(ledger, f"P1_OD_{BEFORE}_3.dcm", issuer="HOSP", study="1.2.4")
    assert claims(ledger) == {}
    # the number may come from another camera on the day of the join
    graded(ledger, f"P1_OD_{BEFORE}_4.jpg", camera="other")
    assert problems(ledger) == []
    after = ledger.join_exams(today, before, BY)
    assert after.exam_id == before
    assert problems(ledger) == []


def test_an_exam_claims_no_photographs_of_its_own_person(ledger: Ledger) -> None:
    graded(ledger, "P1_OD.jpg")
    first = graded(ledger, "P1_OS.jpg").exam_id
    parted = ledger.part_exam(number(ledger, "P1_OS.jpg"), BY)
    ledger.join_exams(parted.exam_id, first, BY)
    graded(ledger, "P1_OS_3.dcm", issuer="HOSP")
    graded(ledger, "P1_OD_3.dcm", issuer="HOSP", study="1.2.4")
    assert claims(ledger) == {}


def claims(ledger: Ledger) -> dict[int, list[int]]:
    """Return, by exam, the captures of others that may be its patient's."""
    by_exam = {}
    for row in cases.rows(ledger, exam):
        judged = ledger.exam(row["id"])
        if judged is not None and judged.claims:
            by_exam[judged.exam_id] = [claim.capture_id for claim in judged.claims]
    return by_exam


def test_an_eye_that_is_absent_under_the_number_is_absent_from_the_person(ledger: Ledger) -> None:
    before = graded(ledger, f"P1_OD_{BEFORE}.jpg")
    graded(ledger, f"P1_OD_{NOW}.jpg")
    graded(ledger, f"P1_OS_{NOW}.jpg")
    assert graded(ledger, f"P1_OD_{NOW}_3.dcm", issuer="HOSP").absent == ()
    ledger.eye_absent(before.exam_id, Eye.LEFT, AbsenceReason.PROSTHESIS, BY)
    assert problems(ledger) == []
    after = exam_of(ledger, f"P1_OD_{NOW}_3.dcm")
    assert (after.absent, after.impossible) == ((Eye.LEFT,), (Eye.LEFT,))
    assert after.final.referable is Referable.INDETERMINATE
    graded(ledger, f"P1_OS_{NOW}_4.dcm", issuer="CLINIC", study="1.2.4")
    for name in (f"P1_OD_{NOW}_3.dcm", f"P1_OS_{NOW}_4.dcm"):
        assert exam_of(ledger, name).absent == ()  # it may be of either


def test_an_absent_eye_stays_so_when_its_visit_is_given(ledger: Ledger) -> None:
    first = graded(ledger, f"P1_OD_{BEFORE}.jpg")
    ledger.eye_absent(first.exam_id, Eye.LEFT, AbsenceReason.PROSTHESIS, BY)
    today = graded(ledger, f"P1_OD_{NOW}.jpg")
    after = graded(ledger, f"P1_OD_{NOW}_7.dcm", issuer="HOSP")
    assert after.exam_id == today.exam_id
    assert (after.absent, after.final.referable) == ((Eye.LEFT,), Referable.NO)
    ledger.eye_present(after.exam_id, Eye.LEFT, BY)
    for name in (f"P1_OD_{BEFORE}.jpg", f"P1_OD_{NOW}.jpg"):
        back = exam_of(ledger, name)
        assert (back.absent, back.final.referable) == ((), Referable.INDETERMINATE)
    assert problems(ledger) == []


def test_an_absence_that_was_said_before_two_persons_had_the_number_counts_for_neither(
    ledger: Ledger,
) -> None:
    number_exam = graded(ledger, "P1_OD.jpg")
    ledger.eye_absent(number_exam.exam_id, Eye.LEFT, AbsenceReason.PROSTHESIS, BY)
    person = graded(ledger, "P1_OD_2.dcm", issuer="HOSP")
    assert (person.exam_id, person.absent) == (number_exam.exam_id, (Eye.LEFT,))
    graded(ledger, "P1_OD_3.dcm", issuer="CLINIC", study="1.2.4")
    for name in ("P1_OD_2.dcm", "P1_OD_3.dcm"):
        assert exam_of(ledger, name).absent == ()
    assert problems(ledger) == []


def test_what_was_said_under_the_number_does_not_say_whose_it_is(copies: Ledger) -> None:
    copies.belongs(number(copies, f"P1_OD_{NOW}.jpg"), BY)  # and not to the day before
    graded(copies, f"P1_OS_{NOW}_3.dcm", issuer="HOSP")
    assert EyeReason.DAY_UNCERTAIN in doubts(exam_of(copies, f"P1_OD_{NOW}.jpg"))
    graded(copies, f"P1_OD_{NOW}_4.dcm", issuer="CLINIC", study="1.2.4")
    other = graded(copies, f"P1_OS_{NOW}_4.dcm", issuer="CLINIC", study="1.2.4")
    assert other.final.referable is Referable.INDETERMINATE
    assert problems(copies) == []


def test_an_absence_of_the_person_ends_for_the_number_when_a_second_person_comes(
    ledger: Ledger,
) -> None:
    graded(ledger, f"P1_OD_{BEFORE}.jpg")
    person = graded(ledger, f"P1_OD_{NOW}_3.dcm", issuer="HOSP")
    ledger.eye_absent(person.exam_id, Eye.LEFT, AbsenceReason.PROSTHESIS, BY)
    assert exam_of(ledger, f"P1_OD_{BEFORE}.jpg").absent == (Eye.LEFT,)
    graded(ledger, f"P1_OD_{NOW}_4.dcm", issuer="CLINIC", study="1.2.4")
    assert exam_of(ledger, f"P1_OD_{BEFORE}.jpg").absent == ()


def test_nor_does_what_was_said_while_one_person_had_the_number(copies: Ledger) -> None:
    graded(copies, f"P1_OS_{NOW}_3.dcm", issuer="HOSP")
    copies.belongs(number(copies, f"P1_OD_{NOW}.jpg"), BY)  # and not to the day before
    graded(copies, f"P1_OD_{NOW}_4.dcm", issuer="CLINIC", study="1.2.4")
    other = graded(copies, f"P1_OS_{NOW}_4.dcm", issuer="CLINIC", study="1.2.4")
    assert other.final.referable is Referable.INDETERMINATE


def test_an_eye_that_is_there_after_all_stays_so_when_a_second_person_comes(
    ledger: Ledger,
) -> None:
    before = graded(ledger, f"P1_OD_{BEFORE}.jpg")
    ledger.eye_absent(before.exam_id, Eye.LEFT, AbsenceReason.PROSTHESIS, BY)
    person = graded(ledger, f"P1_OD_{NOW}_3.dcm", issuer="HOSP")
    ledger.eye_present(person.exam_id, Eye.LEFT, BY)
    graded(ledger, f"P1_OD_{NOW}_4.dcm", issuer="CLINIC", study="1.2.4")
    assert exam_of(ledger, f"P1_OD_{BEFORE}.jpg").absent == ()
