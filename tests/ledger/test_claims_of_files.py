"""What is said of a file, or of where it was, changes the claims that rest on it at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases
from tests.ledger.test_claims import NO, OPEN, claimed, record, renamed
from tests.reading_cases import BY, NO_DR, PDR, exam_of, number, read
from tests.visit_cases import TODAY

from fundusd.clinical.attribution import CaptureMetadata
from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, Reason
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import Ledger, exams
from fundusd.ledger.tables import exam

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fundusd.clinical.camera_database import Lookup

NAMES = Naming.of("generic", r"(?P<patient>P\d)_(?P<eye>OD|OS)(_(?P<date>\d{8}))?(_\d)?|.*")
YESTERDAY = f"{TODAY - timedelta(days=1):%Y%m%d}"


@pytest.fixture
def dated(store_url: str) -> Iterator[Ledger]:
    """Yield a ledger with a camera whose names give the patient, the eye and perhaps the day."""
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, naming={cases.CAMERA: NAMES})
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    yield ledger
    ledger.close()


def assert_stored_as_judged(ledger: Ledger) -> None:
    with ledger.database.reading() as connection:
        numbers = list(connection.scalars(sa.select(exam.c.id)))
        assert exams.outdated(connection, numbers) == []
    assert ledger.verify().problem == ""


def test_what_is_said_of_a_renamed_file_changes_the_claim_of_its_old_name(dated: Ledger) -> None:
    new_name = f"P9_OD_{YESTERDAY}.dcm"
    for name in ("P1_OS.jpg", "P1_OD.jpg"):
        record(dated, name)
    record(dated, "P1_OD.dcm", "P9", PDR)
    renamed(dated, "P1_OD.dcm", new_name)
    jpeg = number(dated, "P1_OD.jpg")
    assert claimed(exam_of(dated, "P1_OS.jpg")) == [jpeg]
    dated.exclude(number(dated, new_name), ExclusionReason.NOT_A_RETINA, BY)
    assert claimed(exam_of(dated, "P1_OS.jpg")) == []
    assert_stored_as_judged(dated)
    for eye in (Eye.RIGHT, Eye.LEFT):
        read(dated, exam_of(dated, "P1_OS.jpg"), eye=eye)
    assert exam_of(dated, "P1_OS.jpg").final.referable is NO
    dated.include(number(dated, new_name), BY)
    after = exam_of(dated, "P1_OS.jpg")
    assert (claimed(after), after.final.referable, after.is_final) == ([jpeg], OPEN, False)
    assert_stored_as_judged(dated)


# -- a number of two persons


def of_person(ledger: Ledger, issuer: str, *names: str) -> None:
    """Record photographs of the person to whom this issuer gave the number P1."""
    for name in names:
        record(ledger, name, "P1", issuer=issuer, study_uid=f"1.2.{len(issuer)}")


def claims_of_clinic(ledger: Ledger) -> list[int]:
    """Return the photographs that may be of the second person, after checking what is stored."""
    assert_stored_as_judged(ledger)
    return claimed(exam_of(ledger, "P1_OD_4.dcm"))


def test_what_gives_only_the_number_is_in_question_until_a_person_says_whose_it_is(
    dated: Ledger,
) -> None:
    of_person(dated, "HOSP", "P1_OD.dcm", "P1_OS.dcm")
    for name in ("P1_OD.jpg", "P1_OS.jpg"):
        record(dated, name)
    renamed(dated, "P1_OD.dcm", "archive/1.dcm")
    renamed(dated, "P1_OD.jpg", "P1_OD_9.jpg")
    of_person(dated, "CLINIC", "P1_OD_4.dcm", "P1_OS_4.dcm")
    jpegs = [number(dated, name) for name in ("P1_OS.jpg", "P1_OD_9.jpg")]
    assert claims_of_clinic(dated) == jpegs
    for capture_id in jpegs:
        assert exam_of(dated, "P1_OS.jpg").final.referable is OPEN
        dated.belongs(capture_id, BY)
    assert claims_of_clinic(dated) == []
    for name in ("P1_OD_4.dcm", "P1_OS.jpg"):
        assert exam_of(dated, name).final.referable is NO


def test_a_copy_of_it_is_in_question_too(dated: Ledger) -> None:
    of_person(dated, "HOSP", "P1_OD.dcm", "P1_OS.dcm")
    record(dated, "P1_OD.jpg")
    of_person(dated, "CLINIC", "P1_OD_4.dcm", "P1_OS_4.dcm")
    dated.belongs(number(dated, "P1_OD.jpg"), BY)
    dated.admit(cases.found("P1_OD_6.jpg", "P1_OD.jpg"))
    [copy] = claims_of_clinic(dated)
    assert copy == number(dated, "P1_OD_6.jpg")


@pytest.mark.parametrize("is_overwritten", [False, True])
def test_so_is_a_photograph_beside_a_file_that_is_not_there_any_more(
    dated: Ledger, is_overwritten: bool
) -> None:
    of_person(dated, "HOSP", "P1_OD.dcm", "P1_OS.dcm")
    of_person(dated, "CLINIC", "P1_OD_4.dcm", "P1_OS_4.dcm")
    if is_overwritten:
        claim = cases.take(dated, "P1_OD.dcm", "damaged")
        dated.fail(claim, Reason.TRUNCATED, "cut short", None)
    else:
        dated.mark_missing(cases.CAMERA, [b"P1_OD.dcm"])
    record(dated, "P1_OD.jpg", logits=PDR)
    assert number(dated, "P1_OD.jpg") in claims_of_clinic(dated)
    assert exam_of(dated, "P1_OD_4.dcm").final.referable is OPEN


# -- a photograph of which the sources name two patients, in the exam of a third


class CameraDatabase:
    """A camera's database that names a patient of one photograph only after it was joined."""

    def __init__(self) -> None:
        self.patients: dict[str, str] = {}

    def ask(self, paths: Sequence[str]) -> list[CaptureMetadata]:
        return [CaptureMetadata(patient=self.patients.get(path)) for path in paths]


