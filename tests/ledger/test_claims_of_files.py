"""What is said of a file, or of where it was, changes the claims that rest on it at once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases
from tests.ledger.test_claims import NO, OPEN, claimed, record, renamed
from tests.reading_cases import BY, PDR, exam_of, number, read
from tests.visit_cases import TODAY

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, Reason
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import Ledger, exams
from fundusd.ledger.tables import exam

if TYPE_CHECKING:
    from collections.abc import Iterator

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


# -- a number of two persons, and what the header of another file says


def of_person(ledger: Ledger, issuer: str, *names: str) -> None:
    """Record photographs of the person to whom this issuer gave the number P1."""
    for name in names:
        record(ledger, name, "P1", issuer=issuer, study_uid=f"1.2.{len(issuer)}")


def claims_of_clinic(ledger: Ledger) -> list[int]:
    """Return the photographs that may be of the second person, after checking what is stored."""
    assert_stored_as_judged(ledger)
    return claimed(exam_of(ledger, "P1_OD_4.dcm"))


def test_an_overwritten_file_does_not_say_whose_a_later_photograph_is(dated: Ledger) -> None:
    of_person(dated, "HOSP", "P1_OD.dcm", "P1_OS.dcm")
    of_person(dated, "CLINIC", "P1_OD_4.dcm", "P1_OS_4.dcm")
    claim = cases.take(dated, "P1_OD.dcm", "damaged")
    dated.fail(claim, Reason.TRUNCATED, "cut short", None)
    record(dated, "P1_OD.jpg", logits=PDR)
    assert number(dated, "P1_OD.jpg") in claims_of_clinic(dated)
    assert exam_of(dated, "P1_OD_4.dcm").final.referable is OPEN


def test_nor_does_a_file_that_has_left_the_inbox(dated: Ledger) -> None:
    of_person(dated, "HOSP", "P1_OD.dcm", "P1_OS.dcm")
    of_person(dated, "CLINIC", "P1_OD_4.dcm", "P1_OS_4.dcm")
    dated.mark_missing(cases.CAMERA, [b"P1_OD.dcm"])
    record(dated, "P1_OD.jpg", logits=PDR)
    assert claims_of_clinic(dated) == [number(dated, "P1_OD.jpg")]
    assert exam_of(dated, "P1_OD_4.dcm").final.referable is OPEN


def with_jpegs(ledger: Ledger) -> None:
    """Record both eyes of HOSP's person, each in two files."""
    of_person(ledger, "HOSP", "P1_OD.dcm", "P1_OS.dcm")
    for name in ("P1_OD.jpg", "P1_OS.jpg"):
        record(ledger, name)


def test_a_header_still_says_whose_the_other_file_is_after_it_was_archived(dated: Ledger) -> None:
    with_jpegs(dated)
    renamed(dated, "P1_OD.dcm", "archive/1.dcm")
    of_person(dated, "CLINIC", "P1_OD_4.dcm", "P1_OS_4.dcm")
    assert claims_of_clinic(dated) == []
    renamed(dated, "P1_OS.dcm", "archive/2.dcm")
    renamed(dated, "P1_OD.jpg", "archive/1.jpg")
    assert claims_of_clinic(dated) == []
    for name in ("P1_OD_4.dcm", "P1_OS.jpg"):
        assert exam_of(dated, name).final.referable is NO


def test_so_it_does_after_it_has_left_the_inbox_or_was_overwritten(dated: Ledger) -> None:
    with_jpegs(dated)
    dated.mark_missing(cases.CAMERA, [b"P1_OD.dcm"])
    claim = cases.take(dated, "P1_OS.dcm", "damaged")
    dated.fail(claim, Reason.TRUNCATED, "cut short", None)
    of_person(dated, "CLINIC", "P1_OD_4.dcm", "P1_OS_4.dcm")
    assert claims_of_clinic(dated) == []


def test_a_copy_of_a_photograph_is_of_the_same_person(dated: Ledger) -> None:
    with_jpegs(dated)
    of_person(dated, "CLINIC", "P1_OD_4.dcm", "P1_OS_4.dcm")
    dated.admit(cases.found("P1_OD_6.jpg", "P1_OD.jpg"))
    assert claims_of_clinic(dated) == []
