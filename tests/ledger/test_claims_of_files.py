"""What is said of a file, or of where it was, changes the claims that rest on it at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, cast

import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases
from tests.ledger.test_claims import NO, OPEN, claimed, of_two_files, record, renamed
from tests.ledger.test_two_patients import age
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
    from fundusd.clinical.exam import Exam

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


def test_what_is_said_of_a_renamed_file_says_nothing_of_the_other_file(dated: Ledger) -> None:
    new_name = f"P9_OD_{YESTERDAY}.dcm"
    for name in ("P1_OS.jpg", "P1_OD.jpg"):
        record(dated, name)
    record(dated, "P1_OD.dcm", "P9", PDR)
    renamed(dated, "P1_OD.dcm", new_name)
    jpeg = number(dated, "P1_OD.jpg")
    assert claimed(exam_of(dated, "P1_OS.jpg")) == [jpeg]
    dated.exclude(number(dated, new_name), ExclusionReason.NOT_A_RETINA, BY)
    for eye in (Eye.RIGHT, Eye.LEFT):
        read(dated, exam_of(dated, "P1_OS.jpg"), eye=eye)
    after = exam_of(dated, "P1_OS.jpg")
    assert (claimed(after), after.final.referable, after.is_final) == ([jpeg], OPEN, False)
    assert_stored_as_judged(dated)
    dated.include(number(dated, new_name), BY)
    assert claimed(exam_of(dated, "P1_OS.jpg")) == [jpeg]
    after = dated.belongs(jpeg, BY)
    assert (claimed(after), after.final.referable) == ([], NO)
    assert_stored_as_judged(dated)


@pytest.mark.parametrize("is_settled", [True, False])
@pytest.mark.parametrize("reason", ["not_a_retina", "test", "other"])
def test_the_other_file_is_in_question_if_the_first_one_is_excluded_because_it_counts_for_nobody(
    dated: Ledger, reason: str, is_settled: bool
) -> None:
    of_two_files(dated)
    if is_settled:
        dated.belongs(number(dated, "P1_OD.dcm"), BY)
    dated.exclude(number(dated, "P1_OD.dcm"), ExclusionReason(reason), BY)
    jpeg = number(dated, "P1_OD.jpg")
    exam = exam_of(dated, "P1_OS.dcm")
    assert (claimed(exam), exam.final.referable) == ([jpeg], OPEN)
    read(dated, exam)
    assert not read(dated, exam, eye=Eye.LEFT).is_final
    after = dated.exclude(jpeg, ExclusionReason(reason), BY)
    assert (after.claims, after.missing) == ((), (Eye.RIGHT,))
    assert_stored_as_judged(dated)


def test_so_it_is_if_the_first_one_is_renamed_to_a_third_patient(dated: Ledger) -> None:
    of_two_files(dated)
    record(dated, "P2_OS.dcm")
    renamed(dated, "P1_OD.dcm", "P2_OD.dcm")
    moved, jpeg = number(dated, "P2_OD.dcm"), number(dated, "P1_OD.jpg")
    exam = exam_of(dated, "P1_OS.dcm")
    assert (claimed(exam), exam.final.referable) == ([jpeg], OPEN)
    assert claimed(exam_of(dated, "P2_OS.dcm")) == [moved]
    read(dated, exam)
    assert not read(dated, exam, eye=Eye.LEFT).is_final
    dated.belongs_to_other(moved, BY)
    assert claimed(exam_of(dated, "P1_OS.dcm")) == [jpeg]
    after = dated.belongs(jpeg, BY)
    assert (after.claims, after.final.referable) == ((), NO)
    assert_stored_as_judged(dated)


# -- a photograph whose exam was joined into one of another day


def join_into_earlier_days(ledger: Ledger, of_photograph: Exam, before: Exam) -> None:
    """Join the exam of a photograph that may be of `before`, and the exam that it then is in."""
    [capture_id] = claimed(before)
    joined = of_photograph
    for days in (3, 4):
        day = TODAY - timedelta(days=days)
        earlier = record(ledger, f"P9_OD_{day:%Y%m%d}.dcm", "P9")
        ledger.join_exams(joined.exam_id, earlier.exam_id, BY)
        joined = earlier
        after = exam_of(ledger, "P1_OS.jpg")
        assert (claimed(after), after.final.referable) == ([capture_id], OPEN)
        assert_stored_as_judged(ledger)
    ledger.exclude(capture_id, ExclusionReason.OTHER, BY)
    assert exam_of(ledger, "P1_OS.jpg").final.referable is NO
    assert_stored_as_judged(ledger)


@pytest.mark.parametrize("day", [date(2000, 1, 1), date(TODAY.year + 2, 3, 4)])
def test_a_photograph_with_a_wrong_clock_may_be_of_the_day_that_its_exam_had(
    dated: Ledger, day: date
) -> None:
    record(dated, "P1_OD.jpg")
    record(dated, "P1_OS.jpg")
    of_photograph = record(dated, "P1_OD_2.dcm", "P9", PDR, acquired_day=day)
    join_into_earlier_days(dated, of_photograph, exam_of(dated, "P1_OS.jpg"))


def test_a_photograph_that_first_came_under_another_name_may_be_of_that_day(dated: Ledger) -> None:
    record(dated, "P1_OD.jpg")
    record(dated, "P1_OS.jpg")
    record(dated, "unnamed.dcm", "P9", PDR)
    for name in ("P1_OD.jpg", "P1_OS.jpg", "unnamed.dcm"):
        age(dated, number(dated, name), TODAY - timedelta(days=1))
    dated.admit(cases.found("P1_OD_2.dcm", "unnamed.dcm"))
    before = exam_of(dated, "P1_OS.jpg")
    assert claimed(before) == [number(dated, "P1_OD_2.dcm")]
    join_into_earlier_days(dated, exam_of(dated, "unnamed.dcm"), before)


def test_a_photograph_that_is_given_to_another_day_is_not_asked_for_any_more(
    dated: Ledger,
) -> None:
    for name in (f"P1_OD_{YESTERDAY}.jpg", f"P1_OS_{YESTERDAY}.jpg"):
        record(dated, name)
    record(dated, f"P1_OD_{YESTERDAY}_2.dcm", "P2", PDR, acquired_day=TODAY)
    for name in ("P1_OD.jpg", "P1_OS.jpg"):
        record(dated, name)
    capture_id = number(dated, f"P1_OD_{YESTERDAY}_2.dcm")
    assert claimed(exam_of(dated, "P1_OD.jpg")) == [capture_id]
    dated.belongs_to_other(capture_id, BY)
    assert_stored_as_judged(dated)
    assert exam_of(dated, "P1_OD.jpg").final.referable is NO


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