@pytest.fixture
def database() -> CameraDatabase:
    return CameraDatabase()


@pytest.fixture
def looked_up(store_url: str, database: CameraDatabase) -> Iterator[Ledger]:
    """Yield a ledger with a camera that has such a database."""
    ledger = Ledger(
        store_url,
        site_key=cases.SITE_KEY,
        naming={cases.CAMERA: NAMES},
        lookups={cases.CAMERA: cast("Lookup", database)},
    )
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    yield ledger
    ledger.close()


@pytest.mark.parametrize("named", ["P5", "P7"])
def test_all_patients_of_a_photograph_that_a_person_put_elsewhere_are_in_doubt(
    looked_up: Ledger, database: CameraDatabase, named: str
) -> None:
    ledger = looked_up
    for patient in ("P5", "P7", "P9"):
        for eye in ("OD", "OS"):
            record(ledger, f"{patient}_{eye}.jpg")
    claim = cases.take(ledger, "unknown.dcm", "unknown.dcm")
    ledger.fail(claim, Reason.DECODE_ERROR, "could not be read")
    unknown = exam_of(ledger, "unknown.dcm")
    ledger.join_exams(unknown.exam_id, exam_of(ledger, "P7_OD.jpg").exam_id, BY)
    database.patients["unknown.dcm"] = named
    ledger.retry(number(ledger, "unknown.dcm"))
    [claim] = ledger.claim(1)
    header = replace(cases.CONTENT_OF_JPEG, patient_id="P9", eye=Eye.RIGHT)
    ledger.record([cases.finding(claim, header, NO_DR)])
    assert_stored_as_judged(ledger)
    at = exam_of(ledger, "unknown.dcm")
    assert at.exam_id == exam_of(ledger, "P7_OD.jpg").exam_id
    doubts = {doubt.capture_id: doubt.identity_doubt for eye in at.eyes for doubt in eye.shots}
    capture_id = number(ledger, "unknown.dcm")
    assert doubts[capture_id] is EyeReason.PATIENT_UNCERTAIN
    others = {"P5", "P9"} if named == "P5" else {"P9"}
    for patient in ("P5", "P9"):
        expected = [capture_id] if patient in others else []
        assert claimed(exam_of(ledger, f"{patient}_OD.jpg")) == expected
    ledger.belongs(capture_id, BY)
    for patient in ("P5", "P7", "P9"):
        assert exam_of(ledger, f"{patient}_OD.jpg").final.referable is NO
    assert_stored_as_judged(ledger)
