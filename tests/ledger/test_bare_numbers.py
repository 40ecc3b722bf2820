"""A number without its issuer means the person of that day whose headers give the same number."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_plans import heard
from tests.ledger.test_readings import rows
from tests.reading_cases import BY, read
from tests.visit_cases import TODAY

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, EyeSource, Reason, Referable, ReviewVerdict
from fundusd.ledger import Ledger
from fundusd.ledger.tables import exam

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from fundusd.clinical.exam import Exam

NO_DR = (5.0, 0.0, 0.0, 0.0, 0.0)
PDR = (0.0, 0.0, 0.0, 0.0, 5.0)
NAMING = Naming.of("generic", r"(?P<patient>[PQ]\w)_(?P<eye>[RL])\d?")


@contextmanager
def opened(store_url: str, *, pseudonymous: bool, issuer: str = "") -> Iterator[Ledger]:
    """Open a ledger whose cameras write the patient's number into names."""
    ledger = Ledger(
        store_url,
        site_key=cases.SITE_KEY,
        naming={cases.CAMERA: NAMING, "other": NAMING, "third": NAMING},
        pseudonymous=pseudonymous,
        issuer=issuer,
    )
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    ledger.register_camera("other")
    ledger.register_camera("third")
    yield ledger
    ledger.close()


@pytest.fixture(params=[False, True], ids=["clear", "pseudonymous"])
def ledger(request: pytest.FixtureRequest, store_url: str) -> Iterator[Ledger]:
    """Yield a ledger, once of each kind of site."""
    with opened(store_url, pseudonymous=request.param) as of_site:
        yield of_site


def dicom(
    ledger: Ledger,
    name: str,
    eye: Eye,
    issuer: str = "HOSP",
    study: str = "1.2.3",
    day: date | None = None,
    camera: str = cases.CAMERA,
) -> Exam:
    """Have a photograph graded whose header names an issuer."""
    content = replace(
        cases.CONTENT,
        eye=eye,
        patient_id=name[:2],
        issuer=issuer,
        study_uid=study,
        sop_uid=None,
        acquired_day=day,
    )
    claim = cases.take(ledger, name, name, camera_id=camera)
    ledger.record([cases.finding(claim, content, NO_DR)])
    return last_exam(ledger)


def jpeg(
    ledger: Ledger, name: str, logits: tuple[float, ...] = NO_DR, camera: str = cases.CAMERA
) -> Exam:
    """Have a photograph graded of which only the name has the patient's number."""
    content = replace(cases.CONTENT_OF_JPEG, eye=Eye.UNKNOWN, eye_source=EyeSource.NONE)
    claim = cases.take(ledger, name, name, camera_id=camera)
    ledger.record([cases.finding(claim, content, logits)])
    return last_exam(ledger)


def damaged(ledger: Ledger, name: str) -> Exam:
    ledger.fail(cases.take(ledger, name, name), Reason.DECODE_ERROR, "damaged")
    return last_exam(ledger)


def last_exam(ledger: Ledger) -> Exam:
    last = ledger.exam_of(cases.captures(ledger)[-1]["id"])
    assert last is not None
    return last


def persons(ledger: Ledger) -> int:
    return len({row["patient_key"] for row in cases.rows(ledger, exam)})


def test_b46_a_damaged_file_is_in_the_exam_of_its_person(ledger: Ledger) -> None:
    dicom(ledger, "P1_R.dcm", Eye.RIGHT)
    before = dicom(ledger, "P1_L.dcm", Eye.LEFT)
    assert before.final.referable is Referable.NO
    after = damaged(ledger, "P1_R2.dcm")
    assert (after.exam_id, after.final.referable) == (before.exam_id, Referable.INDETERMINATE)
    assert after.eyes[0].reason is Reason.DECODE_ERROR
    assert ledger.verify().broken_seq is None


def test_b46_so_it_is_if_it_comes_first(ledger: Ledger) -> None:
    first = damaged(ledger, "P1_R2.dcm")
    dicom(ledger, "P1_R.dcm", Eye.RIGHT)
    after = dicom(ledger, "P1_L.dcm", Eye.LEFT)
    assert (after.exam_id, after.final.referable) == (first.exam_id, Referable.INDETERMINATE)
    assert persons(ledger) == 1
    again = damaged(ledger, "P1_L2.dcm")
    assert again.exam_id == first.exam_id
    assert ledger.verify().broken_seq is None


