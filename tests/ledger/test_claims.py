"""A photograph that may be of somebody else leaves that person in doubt, whatever exam it is in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases as cases
from tests.reading_cases import BY, NO_DR, PDR, exam_of, number, read, the_eye

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, Reason, Referable
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fundusd.clinical.exam import Exam

YES, OPEN, NO = Referable.YES, Referable.INDETERMINATE, Referable.NO
NAMES = Naming.of("generic", r"(?P<patient>P\d)_(?P<eye>OD|OS)(_\d)?")


@pytest.fixture
def named(store_url: str) -> Iterator[Ledger]:
    """Yield a ledger with two cameras whose names give the patient and the eye."""
    naming = {cases.CAMERA: NAMES, "other": NAMES}
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, naming=naming)
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    ledger.register_camera("other")
    yield ledger
    ledger.close()


def record(
    ledger: Ledger,
    name: str,
    patient: str | None = None,
    logits: Sequence[float] = NO_DR,
    camera: str = cases.CAMERA,
    **more: Any,
) -> Exam:
    """Record a photograph whose header names this patient, and return its exam."""
    claim = cases.take(ledger, name, name, camera_id=camera)
    content = replace(cases.CONTENT_OF_JPEG, patient_id=patient, **more)
    ledger.record([cases.finding(claim, content, logits)])
    return exam_of(ledger, name)


def claimed(exam: Exam) -> list[int]:
    return [claim.capture_id for claim in exam.claims]


def renamed(ledger: Ledger, old: str, new: str) -> None:
    """Rename a file whose bytes were made from its first name."""
    row = [row for row in cases.captures(ledger) if row["path_text"] == old][-1]
    ledger.mark_missing(cases.CAMERA, [old.encode()])
    ledger.admit(cases.found(new, old, inode=row["inode"], mtime_ns=row["mtime_ns"]))


def again(ledger: Ledger, exam: Exam) -> Exam:
    after = ledger.exam(exam.exam_id)
    assert after is not None
    return after


# -- a photograph that a person gave to the other patient


def given(ledger: Ledger) -> tuple[Exam, int]:
    """Record a visit of P9, and a photograph of P9 under P1's name that is given to P1."""
    record(ledger, "P9_OD.dcm", "P9")
    before = record(ledger, "P9_OS.dcm", "P9")
    record(ledger, "P1_OD_2.dcm", "P9", PDR)
    capture = number(ledger, "P1_OD_2.dcm")
    ledger.belongs_to_other(capture, BY)
    assert again(ledger, before).final.referable is NO
    return before, capture


def test_a_photograph_excluded_where_it_was_given_to_may_be_the_first_patients(
    named: Ledger,
) -> None:
    before, capture = given(named)
    of_other = named.exclude(capture, ExclusionReason.NOT_THIS_PATIENT, BY)
    after = again(named, before)
    assert (claimed(after), after.final.referable) == ([capture], OPEN)
    assert claimed(of_other) == []
    read(named, after)
    assert not read(named, after, eye=Eye.LEFT).is_final
    of_other = named.include(capture, BY)
    assert (claimed(again(named, before)), claimed(of_other)) == ([capture], [])
    named.belongs(capture, BY)
    assert claimed(again(named, before)) == []
    assert named.verify().problem == ""


def test_what_a_person_says_belongs_to_its_exam_is_not_excluded_from_it_as_another_patients(
    named: Ledger,
) -> None:
    """Otherwise it would be neither patient's."""
    of_two_files(named)
    header = exam_of(named, "P1_OD.dcm").exam_id
    capture = number(named, "P1_OD.dcm")
    named.exclude(capture, ExclusionReason.NOT_THIS_PATIENT, BY)
    after = named.belongs(capture, BY)
    assert (after.exam_id, the_eye(after).final.referable) == (header, YES)
    assert [row["excluded"] for row in cases.captures(named) if row["id"] == capture] == [None]
    assert named.verify().problem == ""


def test_a_photograph_that_was_given_away_is_nobodys_if_it_is_no_retina(named: Ledger) -> None:
    before, capture = given(named)
    named.exclude(capture, ExclusionReason.NOT_A_RETINA, BY)
    assert claimed(again(named, before)) == []


def test_a_given_photograph_may_be_the_first_patients_also_after_it_was_archived(
    named: Ledger,
) -> None:
    before, capture = given(named)
    named.exclude(capture, ExclusionReason.NOT_THIS_PATIENT, BY)
    stat = cases.found("P1_OD_2.dcm", "P1_OD_2.dcm").stat
    named.mark_missing(cases.CAMERA, [b"P1_OD_2.dcm"])
    archived = cases.found("archive/1.dcm", "P1_OD_2.dcm", inode=stat.inode, mtime_ns=stat.mtime_ns)
    named.admit(archived)
    after = again(named, before)
    assert claimed(after) == [number(named, "archive/1.dcm")]
    assert after.final.referable is OPEN


def test_a_photograph_that_was_taken_again_may_still_be_the_other_patients(named: Ledger) -> None:
    record(named, "P1_OD.dcm")
    before = record(named, "P1_OS.dcm")
    claim = cases.take(named, "P1_OD_2.dcm", "blurred")
    header = replace(cases.CONTENT_OF_JPEG, patient_id="P9")
    named.record([cases.refusal(claim, Reason.BLUR, header)])
    capture = number(named, "P1_OD_2.dcm")
    named.exclude(capture, ExclusionReason.RETAKEN, BY)
    after = again(named, before)
    assert (claimed(after), after.final.referable) == ([capture], OPEN)
    named.belongs(capture, BY)
    assert again(named, before).final.referable is NO
    assert named.verify().problem == ""


# -- a photograph of two files, of which one is renamed


@pytest.fixture(params=["archive/000123.dcm", "P9_OD.dcm", "P2_OD.dcm"])
def new_name(request: pytest.FixtureRequest) -> str:
    """Name nobody, the patient whom the header of the DICOM file names, or somebody else."""
    return str(request.param)


def of_two_files(ledger: Ledger) -> None:
    """Record a left eye of P1, and a right one under P1's name, of which the header names P9."""
    record(ledger, "P1_OS.dcm")
    record(ledger, "P1_OD.jpg")
    record(ledger, "P1_OD.dcm", "P9", PDR)


def test_the_other_file_stays_in_question_if_the_file_that_was_settled_is_renamed(
    named: Ledger, new_name: str
) -> None:
    of_two_files(named)
    named.belongs(number(named, "P1_OD.dcm"), BY)
    jpeg = number(named, "P1_OD.jpg")
    assert claimed(exam_of(named, "P1_OS.dcm")) == [jpeg]
    renamed(named, "P1_OD.dcm", new_name)
    exam = exam_of(named, "P1_OS.dcm")
    assert (claimed(exam), exam.final.referable) == ([jpeg], OPEN)
    read(named, exam)
    assert not read(named, exam, eye=Eye.LEFT).is_final
    after = named.exclude(jpeg, ExclusionReason.NOT_THIS_PATIENT, BY)
    assert (after.claims, after.missing) == ((), (Eye.RIGHT,))
    assert named.verify().problem == ""


def test_it_is_in_question_too_if_the_file_is_settled_after_it_was_archived(named: Ledger) -> None:
    of_two_files(named)
    renamed(named, "P1_OD.dcm", "archive/000123.dcm")
    archived = number(named, "archive/000123.dcm")
    assert claimed(exam_of(named, "P1_OS.dcm")) == [archived]
    named.belongs(archived, BY)
    assert claimed(exam_of(named, "P1_OS.dcm")) == [number(named, "P1_OD.jpg")]


def test_it_is_in_question_too_if_it_is_renamed_itself(named: Ledger) -> None:
    of_two_files(named)
    renamed(named, "P1_OD.jpg", "P1_OD_7.jpg")
    named.belongs(number(named, "P1_OD.dcm"), BY)
    assert claimed(exam_of(named, "P1_OS.dcm")) == [number(named, "P1_OD_7.jpg")]