def test_b46_it_is_while_it_is_tried_again(ledger: Ledger) -> None:
    before = dicom(ledger, "P1_R.dcm", Eye.RIGHT)
    claim = cases.take(ledger, "P1_R2.dcm", "cut")
    assert ledger.postpone(claim, Reason.TRUNCATED, "cut short", 0)
    assert last_exam(ledger).exam_id == before.exam_id
    content = replace(cases.CONTENT, eye=Eye.RIGHT, patient_id="P1", issuer="HOSP", sop_uid=None)
    ledger.record([cases.finding(ledger.claim(1)[0], content, NO_DR)])
    after = last_exam(ledger)
    assert after.exam_id == before.exam_id
    assert not {"patient_conflict"} & {code for eye in after.eyes for code in eye.shots[0].warnings}


@pytest.mark.parametrize("jpegs_first", [False, True])
def test_b46_a_jpeg_beside_each_dicom_file_is_of_the_same_person(
    ledger: Ledger, jpegs_first: bool
) -> None:
    names = ("P1_R", "P1_L")
    if jpegs_first:
        for name in names:
            jpeg(ledger, f"{name}.jpg", PDR if name == "P1_R" else NO_DR)
    for name, eye in zip(names, (Eye.RIGHT, Eye.LEFT), strict=True):
        dicom(ledger, f"{name}.dcm", eye)
    if not jpegs_first:
        for name in names:
            jpeg(ledger, f"{name}.jpg", PDR if name == "P1_R" else NO_DR)
    assert [row["final_referable"] for row in cases.rows(ledger, exam)] == ["yes"]


def test_b46_a_number_of_two_persons_means_neither(ledger: Ledger) -> None:
    first = dicom(ledger, "P1_R.dcm", Eye.RIGHT)
    other = dicom(ledger, "P1_L.dcm", Eye.LEFT, issuer="CLINIC", study="1.2.4")
    after = damaged(ledger, "P1_R2.dcm")
    assert len({first.exam_id, other.exam_id, after.exam_id}) == 3


def test_b46_a_number_means_its_person_at_every_camera(ledger: Ledger) -> None:
    first = dicom(ledger, "P1_R.dcm", Eye.RIGHT)
    assert jpeg(ledger, "P1_L.jpg", camera="other").exam_id == first.exam_id
    assert damaged(ledger, "P2_R.dcm").exam_id != first.exam_id
    assert jpeg(ledger, "P2_L.jpg", camera="other").exam_id != first.exam_id
    after = dicom(ledger, "P2_R2.dcm", Eye.RIGHT, camera="third")
    assert len(after.eyes[0].shots) == 2
    assert persons(ledger) == 2


@pytest.mark.parametrize("pseudonymous", [False, True])
def test_b46_a_number_is_that_of_the_issuer_in_the_settings(
    store_url: str, pseudonymous: bool
) -> None:
    with opened(store_url, pseudonymous=pseudonymous, issuer="HOSP") as ledger:
        clinic = dicom(ledger, "P1_R.dcm", Eye.RIGHT, issuer="CLINIC")
        assert clinic.eyes[0].identity_doubt is None
        named = jpeg(ledger, "P1_R2.jpg", PDR)
        hosp = dicom(ledger, "P1_L2.dcm", Eye.LEFT, study="1.2.4")
        assert named.exam_id == hosp.exam_id != clinic.exam_id
        assert dicom(ledger, "P1_L.dcm", Eye.LEFT, issuer="CLINIC").final.referable is Referable.NO
        assert persons(ledger) == 2


def test_b46_a_header_without_an_issuer_means_the_person_too(ledger: Ledger) -> None:
    content = replace(cases.CONTENT, eye=Eye.LEFT, patient_id="P1", issuer=None, sop_uid=None)
    ledger.record([cases.finding(cases.take(ledger, "P1_L.dcm", "L"), content, NO_DR)])
    first = last_exam(ledger)
    assert dicom(ledger, "P1_R.dcm", Eye.RIGHT, study="1.2.4").exam_id != first.exam_id
    assert persons(ledger) == 1


@pytest.mark.parametrize("joins", [1, 2])
def test_a_number_means_a_person_whose_exam_of_the_day_was_joined_into_that_of_another(
    ledger: Ledger, joins: int
) -> None:
    exams = [dicom(ledger, "P1_L.dcm", Eye.LEFT)]
    for number in range(1, joins + 1):
        before = TODAY - timedelta(days=number)
        exams.append(dicom(ledger, f"P1_R{number}.dcm", Eye.RIGHT, day=before))
    for exam_after, exam_before in itertools.pairwise(exams):
        ledger.join_exams(exam_after.exam_id, exam_before.exam_id, BY)
    first = exams[-1]
    assert jpeg(ledger, "P1_R2.jpg", PDR).exam_id == first.exam_id
    assert dicom(ledger, "P1_L2.dcm", Eye.LEFT).exam_id == first.exam_id
    assert persons(ledger) == 1
    assert ledger.verify().problem == ""


def exam_of(ledger: Ledger, name: str) -> Exam:
    digest = cases.digest_of(name)  # a site with pseudonyms stores no names
    [number] = [row["id"] for row in cases.captures(ledger) if row["digest"] == digest]
    judged = ledger.exam_of(number)
    assert judged is not None
    return judged


def test_a_photograph_of_a_number_goes_where_the_exam_of_its_person_was_joined_to(
    ledger: Ledger,
) -> None:
    before = dicom(ledger, "P1_R.dcm", Eye.RIGHT, day=TODAY - timedelta(days=1))
    today = dicom(ledger, "P1_L.dcm", Eye.LEFT)
    ledger.join_exams(today.exam_id, before.exam_id, BY)
    assert jpeg(ledger, "P1_R2.jpg", PDR, camera="other").exam_id == before.exam_id
    after = dicom(ledger, "P1_L2.dcm", Eye.LEFT, camera="other")
    assert (after.exam_id, after.final.referable) == (before.exam_id, Referable.YES)
    assert ledger.verify().problem == ""


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_photograph_that_came_before_its_person_is_in_the_exam_of_the_person(
    ledger: Ledger, is_damaged: bool
) -> None:
    if is_damaged:
        before = damaged(ledger, "P1_R.jpg")
    else:
        before = jpeg(ledger, "P1_R.jpg", PDR, camera="other")
        reading = read(ledger, before, ReviewVerdict.RETAKE)
        assert [each.eye for each in reading.follow_ups] == [Eye.RIGHT]
    dicom(ledger, "P1_R2.dcm", Eye.RIGHT)
    after = dicom(ledger, "P1_L.dcm", Eye.LEFT)
    assert after.exam_id == before.exam_id
    assert after.final.referable is (Referable.INDETERMINATE if is_damaged else Referable.YES)
    assert [each.eye for each in after.follow_ups] == ([] if is_damaged else [Eye.RIGHT])
    assert persons(ledger) == 1
    assert ledger.verify().problem == ""


def test_what_a_person_has_arranged_is_given_as_a_whole(ledger: Ledger) -> None:
    jpeg(ledger, "P1_R.jpg", PDR)
    jpeg(ledger, "P1_L.jpg")
    parted = ledger.part_exam(cases.captures(ledger)[0]["id"], BY)
    person = dicom(ledger, "P1_R2.dcm", Eye.RIGHT)
    assert exam_of(ledger, "P1_R.jpg").exam_id == parted.exam_id
    dicom(ledger, "P1_L2.dcm", Eye.LEFT)
    after = exam_of(ledger, "P1_L2.dcm")
    assert [other.exam_id for other in after.others_of_day] == [parted.exam_id]
    assert person.exam_id == after.exam_id
    assert persons(ledger) == 1
    assert ledger.verify().problem == ""


def test_a_photograph_that_is_parted_from_an_exam_of_a_number_stays_with_the_person(
    ledger: Ledger,
) -> None:
    jpeg(ledger, "P1_R.jpg", PDR)
    before = dicom(ledger, "P1_L.dcm", Eye.LEFT)
    after = ledger.part_exam(cases.captures(ledger)[0]["id"], BY)
    assert (after.patient_key, after.patient_id) == (before.patient_key, before.patient_id)
    for view in ("v_worklist", "v_person_exam"):
        names = [row["patient_id"] for row in rows(ledger, view) if row["exam_id"] == after.exam_id]
        assert names == [before.patient_id]
    assert persons(ledger) == 1
    assert ledger.verify().problem == ""


def test_the_exams_of_all_numbers_of_a_batch_are_looked_up_and_given_together(
    ledger: Ledger,
) -> None:
    # the first batch writes what later ones find
    first, *later = ("12", "34", "56789A")
    statements_of_batch(ledger, first)
    two, six = (statements_of_batch(ledger, patients) for patients in later)
    assert two == six
    for patient in "3456789A":
        of_person = exam_of(ledger, f"Q{patient}_R.jpg")
        assert [len(eye.shots) for eye in of_person.eyes][:1] == [2]


def statements_of_batch(ledger: Ledger, patients: str) -> int:
    """Record a JPEG and then a DICOM file of each patient; return the number of statements."""
    names = [f"Q{patient}_R.jpg" for patient in patients]
    for name in names:
        jpeg(ledger, name)
    headers = {cases.digest_of(f"{name} header"): name[:2] for name in names}
    ledger.admit(*(cases.found(name.replace("jpg", "dcm"), f"{name} header") for name in names))
    content = replace(cases.CONTENT, issuer="HOSP", eye=Eye.RIGHT, sop_uid=None)
    findings = []
    for claim in ledger.claim(len(names)):
        of_patient = replace(content, patient_id=headers[claim.digest])
        findings.append(cases.finding(claim, of_patient, NO_DR))
    with heard(ledger) as statements:
        ledger.record(findings)
    return len(statements)