def test_it_is_in_question_if_the_name_of_the_other_file_was_corrected(named: Ledger) -> None:
    of_two_files(named)
    renamed(named, "P1_OD.dcm", "P9_OD.dcm")
    exam = exam_of(named, "P1_OS.dcm")
    assert (claimed(exam), exam.final.referable) == ([number(named, "P1_OD.jpg")], OPEN)
    after = named.belongs(number(named, "P1_OD.jpg"), BY)
    assert (after.claims, after.final.referable) == ((), NO)


def test_a_file_that_came_after_the_other_was_renamed_is_another_photograph(
    named: Ledger, new_name: str
) -> None:
    record(named, "P1_OS.dcm")
    record(named, "P1_OD.dcm", "P9", PDR)
    named.belongs(number(named, "P1_OD.dcm"), BY)
    renamed(named, "P1_OD.dcm", new_name)
    assert claimed(record(named, "P1_OD.jpg")) == []


# -- a number that several persons have


def of_issuer(ledger: Ledger, issuer: str, take: str, camera: str = cases.CAMERA) -> Exam:
    """Record both eyes of the person whose number this issuer gave."""
    study = f"1.2.{take}"
    left = f"P1_OS_{take}.dcm"
    for name in (f"P1_OD_{take}.dcm", left):
        record(ledger, name, "P1", issuer=issuer, study_uid=study, camera=camera)
    return exam_of(ledger, left)


def test_a_photograph_of_a_number_is_in_doubt_once_a_second_person_has_it(named: Ledger) -> None:
    hosp = of_issuer(named, "HOSP", "1")
    jpeg = record(named, "P1_OD_2.jpg", logits=PDR)
    assert (jpeg.exam_id, jpeg.final.referable) == (hosp.exam_id, YES)
    capture = number(named, "P1_OD_2.jpg")
    clinic = of_issuer(named, "CLINIC", "3")
    assert (claimed(clinic), clinic.final.referable) == ([capture], OPEN)
    [doubtful] = [shot for shot in the_eye(again(named, hosp)).shots if shot.identity_doubt]
    assert doubtful.capture_id == capture
    assert doubtful.identity_doubt is EyeReason.PATIENT_UNCERTAIN
    after = named.belongs(capture, BY)
    assert the_eye(after).identity_doubt is None
    assert again(named, clinic).final.referable is NO
    after = named.exclude(capture, ExclusionReason.NOT_THIS_PATIENT, BY)
    assert again(named, clinic).final.referable is OPEN
    assert named.verify().problem == ""


def test_so_it_is_if_the_photograph_comes_after_both_persons(named: Ledger) -> None:
    hosp, clinic = of_issuer(named, "HOSP", "1"), of_issuer(named, "CLINIC", "3")
    apart = record(named, "P1_OD_2.jpg", logits=PDR)
    assert apart.exam_id not in {hosp.exam_id, clinic.exam_id}
    capture = number(named, "P1_OD_2.jpg")
    for exam in (again(named, hosp), again(named, clinic)):
        assert (claimed(exam), exam.final.referable) == ([capture], OPEN)
    assert the_eye(apart).identity_doubt is EyeReason.PATIENT_UNCERTAIN
    named.exclude(capture, ExclusionReason.OTHER, BY)
    assert again(named, hosp).final.referable is again(named, clinic).final.referable is NO


def test_a_header_without_an_issuer_names_the_person_too(named: Ledger) -> None:
    hosp = of_issuer(named, "HOSP", "1")
    record(named, "P1_OD_2.jpg", logits=PDR)
    record(named, "P1_OD_3.dcm", "P1", study_uid="1.2.9")
    other = record(named, "P1_OS_3.dcm", "P1", study_uid="1.2.9")
    assert (other.exam_id == hosp.exam_id, other.patient_key == hosp.patient_key) == (False, True)
    assert [each.referable for each in other.others_of_day] == [YES]
    assert named.verify().problem == ""
